"""The job of `vfeat train retrieval`: one typed model for flags, YAML and Python.

A field here is a flag (`batch_size` is `--batch-size`) and a key of a job file with
`kind: train-retrieval`. Fields that a training of an encoder has too have the same names there.
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
from vfeat.job.recipe import ClipSpec, Fit, FixedSampling, FrameSpec, Resize
from vfeat.job.train_encoder import TrainEncoderJob

RetrievalKeep = Literal["score", "loss", "last"]
PACKAGED = "packaged"

# These change where, how fast and how often, never what a finished step computes.
NOT_NUMBERS = frozenset(
    {
        "kind", "source", "out", "device", "workers", "decode_workers", "decode_timeout_seconds",
        "cache_megabytes", "scratch_megabytes", "checkpoint_minutes", "max_broken_share",
    }
)  # fmt: skip


class TrainRetrievalJob(BaseModel):
    """A list of clips with captions in, a network that finds clips by words out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["train-retrieval"] = "train-retrieval"
    source: Annotated[str, SOURCE.positional("LIST|JOB.yaml")] = Field(
        description="CSV or Parquet list: uri, caption, [start_s, end_s], [split]"
    )
    out: Annotated[str, SOURCE] = Field(
        description="Folder of the network, local or an s3:// prefix"
    )

    model: Annotated[str, MODEL] = Field(
        "videomamba_middle_mm",
        description="A dual encoder of clips and words; with freeze_vision a network for clips. "
        "`vfeat models` lists them",
    )
    weights: Annotated[str | None, MODEL] = Field(
        None,
        description="Weights to start from, of clips alone or of clips and words: path, URI, "
        "hf://owner/repo/file, or `packaged`; default: fresh ones",
    )
    model_options: Annotated[dict[str, int], MODEL.spelled("--model-option")] = Field(
        default_factory=dict,
        description="Free configuration, key=value, e.g. embed_dim, depth, patch_size, text_dim, "
        "text_depth, joint_dim; default: the model's",
    )
    freeze_vision: Annotated[bool, MODEL] = Field(
        False,
        description="Train words alone, into the space of the vectors that `vfeat extract` "
        "stores with the same weights; clips are embedded once",
    )
    vocabulary: Annotated[str, MODEL] = Field(
        "bert",
        description="Words: bert (bert-base-uncased's 30,522), captions (those of the list), or "
        "a tokenizer.json",
    )
    min_word_count: Annotated[int, MODEL.measured_in("captions")] = Field(
        2, ge=1, description="Training captions that must have a word, for vocabulary captions"
    )
    num_frames: Annotated[int | None, CLIPS.measured_in("frames")] = Field(
        None, ge=1, le=1024, description="Frames in a clip; default: the weights' own, or 8"
    )
    clip_seconds: Annotated[float | None, CLIPS] = Field(
        None, gt=0, description="Length of a clip's window; default: the weights' own, or 8"
    )
    stride_seconds: Annotated[float | None, CLIPS] = Field(
        None, gt=0, description="Time between clip starts; default: the clip's length"
    )
    sampling: Annotated[FixedSampling, CLIPS] = Field(
        "dense", description="dense grid, or sparse over the whole video"
    )
    size: Annotated[int | None, CLIPS.measured_in("pixels")] = Field(
        None,
        ge=16,
        le=4096,
        description="Side of the square input; default: the weights' own, or 224",
    )
    resize: Annotated[Resize | None, CLIPS] = Field(
        None, description="How frames are resized; default: the weights' own, or bicubic"
    )
    fit: Annotated[Fit | None, CLIPS] = Field(
        None,
        description="crop a square, or squash the whole picture into it; default: the weights' own",
    )
    square_pixels: Annotated[bool, CLIPS] = Field(False, description="Apply the pixel aspect ratio")
    decoder: Annotated[str, CLIPS] = Field(
        "pyav", description="pyav, decord, torchcodec or module:object"
    )

    temperature: Annotated[float | None, OBJECTIVE] = Field(
        None,
        gt=0,
        le=1,
        description="Temperature of the contrastive loss at the start; it learns; default: the "
        "weights' own, or 0.07",
    )
    match_weight: Annotated[float | None, OBJECTIVE] = Field(
        None,
        ge=0,
        description="Weight of telling a clip's own caption from a hard negative; default: 1, or "
        "0 with freeze_vision",
    )
    mlm_weight: Annotated[float, OBJECTIVE] = Field(
        0.0, ge=0, description="Weight of the prediction of hidden words from a clip and the others"
    )
    mlm_ratio: Annotated[float, OBJECTIVE] = Field(
        0.5, gt=0, lt=1, description="Share of the words that is hidden for it"
    )
    vision_mask_ratio: Annotated[float, OBJECTIVE] = Field(
        0.0, ge=0, lt=1,
        description="Share of a clip's patches that is hidden in training, the same ones all the "
        "time: faster, and a dense picture is seen in evaluation",
    )  # fmt: skip

    epochs: Annotated[int, TRAINING] = Field(10, ge=1, description="Passes over the training list")
    batch_size: Annotated[int, TRAINING.measured_in("clips")] = Field(
        64, ge=2, description="Clips with their captions in a step: each other's negatives"
    )
    lr: Annotated[float, TRAINING] = Field(4e-4, gt=0, description="Highest learning rate")
    min_lr: Annotated[float, TRAINING] = Field(
        1e-6, ge=0, description="Learning rate at the end of the cosine"
    )
    warmup_epochs: Annotated[float, TRAINING] = Field(
        1.0, ge=0, description="Epochs of linear rise to lr"
    )
    weight_decay: Annotated[float, TRAINING] = Field(
        0.02, ge=0, description="Weight decay of matrices and filters only"
    )
    clip_norm: Annotated[float, TRAINING] = Field(
        1.0, gt=0, description="Largest norm of the gradient"
    )
    bf16: Annotated[bool, TRAINING] = Field(True, description="bfloat16 autocast on a GPU")
    bf16_products: Annotated[bool, TRAINING] = Field(
        False, description="Allow bfloat16 in matrix products on a CPU (AMX)"
    )
    checkpoint_activations: Annotated[bool, TRAINING] = Field(
        False, description="Compute activations again in backward: less memory, a third slower"
    )
    seed: Annotated[int, TRAINING] = Field(0, description="Seed of every random draw")

    random_crop: Annotated[float, DATA] = Field(
        0.0, ge=0, le=0.9, description="Share of the side that a clip's crop leaves out, at most"
    )
    jitter: Annotated[float, DATA] = Field(
        0.0, ge=0, le=1, description="Strength of brightness, contrast, colour; captions may name "
        "colours"
    )  # fmt: skip
    gray: Annotated[float, DATA] = Field(
        0.0, ge=0, le=1, description="Share of clips without colour"
    )

    eval_every: Annotated[int, EVALUATION.measured_in("epochs")] = Field(
        1, ge=1, description="Epochs between validations"
    )
    keep: Annotated[RetrievalKeep, EVALUATION] = Field(
        "score",
        description="The epoch that is kept: with the highest mean R@1 of both ways on the "
        "validation split (score), with its lowest contrastive loss (loss), or the last",
    )

    device: Annotated[Literal["auto", "cpu", "cuda"], WHERE] = Field(
        "auto", description="Device of the model; auto takes a GPU where there is one"
    )
    workers: Annotated[int, WHERE.measured_in("processes")] = Field(
        1, ge=1, description="Processes of the training: one"
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
    def _fields_agree(self) -> TrainRetrievalJob:
        if self.workers > 1:
            raise ValueError(
                f"workers {self.workers}: train retrieval runs in one process, because every clip "
                "of a batch is a negative of every caption; give a larger batch_size instead"
            )
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr:g} is above lr {self.lr:g}")
        if self.freeze_vision and self.weights is None:
            raise ValueError("freeze_vision keeps the weights as they are: give weights")
        if self.freeze_vision and (self.match_weight or self.mlm_weight):
            raise ValueError(
                "freeze_vision trains words alone: leave out match_weight and mlm_weight, whose "
                "layers read the clip's tokens"
            )
        changes = (self.random_crop, self.jitter, self.gray, self.vision_mask_ratio)
        if self.freeze_vision and any(changes):
            raise ValueError(
                "freeze_vision embeds each clip once: leave out random_crop, jitter, gray and "
                "vision_mask_ratio"
            )
        return self

    @property
    def matching(self) -> float:
        """Weight of the matching loss."""
        if self.match_weight is not None:
            return self.match_weight
        return 0.0 if self.freeze_vision else 1.0

    def settled(self, own_clip: ClipSpec, own_frame: FrameSpec) -> TrainRetrievalJob:
        """Return the job with the weights' own clips and frames where it leaves them open."""
        own = {
            "num_frames": own_clip.num_frames,
            "clip_seconds": own_clip.clip_s,
            "size": own_frame.size,
            "resize": own_frame.resize,
            "fit": own_frame.fit,
        }
        return self.model_copy(update={k: v for k, v in own.items() if getattr(self, k) is None})

    @property
    def as_encoder_job(self) -> TrainEncoderJob:
        """The same clips, batches, schedule and limits as a job of `train encoder` has them."""
        shared = TrainEncoderJob.model_fields.keys() & type(self).model_fields.keys()
        own = {"kind", "workers", "weights", "model", "model_options"}
        fields = {name: getattr(self, name) for name in shared - own}
        open_fields = [name for name, value in fields.items() if value is None]
        return TrainEncoderJob(
            **{n: v for n, v in fields.items() if n not in open_fields or n == "decode_workers"}
        )

    def numbers(self) -> dict[str, Any]:
        """Return the fields that decide the numbers, for a comparison with an earlier run."""
        fields = self.model_dump(mode="json")
        return {name: value for name, value in fields.items() if name not in NOT_NUMBERS}


def default_numbers() -> dict[str, Any]:
    """Return the fields that decide the numbers, at their defaults."""
    return TrainRetrievalJob.model_validate({"source": "", "out": ""}).numbers()
