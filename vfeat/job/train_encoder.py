"""The job of `vfeat train encoder`: one typed model for flags, YAML and Python.

A field here is a flag (`batch_size` is `--batch-size`) and a key of a job file with
`kind: train-encoder`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vfeat.job.flag import (
    CLIPS,
    DATA,
    EVALUATION,
    LIMITS,
    MODEL,
    OBJECTIVE,
    SOURCE,
    TRAINING,
    WHERE,
)
from vfeat.job.recipe import ClipSpec, DecodeLimits, Fit, FixedSampling, Flip, FrameSpec, Resize

Goal = Literal["classification", "distillation", "masked"]
MaskKind = Literal["tube", "random", "attention"]
Keep = Literal["score", "loss", "last"]

# These change where, how fast and how often, never what a finished step computes.
NOT_NUMBERS = frozenset(
    {
        "kind", "source", "out", "device", "decode_workers", "decode_timeout_seconds",
        "cache_megabytes", "scratch_megabytes", "checkpoint_minutes", "max_broken_share",
        "workers", "executor", "address",
    }
)  # fmt: skip


class TrainEncoderJob(BaseModel):
    """A list of labelled clips in, a fine-tuned VideoMamba out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["train-encoder"] = "train-encoder"
    source: Annotated[str, SOURCE.positional("LIST|JOB.yaml")] = Field(
        description="CSV or Parquet list: uri, label, [start_s, end_s], [split]"
    )
    out: Annotated[str, SOURCE] = Field(
        description="Folder of the encoder, local or an s3:// prefix"
    )

    model: Annotated[str, MODEL] = Field(
        "videomamba_tiny", description="A VideoMamba; `vfeat models` lists them"
    )
    weights: Annotated[str | None, MODEL] = Field(
        None,
        description="Weights to start from: path, URI or hf://owner/repo/file; default: fresh ones",
    )
    model_options: Annotated[dict[str, int], MODEL.spelled("--model-option")] = Field(
        default_factory=dict,
        description="Free configuration, key=value, e.g. embed_dim, depth, patch_size; default: "
        "the model's",
    )
    initial: Annotated[Literal["fresh", "motion_energy"], MODEL] = Field(
        "fresh",
        description="Values to start from without weights: the model's own, or tubelet filters "
        "and a first block that see directed motion",
    )
    new_blocks: Annotated[int, MODEL.measured_in("blocks")] = Field(
        0,
        ge=0,
        description="Blocks more than the weights have, which at first pass on what they get",
    )
    num_frames: Annotated[int, CLIPS.measured_in("frames")] = Field(
        8, ge=1, le=1024, description="Frames in a clip"
    )
    clip_seconds: Annotated[float, CLIPS] = Field(
        2.0, gt=0, description="Length of a clip's window"
    )
    stride_seconds: Annotated[float | None, CLIPS] = Field(
        None, gt=0, description="Time between clip starts; default: the clip's length"
    )
    sampling: Annotated[FixedSampling, CLIPS] = Field(
        "dense", description="dense grid, or sparse over the whole video"
    )
    size: Annotated[int, CLIPS.measured_in("pixels")] = Field(
        224, ge=16, le=4096, description="Side of the square input"
    )
    resize: Annotated[Resize, CLIPS] = Field(
        "bilinear", description="bilinear (official), area (antialiased) or bicubic"
    )
    fit: Annotated[Fit, CLIPS] = Field(
        "crop", description="crop a square, or squash the whole picture into it"
    )
    square_pixels: Annotated[bool, CLIPS] = Field(False, description="Apply the pixel aspect ratio")
    decoder: Annotated[str, CLIPS] = Field(
        "pyav", description="pyav, decord, torchcodec or module:object"
    )

    objective: Annotated[Goal, OBJECTIVE] = Field(
        "classification",
        description="classification; distillation: beside it, the tokens of a smaller teacher; "
        "masked: pre-training without labels, from few tokens to a teacher's",
    )
    teacher: Annotated[str | None, OBJECTIVE] = Field(
        None, description="Weights of the frozen teacher of distillation and masked; default: none"
    )
    teacher_model: Annotated[str, OBJECTIVE] = Field(
        "videomamba", description="What the teacher is: a VideoMamba, vit:FOLDER or vit:owner/repo"
    )
    distill_weight: Annotated[float, OBJECTIVE] = Field(
        1.0, gt=0, description="Weight of the distance from the teacher, beside the classification"
    )
    mask_ratio: Annotated[float, OBJECTIVE] = Field(
        0.8, ge=0, lt=1, description="Share of the tokens that is hidden"
    )
    mask_kind: Annotated[MaskKind, OBJECTIVE] = Field(
        "tube",
        description="Which: the same patches all the time (tube), any (random), or rather those "
        "that a vit: teacher does not attend to (attention)",
    )

    epochs: Annotated[int, TRAINING] = Field(30, ge=1, description="Passes over the training clips")
    batch_size: Annotated[int, TRAINING.measured_in("clips")] = Field(
        32, ge=1, description="Clips in a step, all workers together"
    )
    repeats: Annotated[int, TRAINING] = Field(
        1, ge=1, le=64, description="Times a video comes in an epoch"
    )
    rest: Annotated[float, TRAINING] = Field(
        0.0, ge=0, lt=1,
        description="Share of the epochs that a video skips while its label is given 0.9 or more",
    )  # fmt: skip
    lr: Annotated[float, TRAINING] = Field(1e-3, gt=0, description="Highest learning rate")
    min_lr: Annotated[float, TRAINING] = Field(
        1e-6, ge=0, description="Learning rate at the end of the cosine"
    )
    warmup_epochs: Annotated[float, TRAINING] = Field(
        1.0, ge=0, description="Epochs of linear rise to lr"
    )
    weight_decay: Annotated[float, TRAINING] = Field(
        0.05, ge=0, description="Weight decay of matrices and filters only"
    )
    layer_decay: Annotated[float, TRAINING] = Field(
        1.0, gt=0, le=1, description="Factor of lr from layer to layer"
    )
    drop_path: Annotated[float, TRAINING] = Field(
        0.0, ge=0, lt=1, description="Share of clips that skip the last block"
    )
    label_smoothing: Annotated[float, TRAINING] = Field(
        0.0, ge=0, lt=1, description="Share given to all classes"
    )
    token_loss: Annotated[float, OBJECTIVE] = Field(
        0.0, ge=0, description="Weight of the same loss from the mean of all tokens"
    )
    flow: Annotated[str | None, OBJECTIVE] = Field(
        None,
        description="Parquet table of how the picture moves (uri, rate, maps), for flow_loss; "
        "default: none",
    )
    flow_loss: Annotated[float, OBJECTIVE] = Field(
        0.0, ge=0, description="Weight of reading the picture's motion from every token"
    )
    clip_norm: Annotated[float, TRAINING] = Field(
        1.0, gt=0, description="Largest norm of the gradient"
    )
    ema_decay: Annotated[float, TRAINING] = Field(
        0.0, ge=0, lt=1, description="Decay of averaged weights; 0 keeps none"
    )
    bf16: Annotated[bool, TRAINING] = Field(True, description="bfloat16 autocast on a GPU")
    bf16_products: Annotated[bool, TRAINING] = Field(
        False,
        description="Allow bfloat16 in matrix products on a CPU (AMX); faster without AMX too",
    )
    checkpoint_activations: Annotated[bool, TRAINING] = Field(
        False, description="Compute activations again in backward: less memory, a third slower"
    )

    hflip: Annotated[bool, DATA] = Field(False, description="Mirror half of the clips; labels stay")
    label_swaps: Annotated[dict[Flip, dict[str, str]] | None, DATA.spelled("--label-swap")] = Field(
        None,
        description="Flips (horizontal, vertical, reverse) with the labels that they exchange; as "
        "a flag FLIP or FLIP:label=label; default: none",
    )
    random_crop: Annotated[float, DATA] = Field(
        0.0, ge=0, le=0.9, description="Share of the side that a clip's crop leaves out, at most"
    )
    jitter: Annotated[float, DATA] = Field(
        0.0, ge=0, le=1, description="Strength of brightness, contrast, colour"
    )
    gray: Annotated[float, DATA] = Field(
        0.0, ge=0, le=1, description="Share of clips without colour"
    )
    rand_augment: Annotated[int, DATA] = Field(
        0, ge=0, lt=30, description="RandAugment's magnitude; 0 is off"
    )
    mixup: Annotated[float, DATA] = Field(0.0, ge=0, le=1, description="Share of steps with mixup")
    cutmix: Annotated[float, DATA] = Field(
        0.0, ge=0, le=1, description="Share of steps with CutMix"
    )
    random_erasing: Annotated[float, DATA] = Field(
        0.0, ge=0, le=1, description="Share of clips with a hole"
    )

    eval_every: Annotated[int, EVALUATION.measured_in("epochs")] = Field(
        1, ge=1, description="Epochs between validations"
    )
    keep: Annotated[Keep, EVALUATION] = Field(
        "score",
        description="The epoch that is kept: with most validation clips right (score), with the "
        "lowest loss on them (loss), which ranks epochs better where they are few, or the last",
    )
    test_clips: Annotated[int, EVALUATION.measured_in("clips")] = Field(
        1, ge=1, le=1000, description="Clips of a video in an evaluation"
    )
    crops: Annotated[Literal[1, 3], EVALUATION] = Field(
        1, description="Crops of a clip in an evaluation"
    )
    test_flips: Annotated[bool, EVALUATION.spelled("--test-flips/--no-test-flips")] = Field(
        False,
        description="In an evaluation, and in extraction later, look at each clip's flips too and "
        "take the mean; the flips are those of training",
    )

    seed: Annotated[int, TRAINING] = Field(0, description="Seed of every random draw")
    device: Annotated[Literal["auto", "cpu", "cuda"], WHERE] = Field(
        "auto", description="Device of the model; auto takes a GPU where there is one"
    )
    workers: Annotated[int, WHERE.measured_in("processes")] = Field(
        1, ge=1, description="Processes that share each batch, one for each GPU"
    )
    executor: Annotated[Literal["ray", "inline"], WHERE] = Field(
        "inline", description="inline: on this machine; ray: workers of Ray Train on a cluster"
    )
    address: Annotated[str | None, WHERE] = Field(
        None, description="Ray cluster address; default: a local one"
    )
    decode_workers: Annotated[int | None, WHERE.measured_in("processes")] = Field(
        None, ge=1, description="Decoder children; default: by cores"
    )
    decode_timeout_seconds: Annotated[float, LIMITS] = Field(
        60.0, gt=0, description="Longest decode without progress"
    )
    cache_megabytes: Annotated[int, LIMITS] = Field(
        2048, ge=0, description="Clips kept in memory between epochs"
    )
    scratch_megabytes: Annotated[int, LIMITS] = Field(
        16384, ge=0, description="Further ones kept in a scratch file in TMPDIR"
    )
    checkpoint_minutes: Annotated[float, LIMITS] = Field(
        10.0, gt=0, description="Time between checkpoints inside an epoch"
    )
    max_broken_share: Annotated[float, LIMITS] = Field(
        0.1, ge=0, le=1, description="Stop when a larger share of the videos cannot be read"
    )

    @model_validator(mode="after")
    def _fields_agree(self) -> TrainEncoderJob:
        if self.initial != "fresh" and self.weights is not None:
            raise ValueError(f"initial {self.initial} would overwrite the weights: leave one out")
        if self.new_blocks and (self.weights is None or self.objective == "masked"):
            raise ValueError("new_blocks go between those of weights, and not with masked")
        if self.token_loss and self.objective != "classification":
            raise ValueError(f"token_loss is for objective classification, not {self.objective}")
        if self.rest and (self.repeats > 1 or self.objective == "masked"):
            raise ValueError("rest is for labelled videos that come once in an epoch: no repeats")
        if why_not := self._wrong_flow() or self._wrong_teacher() or self._wrong_flips():
            raise ValueError(why_not)
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr:g} is above lr {self.lr:g}")
        return self

    def _wrong_flow(self) -> str | None:
        if not self.flow_loss:
            return None if self.flow is None else "flow is for flow_loss: give its weight"
        if self.objective != "classification":
            return f"flow_loss is for objective classification, not {self.objective}"
        if self.flow is None:
            return "flow_loss needs flow, a table of how the pictures move"
        if self.sampling == "sparse" or self.mixup or self.cutmix or self.rand_augment:
            return "flow_loss goes with dense clips, without mixup, cutmix and rand_augment"
        return None

    def _wrong_teacher(self) -> str | None:
        is_vit = self.teacher_model.startswith("vit:")
        if self.objective == "classification":
            if self.teacher is None and not is_vit:
                return None
            return "a teacher is for objective distillation or masked"
        if self.teacher is None and not is_vit:
            return f"objective {self.objective} needs teacher (weights), or teacher_model vit:..."
        if self.teacher is not None and is_vit:
            return f"teacher_model {self.teacher_model} has its own weights: leave out teacher"
        if self.objective == "masked" and self.mask_kind == "attention" and not is_vit:
            return "mask_kind attention needs a teacher with attention: teacher_model vit:..."
        return None

    def _wrong_flips(self) -> str | None:
        if self.hflip and self.label_swaps and "horizontal" in self.label_swaps:
            return "label_swaps.horizontal mirrors already: leave out hflip"
        if self.test_flips and not (self.hflip or self.label_swaps):
            return "test_flips needs flips that were learnt: label_swaps or hflip"
        if self.test_flips and self.objective == "masked":
            return "test_flips is for objectives with labels, not masked"
        return None

    @property
    def labelled(self) -> bool:
        """True where the list must have labels."""
        return self.objective != "masked"

    @property
    def clip_spec(self) -> ClipSpec:
        """Clip grid over a video; `sparse` has one clip for each one that is tested."""
        stride_s = self.clip_seconds if self.stride_seconds is None else self.stride_seconds
        return ClipSpec(
            self.num_frames, self.clip_seconds, stride_s, self.sampling, self.test_clips
        )

    def frame_spec(self, crops: Literal[1, 3]) -> FrameSpec:
        """Return the frames' preparation; training takes one crop."""
        return FrameSpec(
            self.size, self.resize, crops, self.square_pixels, self.decoder, fit=self.fit
        )

    @property
    def limits(self) -> DecodeLimits:
        """Bounds of the decoder children."""
        return DecodeLimits(timeout_s=self.decode_timeout_seconds)

    def numbers(self) -> dict[str, Any]:
        """Return the fields that decide the numbers, for a comparison with an earlier run."""
        fields = self.model_dump(mode="json")
        return {name: value for name, value in fields.items() if name not in NOT_NUMBERS}


def default_numbers() -> dict[str, Any]:
    """Return the fields that decide the numbers, at their defaults."""
    return TrainEncoderJob.model_validate({"source": "", "out": ""}).numbers()
