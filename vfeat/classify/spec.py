"""Description of a classify worker and its recipe; free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vfeat.job.fingerprint import SCHEMA_VERSION
from vfeat.job.kinds import load
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.sequences.head import Head
from vfeat.sequences.windows import SequenceWindow, sliding, whole

if TYPE_CHECKING:
    from vfeat.engine.executor import Worker


@dataclass(frozen=True)
class ClassifyRecipe:
    """Recipe of a predictions dataset, which holds exactly one.

    Attributes:
        heads: (task, digest of its network) in output order.
        features: fingerprint of the features' recipe.
    """

    heads: tuple[tuple[str, str], ...]
    features: str
    window_s: float | None
    hop_s: float | None
    windows: bool
    top_k: int
    embedding: bool
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "heads": [{"task": task, "digest": digest} for task, digest in self.heads],
            "features": self.features,
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "windows": self.windows,
            "top_k": self.top_k,
            "embedding": self.embedding,
            "schema_version": self.schema_version,
        }


@dataclass(frozen=True)
class ClassifySpec:
    """Description of a classify worker; pickles, and loads torch only in `build`.

    Attributes:
        root: of the predictions.
        features: root of the features.
        digests: of the heads' networks, in the order of `heads`.
        window_s, hop_s: instead of the heads' own; None keeps those.
        windows: also a row for each window.
        embedding: also the input of the head's last layer.
    """

    root: str = field(repr=False)  # both may hold a password
    features: str = field(repr=False)
    heads: tuple[Head, ...]
    digests: tuple[str, ...]
    window_s: float | None
    hop_s: float | None
    windows: bool
    top_k: int
    embedding: bool
    device: str
    patience_s: float

    def recipe(self) -> ClassifyRecipe:
        """Return the recipe: what decides the numbers."""
        tasks = [head.task for head in self.heads]
        return ClassifyRecipe(
            tuple(zip(tasks, self.digests, strict=True)), self.heads[0].fingerprint,
            self.window_s, self.hop_s, self.windows, self.top_k, self.embedding,
        )  # fmt: skip

    def build(self, cores: int) -> Worker:
        """Load the heads."""
        # By name: the worker imports this module, and the driver must not import torch.
        worker: Worker = load("vfeat.classify.worker:ClassifyWorker")(self)
        return worker


def windows_of(
    head: Head, ref: SequenceRef, spec: ClassifySpec, stride_s: float, clip_s: float
) -> list[SequenceWindow]:
    """List the windows of a video that a head reads: the whole, or sliding ones."""
    window_s = spec.window_s or head.window_s
    if window_s is None:
        return [whole(ref.clips, stride_s, clip_s)]
    hop_s = spec.hop_s or (head.hop_s if spec.window_s is None else None) or window_s
    return list(sliding(ref.clips, stride_s, clip_s, window_s, hop_s))


def count_predictions(ref: SequenceRef, spec: ClassifySpec, stride_s: float, clip_s: float) -> int:
    """Count the rows that a video will have."""
    extra = [
        len(windows_of(head, ref, spec, stride_s, clip_s)) if spec.windows else 0
        for head in spec.heads
    ]
    return len(spec.heads) + sum(extra)
