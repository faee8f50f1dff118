"""A trained head: its classes, and the features that it may read.

A head is a folder: `head.json` (this file's dataclass), `config.json` and `model.safetensors` (the
network), `metrics.json` and `curves.png`. A folder of several heads holds `heads.json`, which names
its sub-folders.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vfeat.errors import JobError
from vfeat.job.fingerprint import Recipe, difference
from vfeat.job.recipe import HEAD_KINDS, HeadKind, Level
from vfeat.models.packaged import open_box
from vfeat.sequences.reader import SequenceReader
from vfeat.storage.root import Root
from vfeat.tables.dataset import FeatureDataset

if TYPE_CHECKING:
    from vfeat.models.vis4mer import ViS4mer

HEAD_FILE = "head.json"
HEADS_FILE = "heads.json"
HEAD_VERSION = 1


@dataclass(frozen=True)
class Head:
    """One trained head, without its network.

    Attributes:
        uri: its folder; `create_model("vis4mer", weights=uri)` loads the network.
        task: name given at training, for people and for the output.
        kind: classification (softmax), multilabel (a sigmoid for each class) or regression.
        classes: name of each logit; empty for regression.
        recipe: recipe of the features it was trained on.
        width: width D of those features.
        level: clip embeddings, or frame or patch tokens.
        window_s, hop_s: length and spacing of the windows it was trained on, seconds; None for
            whole videos.
        centre, scale: regression only: value = logit * scale + centre.
    """

    uri: str
    task: str
    kind: HeadKind
    classes: tuple[str, ...]
    recipe: Recipe
    width: int
    level: Level = "clip"
    window_s: float | None = None
    hop_s: float | None = None
    centre: float = 0.0
    scale: float = 1.0

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the recipe that produced the training features."""
        return self.recipe.fingerprint

    @property
    def outputs(self) -> int:
        """K, logits of the network."""
        return max(1, len(self.classes))

    def check(self, dataset: FeatureDataset) -> None:
        """Refuse features that this head was not made for.

        Raises:
            JobError: another recipe, level or width, listed field by field. Fields that do not
                change the vectors (labels and how they are found, further tokens kept) may differ.
        """
        mine, theirs = _vectors_only(self.recipe), _vectors_only(dataset.recipe)
        if mine.fingerprint != theirs.fingerprint:
            lines = difference(theirs.to_json(), mine.to_json())
            raise JobError(
                f"Head {self.uri} was trained on features of another recipe than those of "
                f"{dataset.root.uri} (below, `this job` is the head):",
                *(f"  {line}" for line in lines),
                "Extract these videos with the head's recipe, or train a head on these features",
            )
        width = SequenceReader(dataset, self.level).width()
        if width != self.width:
            raise JobError(
                f"Head {self.uri} reads {self.level} features of width {self.width}; those of "
                f"{dataset.root.uri} have width {width}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of `head.json`."""
        return {
            "version": HEAD_VERSION,
            "task": self.task,
            "kind": self.kind,
            "classes": list(self.classes),
            "level": self.level,
            "width": self.width,
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "centre": self.centre,
            "scale": self.scale,
            "fingerprint": self.fingerprint,
            "recipe": self.recipe.to_json(),
        }


def load_head(uri: str) -> Head:
    """Read a head's folder (local, any fsspec URI or `box:NAME`), without its network.

    Raises:
        JobError: there is no head at `uri`, or one of a later version.
    """
    fields = _read_json(uri, HEAD_FILE)
    if fields.get("version") != HEAD_VERSION:
        raise JobError(
            f"Head {uri} is of version {fields.get('version')!r}, this vfeat reads version "
            f"{HEAD_VERSION}; train it again, or use the vfeat that wrote it"
        )
    if fields.get("kind") not in HEAD_KINDS:
        raise JobError(
            f"Head {uri}: kind is one of {', '.join(HEAD_KINDS)}, not {fields.get('kind')!r}"
        )
    try:
        return Head(
            uri=uri,
            task=fields["task"],
            kind=fields["kind"],
            classes=tuple(fields["classes"]),
            recipe=Recipe.from_json(fields["recipe"]),
            width=fields["width"],
            level=fields["level"],
            window_s=fields["window_s"],
            hop_s=fields["hop_s"],
            centre=fields["centre"],
            scale=fields["scale"],
        )
    except (KeyError, TypeError) as error:
        raise JobError(
            f"Head {uri}: {HEAD_FILE} is not as `vfeat train head` wrote it ({error!r}); train "
            "the head again"
        ) from None


def load_heads(uri: str) -> tuple[Head, ...]:
    """Load the head at `uri`, or all heads of a folder of several.

    Raises:
        JobError: as `load_head`, or the folder lists no heads.
    """
    root = Root(open_box(uri))
    if root.exists(HEAD_FILE) or not root.exists(HEADS_FILE):
        return (load_head(uri),)
    names = _read_json(uri, HEADS_FILE).get("heads")
    if not names:
        raise JobError(f"{root.url(HEADS_FILE)} lists no heads; train them again")
    return tuple(load_head(f"{uri.rstrip('/')}/{name}") for name in names)


def load_head_model(head: Head) -> ViS4mer:
    """Load the network in evaluation mode, float32, on the CPU.

    Raises:
        JobError: the tensors do not fit, or width or number of outputs differ from `head.json`.
    """
    from vfeat.models import create_model

    model = create_model("vis4mer", weights=head.uri)
    found = (model.config.d_input, model.config.d_output)
    if found != (head.width, head.outputs):
        raise JobError(
            f"Head {head.uri}: {HEAD_FILE} has width {head.width} and {head.outputs} "
            f"outputs, the network beside it has {found[0]} and {found[1]}"
        )
    return model.eval()


def _vectors_only(recipe: Recipe) -> Recipe:
    """Return the recipe without the fields that do not change the vectors."""
    output = replace(recipe.output, tokens="none", top_k=0)
    return replace(recipe, output=output, labels=None, flips=())


def _read_json(uri: str, name: str) -> dict[str, Any]:
    root = Root(open_box(uri))
    if not root.exists(name):
        raise JobError(f"{uri} is not a head: it has no {name}; `vfeat train head` writes one")
    try:
        fields = json.loads(root.read_bytes(name))
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise JobError(f"{root.url(name)} holds no object; expected what `vfeat train head` wrote")
    return fields
