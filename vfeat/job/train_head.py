"""The job of `vfeat train head`: one typed model for flags, YAML and Python.

A field here is a flag (`batch_size` is `--batch-size`) and a key of a job file with
`kind: train-head`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vfeat.job.flag import CLIPS, DATA, LIMITS, MODEL, SOURCE, TRAINING, WHERE
from vfeat.job.recipe import HEAD_KINDS, HeadKind, Level

ClassWeights = Literal["none", "balanced"]

# These change where and how fast, or what is let pass, never what a finished step computes.
NOT_NUMBERS = frozenset(
    {
        "kind", "features", "out", "labels", "annotations", "device", "cache_megabytes",
        "scratch_megabytes",
    }
)  # fmt: skip


class TrainHeadJob(BaseModel):
    """A features dataset and labels in, one or several ViS4mer heads out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["train-head"] = "train-head"
    features: Annotated[str, SOURCE.positional("FEATURES")] = Field(
        description="Features dataset root: what `vfeat extract` wrote"
    )
    out: Annotated[str, SOURCE] = Field(
        description="Folder of the head, or of several heads, local or an s3:// prefix"
    )
    labels: Annotated[str | None, SOURCE] = Field(
        None, description="CSV file: uri or video_id, label, [split]; default: a protocol's"
    )
    tasks: Annotated[dict[str, HeadKind], SOURCE.spelled("--task")] = Field(
        default_factory=dict,
        description="classification, multilabel or regression; or name=kind, where the name is a "
        "column of the labels and of the head. Default: the protocols' own",
    )
    protocols: Annotated[tuple[str, ...], SOURCE.spelled("--protocol")] = Field(
        (), description="Published splits: lvu/TASK, lvu/all, breakfast or coin; default: none"
    )
    annotations: Annotated[str | None, SOURCE] = Field(
        None, description="Folder of the protocols' published files; default: no protocols"
    )

    level: Annotated[Level, CLIPS] = Field(
        "clip", description="What a step of a sequence is: a clip's embedding, or a kept token"
    )
    window_seconds: Annotated[float | None, CLIPS] = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Learn from a random window of each video, test on all; default: whole "
        "videos, or the protocol's windows",
    )
    hop_seconds: Annotated[float | None, CLIPS] = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Time between the starts of two windows; default: half a window, or the "
        "protocol's",
    )

    d_model: Annotated[int | None, MODEL] = Field(
        None, ge=1, description="Width of the first layer; default: the features'"
    )
    n_layers: Annotated[int, MODEL] = Field(
        3, ge=1, description="Layers; each halves steps and width"
    )
    dropout: Annotated[float, MODEL] = Field(
        0.2, ge=0, lt=1, description="Share of channels dropped in training"
    )
    kernel: Annotated[Literal["nplr", "s4d"], MODEL] = Field(
        "nplr", description="nplr, the published S4, or s4d, diagonal state spaces"
    )

    epochs: Annotated[int, TRAINING] = Field(
        100, ge=1, description="Most passes over the training videos"
    )
    batch_size: Annotated[int, TRAINING.measured_in("windows")] = Field(
        16, ge=1, description="Windows, or whole videos, in a step"
    )
    lr: Annotated[float, TRAINING] = Field(
        1e-3, gt=0, allow_inf_nan=False, description="Learning rate"
    )
    s4_lr: Annotated[float, TRAINING] = Field(
        1e-3, gt=0, allow_inf_nan=False, description="Learning rate of S4's parameters"
    )
    weight_decay: Annotated[float, TRAINING] = Field(
        0.01, ge=0, description="Weight decay, never on S4's parameters"
    )
    patience: Annotated[int, TRAINING.measured_in("epochs")] = Field(
        10, ge=1, description="Stop after so many epochs without a better validation score"
    )
    plateau_patience: Annotated[int, TRAINING.measured_in("epochs")] = Field(
        4, ge=1, description="Lower the learning rates after so many without a lower loss"
    )
    plateau_factor: Annotated[float, TRAINING] = Field(
        0.2, gt=0, lt=1, description="Factor by which the learning rates are lowered"
    )
    clip_norm: Annotated[float, TRAINING] = Field(
        1.0, gt=0, allow_inf_nan=False, description="Largest norm of the gradient"
    )
    class_weights: Annotated[ClassWeights, TRAINING] = Field(
        "none", description="balanced weighs each class by the inverse of its share"
    )
    seed: Annotated[int, TRAINING] = Field(0, description="Seed of every random draw")
    bf16: Annotated[bool, TRAINING] = Field(True, description="bfloat16 autocast on a GPU")

    allow_missing: Annotated[bool, DATA] = Field(
        False, description="Leave out unknown, unlabelled and broken videos, and go on"
    )

    device: Annotated[Literal["auto", "cpu", "cuda"], WHERE] = Field(
        "auto", description="Device of the model; auto takes a GPU where there is one"
    )
    cache_megabytes: Annotated[int, LIMITS] = Field(
        2048, ge=0, description="Features kept in memory between epochs"
    )
    scratch_megabytes: Annotated[int, LIMITS] = Field(
        16384, ge=0, description="Further ones kept in a scratch file in TMPDIR"
    )

    @model_validator(mode="after")
    def _fields_agree(self) -> TrainHeadJob:
        if bool(self.labels) == bool(self.protocols):
            raise ValueError(
                "give either --labels LABELS.csv with --task, or --protocol with --annotations"
            )
        if self.labels and not self.tasks:
            raise ValueError(f"--labels needs --task {'|'.join(HEAD_KINDS)}, or --task name=kind")
        if self.protocols and (self.tasks or not self.annotations):
            raise ValueError(
                "--protocol needs --annotations FOLDER, and no --task: the protocol defines it"
            )
        if self.hop_seconds is not None and self.window_seconds is None and not self.protocols:
            raise ValueError("--hop-seconds needs --window-seconds")
        return self

    def numbers(self) -> dict[str, Any]:
        """Return the fields that decide the numbers, for a comparison with an earlier run."""
        fields = {**self.model_dump(mode="json"), "tasks": list(self.tasks.items())}
        return {name: value for name, value in fields.items() if name not in NOT_NUMBERS}
