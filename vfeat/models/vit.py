"""Frame-wise vision transformers of the transformers library: the facts that planning needs.

Neither torch nor transformers is loaded here; `vit_model.py` runs the network. `--model vit:FOLDER`
or `vit:owner/repo` names a checkpoint as the library saves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vfeat.errors import JobError
from vfeat.job.recipe import Triple
from vfeat.models.vit_files import VitFiles, find_vit

VIT = "vit"
PREFIX = f"{VIT}:"


@dataclass(frozen=True)
class Kind:
    """Token layout of one architecture of the library.

    Attributes:
        class_tokens: tokens before the patches; the first is the class token.
        registers: further tokens before the patches, if the configuration has no such field.
        patch_size: pixels, if the configuration has no such field.
    """

    class_tokens: int = 1
    registers: int = 0
    patch_size: int = 16


# By `model_type`. The tests run each of them; a network that is not listed is refused.
KINDS = {
    "vit": Kind(),
    "deit": Kind(class_tokens=2),  # the second is the distillation token
    "beit": Kind(),
    "clip": Kind(patch_size=32),
    "clip_vision_model": Kind(patch_size=32),
    "data2vec-vision": Kind(),
    "dinov2": Kind(patch_size=14),
    "dinov2_with_registers": Kind(registers=4, patch_size=14),
    "dinov3_vit": Kind(),
    "ijepa": Kind(class_tokens=0),
    "siglip": Kind(class_tokens=0),
    "siglip_vision_model": Kind(class_tokens=0),
    "vit_msn": Kind(),
}


@dataclass(frozen=True)
class VitInfo:
    """A checkpoint as its JSON files describe it.

    Attributes:
        files: the checkpoint's files.
        width: D of a token.
        depth: number of layers.
        patch_size: side of a patch, pixels.
        image_size: side that the position embeddings were made for, pixels.
        leading: tokens before the patches: class, distillation, registers.
        has_class_token: the first of them is a class token.
        has_head: the checkpoint was saved with a classification head.
        size: side of the pictures it was trained on, pixels.
        mean, std: per channel, on values in [0, 1].
    """

    files: VitFiles
    width: int
    depth: int
    patch_size: int
    image_size: int
    leading: int
    has_class_token: bool
    has_head: bool
    size: int
    mean: Triple
    std: Triple

    def tokens(self, size: int) -> int:
        """Count the tokens of a frame of `size` pixels: class token, registers and patches."""
        return self.leading + (size // self.patch_size) ** 2


def is_vit(model: str) -> bool:
    """Return whether `--model` names a checkpoint of the transformers library."""
    return model.startswith(PREFIX)


def read_vit(name: str) -> VitInfo:
    """Read what the JSON files of `vit:<name>` describe.

    Raises:
        JobError: the network does not cut frames into patches, or a value is not possible.
        EnvironmentMissing: the checkpoint was not found; see `find_vit`.
    """
    files = find_vit(name)
    outer = files.config()
    kind_name = outer.get("model_type")
    kind = KINDS.get(str(kind_name))
    if kind is None:
        raise JobError(
            f"vit:{name} is a model of type {kind_name!r}, which vfeat cannot run frame by "
            f"frame. It supports {', '.join(KINDS)}."
        )
    nested = outer.get("vision_config")
    config = nested if isinstance(nested, dict) else outer
    registers = _whole(name, config, "num_register_tokens", kind.registers)
    image_size = _whole(name, config, "image_size", 224)
    pixels = files.preprocessor()
    mean, std = _normalisation(name, pixels)
    return VitInfo(
        files=files,
        width=_whole(name, config, "hidden_size", 768),
        depth=_whole(name, config, "num_hidden_layers", 12),
        patch_size=_whole(name, config, "patch_size", kind.patch_size),
        image_size=image_size,
        leading=kind.class_tokens + registers,
        has_class_token=kind.class_tokens > 0,
        has_head=any("ForImageClassification" in str(a) for a in outer.get("architectures") or ()),
        size=_trained_size(name, pixels, image_size),
        mean=mean,
        std=std,
    )


def _whole(name: str, config: dict[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise JobError(f"vit:{name}: {key} in config.json is a whole number, not {value!r}")
    return value


def _trained_size(name: str, pixels: dict[str, Any], image_size: int) -> int:
    """Return the side of the square that reaches the network: the crop if there is one."""
    cropped = pixels.get("do_center_crop") and pixels.get("crop_size")
    size = cropped or pixels.get("size") or image_size
    if isinstance(size, dict):
        sides = {size[key] for key in ("height", "width", "shortest_edge") if size.get(key)}
        size = sides.pop() if len(sides) == 1 else size
    if not isinstance(size, int):
        raise JobError(
            f"vit:{name}: its preprocessor makes pictures of {size!r}, and vfeat makes squares; "
            "give --size"
        )
    return size


def _normalisation(name: str, pixels: dict[str, Any]) -> tuple[Triple, Triple]:
    """Return mean and deviation on values in [0, 1], whatever range the checkpoint scales to."""
    mean: Any = (0.0, 0.0, 0.0)
    std: Any = (1.0, 1.0, 1.0)
    if pixels.get("do_normalize", True):
        mean, std = pixels.get("image_mean"), pixels.get("image_std")
    scale = 255 * float(pixels.get("rescale_factor") or 1 / 255)
    if not pixels.get("do_rescale", True):
        scale = 255.0
    return _triple(name, "image_mean", mean, scale), _triple(name, "image_std", std, scale)


def _triple(name: str, key: str, values: Any, scale: float) -> Triple:
    try:
        red, green, blue = (float(value) / scale for value in values)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise JobError(
            f"vit:{name}: {key} in its preprocessor configuration is three numbers, not {values!r}"
        ) from error
    return red, green, blue
