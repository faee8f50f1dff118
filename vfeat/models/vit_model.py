"""A vision transformer of the transformers library, run on single frames.

Shape legend: F frames, C colours, S side in pixels, N tokens of a frame, D width, K classes.
"""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.models.vit import VitInfo, read_vit


class FrameTransformer(nn.Module):
    """Any supported network of the library, as a function from frames to tokens and class scores.

    Args:
        info: description of its checkpoint.
        network: the library's model, with its head if it has one.
        size: side of the frames, pixels.
    """

    def __init__(self, info: VitInfo, network: nn.Module, size: int) -> None:
        super().__init__()
        self.info = info
        trunk = _trunk(network, info.has_head)
        # Without a head the trunk is all: a text tower beside it is dropped.
        self.network = network if info.has_head else trunk
        self.trunk = trunk
        self.options = _position_options(self.network, info, size)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the K classes; empty without a head."""
        config: Any = self.network.config
        names: dict[int, str] = config.id2label if self.info.has_head else {}
        return tuple(str(names[index]) for index in sorted(names))

    def forward(self, frames_FCSS: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the network on normalised frames.

        Returns:
            Every token of the last layer (F, N, D), and logits (F, K) or None without a head.
        """
        if not self.info.has_head:
            return self.network(pixel_values=frames_FCSS, **self.options)[0], None
        seen: list[Tensor] = []
        # The head's output does not carry the trunk's normalised tokens; the trunk's does.
        handle = self.trunk.register_forward_hook(lambda _, __, output: seen.append(output[0]))
        try:
            logits = self.network(pixel_values=frames_FCSS, **self.options).logits
        finally:
            handle.remove()
        return seen[0], logits


def load_vit(name: str, size: int | None = None) -> FrameTransformer:
    """Load the network of `vit:<name>` in evaluation mode, on the CPU, in float32.

    Args:
        name: a folder, or owner/repo on the hub.
        size: side of the frames, pixels; None for the checkpoint's own.

    Raises:
        EnvironmentMissing: transformers is not installed, or the weights cannot be found.
        JobError: the weights are incomplete, or the network cannot take frames of that size.
    """
    info = read_vit(name)
    side = info.size if size is None else size
    model = FrameTransformer(info, _pretrained(info), side).eval().float()
    _check_tokens(model, side)
    return model


def _pretrained(info: VitInfo) -> nn.Module:
    """Load the library's network with its weights; turn failures into vfeat's errors."""
    name = info.files.name
    try:
        network, report = _from_library(info)
    except ImportError as error:
        raise EnvironmentMissing(
            f"vit:{name} runs through the package transformers, which is not installed "
            f"({error}). Run: pip install 'vfeat[vit]'"
        ) from error
    except pickle.UnpicklingError as error:
        raise JobError(
            f"vit:{name} refused: its pytorch_model.bin is damaged or holds more than tensors; "
            "nothing in it was run. Convert it to model.safetensors where you trust it."
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise JobError(f"vit:{name} could not be loaded: {reason}") from error
    _check_whole(info, report)
    return network


def _from_library(info: VitInfo) -> tuple[nn.Module, dict[str, Any]]:
    """Run the library's loader without progress bars; return its report of missing keys too."""
    import transformers
    from transformers.utils import logging

    kind = transformers.AutoModelForImageClassification if info.has_head else transformers.AutoModel
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, report = kind.from_pretrained(
            info.files.source,
            revision=info.files.revision or "main",
            use_safetensors=".safetensors" in info.files.tensors()[0],
            trust_remote_code=False,
            output_loading_info=True,
        )
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
    return network, report


def _check_whole(info: VitInfo, report: dict[str, Any]) -> None:
    """Raise if a tensor that affects the tokens would stay random; the pooler affects none."""
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    missing += [str(key) for key in report.get("mismatched_keys", ())]
    if missing:
        raise JobError(
            f"vit:{info.files.name}: its weights lack {len(missing)} tensors of the network that "
            f"config.json describes, among them {', '.join(missing[:3])}"
        )


def _trunk(network: Any, has_head: bool) -> nn.Module:
    """Return the part whose output begins with the tokens of the last layer."""
    base = network.base_model if has_head else network
    trunk: nn.Module = base if base is not network else getattr(network, "vision_model", network)
    return trunk


def _position_options(network: nn.Module, info: VitInfo, size: int) -> dict[str, bool]:
    """Request resized position embeddings for frames of another size, if supported."""
    takes = "interpolate_pos_encoding" in inspect.signature(network.forward).parameters
    return {"interpolate_pos_encoding": True} if takes and size != info.image_size else {}


@torch.inference_mode()
def _check_tokens(model: FrameTransformer, size: int) -> None:
    """Run one frame, so that planning's count of tokens and the network's are sure to agree."""
    name, expected = model.info.files.name, (model.info.tokens(size), model.info.width)
    try:
        tokens_FND, _ = model(torch.zeros(1, 3, size, size))
    except (ValueError, RuntimeError) as error:
        raise JobError(
            f"vit:{name} does not take frames of {size} pixels ({error}); "
            f"it was made for --size {model.info.image_size}"
        ) from error
    if tuple(tokens_FND.shape[1:]) != expected:
        raise JobError(
            f"vit:{name} gives tokens of shape {tuple(tokens_FND.shape[1:])} for a frame of {size} "
            f"pixels, and its config.json promises {expected}"
        )
