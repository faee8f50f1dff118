"""What a user asks of `vfeat train head`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from vfeat.errors import JobError
from vfeat.sequences.head import KINDS, Kind
from vfeat.sequences.reader import Level

ClassWeights = Literal["none", "balanced"]
# These change where and how fast, or what is let pass, never what a finished step computes.
_NOT_NUMBERS = (
    "out",
    "cache_megabytes",
    "scratch_megabytes",
    "device",
    "features",
    "labels",
    "annotations",
)


@dataclass(frozen=True)
class TrainSpec:
    """One training of one or several heads over one dataset of features.

    Attributes:
        features: root of a features dataset.
        out: folder of the head, or of the heads.
        labels: a CSV file with a column `uri` or `video_id`; None with protocols.
        tasks: (name, kind) of each head; the name is the labels' column, `label` by itself.
        protocols: `lvu/<task>`, `lvu/all`, `breakfast` or `coin`; their files are in
            `annotations`.
        level: clip embeddings, or frame or patch tokens.
        window_seconds, hop_seconds: train on a random window of each video, test on all;
            None: whole videos, or what the protocol says.
        d_model: width of the first layer; None: that of the features.
        epochs: at most.
        patience: epochs without a better validation score before it stops.
        plateau_patience, plateau_factor: epochs without a lower validation loss before the
            learning rates are multiplied by the factor.
        clip_norm: largest norm of the gradient.
        class_weights: `balanced` weighs each class by the inverse of its share.
        bf16: bfloat16 autocast; on a GPU only.
        cache_megabytes: features kept in memory between epochs.
        scratch_megabytes: further ones kept in a scratch file in TMPDIR; the rest is read
            from the dataset in each epoch.
        allow_missing: leave out unknown and unlabelled videos and broken features, and go on.
    """

    features: str
    out: str
    labels: str | None = None
    tasks: tuple[tuple[str, Kind], ...] = ()
    protocols: tuple[str, ...] = ()
    annotations: str | None = None
    level: Level = "clip"
    window_seconds: float | None = None
    hop_seconds: float | None = None
    d_model: int | None = None
    n_layers: int = 3
    dropout: float = 0.2
    kernel: Literal["nplr", "s4d"] = "nplr"
    epochs: int = 100
    batch_size: int = 16
    lr: float = 1e-3
    s4_lr: float = 1e-3
    weight_decay: float = 0.01
    patience: int = 10
    plateau_patience: int = 4
    plateau_factor: float = 0.2
    clip_norm: float = 1.0
    class_weights: ClassWeights = "none"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    bf16: bool = True
    cache_megabytes: int = 2048
    scratch_megabytes: int = 16384
    allow_missing: bool = False

    def check(self) -> None:
        """Raises JobError: values that cannot be, or that exclude each other."""
        if bool(self.labels) == bool(self.protocols):
            raise JobError(
                "give either --labels LABELS.csv with --task, or --protocol with --annotations"
            )
        if self.labels and not self.tasks:
            raise JobError(f"--labels needs --task {'|'.join(KINDS)}, or --task name=kind")
        if self.protocols and (self.tasks or not self.annotations):
            raise JobError(
                "--protocol needs --annotations FOLDER, and no --task: the protocol says what it is"
            )
        self._check_values()

    def _check_values(self) -> None:
        choices = {
            "level": ("clip", "frame", "patch"),
            "class_weights": ("none", "balanced"),
            "device": ("auto", "cpu", "cuda"),
        }
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise JobError(
                    f"--{field.replace('_', '-')}: one of {', '.join(allowed)}, "
                    f"not {getattr(self, field)!r}"
                )
        for field in ("window_seconds", "hop_seconds", "lr", "s4_lr", "clip_norm"):
            value = getattr(self, field)
            if value is not None and not 0 < value < float("inf"):
                raise JobError(f"--{field.replace('_', '-')}: greater than 0, not {value!r}")
        for field in ("epochs", "batch_size", "patience", "plateau_patience"):
            if getattr(self, field) < 1:
                raise JobError(
                    f"--{field.replace('_', '-')}: at least 1, not {getattr(self, field)!r}"
                )
        if min(self.weight_decay, self.cache_megabytes, self.scratch_megabytes) < 0:
            raise JobError("--weight-decay, --cache-megabytes, --scratch-megabytes: 0 or more")
        if not 0 < self.plateau_factor < 1:
            raise JobError(f"--plateau-factor: between 0 and 1, not {self.plateau_factor!r}")
        if self.hop_seconds is not None and self.window_seconds is None and not self.protocols:
            raise JobError("--hop-seconds needs --window-seconds")

    def numbers(self) -> dict[str, Any]:
        """The fields that decide the numbers, for a comparison with an earlier run."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in _NOT_NUMBERS}
