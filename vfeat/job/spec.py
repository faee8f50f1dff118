"""The job file: one typed model for flags, YAML and Python.

A field here is a flag of its command (`stride_seconds` is `--stride-seconds`, see `flag.py`) and
a key of a job file. pydantic stays at this edge; what crosses processes is in `recipe.py`.
"""

from __future__ import annotations

import reprlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vfeat.errors import ErrorClass, JobError, did_you_mean
from vfeat.job.flag import CLIPS, LIMITS, MODEL, RETRIES, SOURCE, STORED, WHERE
from vfeat.job.kinds import KINDS, load
from vfeat.job.recipe import (
    SHOT_THRESHOLDS,
    ClipSpec,
    DecodeLimits,
    Dtype,
    Fit,
    FrameSpec,
    OutputSpec,
    Resize,
    Sampling,
    ShotDetector,
    ShotSpec,
    Tokens,
)
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.job.train_head import TrainHeadJob
from vfeat.job.train_retrieval import TrainRetrievalJob

Executor = Literal["ray", "inline"]
Device = Literal["auto", "cpu", "cuda"]
DecodeOn = Literal["auto", "encode-nodes", "all"]
Retried = ErrorClass | Literal["all"]


class Placement(BaseModel):
    """Where a job runs and when it gives up: the same for every stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[str, SOURCE] = Field(description="Dataset root: a folder or an s3:// prefix")
    executor: Annotated[Executor, WHERE] = Field(
        "ray", description="ray, or inline in this process for debugging"
    )
    address: Annotated[str | None, WHERE] = Field(
        None, description="Ray cluster address; default: a local one"
    )
    device: Annotated[Device, WHERE] = Field(
        "auto", description="Device of the model; auto takes a GPU where there is one"
    )
    actors: Annotated[int | None, WHERE] = Field(
        None, ge=1, description="Actors; default: one per GPU or CPU node"
    )
    gpus_per_actor: Annotated[float, WHERE.measured_in("GPUs")] = Field(
        1.0, gt=0, le=8, description="GPU share of an actor"
    )
    breaker_first_units: Annotated[int, LIMITS.measured_in("units")] = Field(
        25, ge=1, description="Stop when this many first units all fail"
    )
    breaker_error_share: Annotated[float, LIMITS] = Field(
        0.5, gt=0, le=1, description="Stop when more than this share fails in one way"
    )
    storage_patience_seconds: Annotated[float, LIMITS] = Field(
        120.0, ge=0, description="How long an unreachable store is waited for"
    )


class ExtractJob(Placement):
    """Stage one: a corpus in, a features dataset out."""

    kind: Literal["extract"] = "extract"
    sources: Annotated[tuple[str, ...], SOURCE.positional("SRC...")] = Field(
        min_length=1,
        description="Folders, files, globs, s3:// prefixes, or CSV/Parquet lists with a uri column",
    )
    model: Annotated[str | None, MODEL] = Field(
        None,
        description="Model name; `vfeat models` lists them. Or vit:FOLDER, vit:owner/repo. "
        "Default: the one in the package, or videomamba_tiny where weights are given",
    )
    weights: Annotated[str | None, MODEL] = Field(
        None,
        description="Path, fsspec URI or hf://owner/repo/file; `random` for a fixed seed. "
        "Default: those of the model in the package",
    )
    model_options: Annotated[dict[str, int], MODEL.spelled("--model-option")] = Field(
        default_factory=dict,
        description="Free configuration, key=value, e.g. embed_dim, depth, patch_size; default: "
        "the model's",
    )
    label_names: Annotated[str | None, MODEL.spelled("--labels")] = Field(
        None,
        description="Class names: k400, ssv2, imagenet, or a file with a name a line; default: "
        "the model's own. For a model of words and video: sentences, of which each clip gets the "
        "nearest",
    )

    num_frames: Annotated[int | None, CLIPS.measured_in("frames")] = Field(
        None, ge=1, le=1024, description="Frames in a clip; default: the model's own, often 8"
    )
    clip_seconds: Annotated[float | None, CLIPS] = Field(
        None, gt=0, description="Length of a clip's window; default: the model's own, or 2"
    )
    stride_seconds: Annotated[float | None, CLIPS] = Field(
        None, gt=0, description="Time between clip starts; default: the clip's length"
    )
    sampling: Annotated[Sampling, CLIPS] = Field(
        "dense",
        description="dense grid; sparse over the whole video; shots, so that no clip spans a cut",
    )
    sparse_clips: Annotated[int, CLIPS.measured_in("clips")] = Field(
        4, ge=1, description="Clips per video when sampling is sparse"
    )
    shot_detector: Annotated[ShotDetector, CLIPS] = Field(
        "content",
        description="Finder of cuts when sampling is shots: content or adaptive (PySceneDetect), "
        "or transnetv2 (a network)",
    )
    shot_threshold: Annotated[float | None, CLIPS] = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Score from which on a frame is a cut; default: the detector's, content 27, "
        "adaptive 3, transnetv2 0.5",
    )
    min_shot_seconds: Annotated[float, CLIPS] = Field(
        0.6,
        ge=0,
        allow_inf_nan=False,
        description="Least length of a shot; an earlier cut does not count",
    )

    size: Annotated[int | None, CLIPS.measured_in("pixels")] = Field(
        None,
        ge=16,
        le=4096,
        description="Side of the model's square input; default: its own, VideoMamba's 224",
    )
    resize: Annotated[Resize | None, CLIPS] = Field(
        None,
        description="bilinear (official), area (antialiased) or bicubic; default: the model's "
        "own, VideoMamba's bilinear",
    )
    fit: Annotated[Fit | None, CLIPS] = Field(
        None,
        description="crop cuts squares; squash resizes the whole picture to one; default: the "
        "model's own, mostly crop",
    )
    crops: Annotated[Literal[1, 3], CLIPS] = Field(
        1, description="1 centre crop, or 3 along the long side, averaged"
    )
    flips: Annotated[bool | None, CLIPS] = Field(
        None,
        description="Take labels from the mean over a clip and its flips; default: where the "
        "weights were measured so",
    )
    square_pixels: Annotated[bool, CLIPS] = Field(False, description="Apply the pixel aspect ratio")
    decoder: Annotated[str, CLIPS] = Field(
        "pyav", description="pyav, nvdec (the GPU), decord, torchcodec or module:object"
    )

    tokens: Annotated[Tokens, STORED] = Field(
        "none", description="Also keep per-frame or per-patch tokens"
    )
    dtype: Annotated[Dtype, STORED] = Field(
        "float32", description="Compute type; bfloat16 stores float16 vectors"
    )
    top_k: Annotated[int, STORED.measured_in("labels")] = Field(
        5, ge=0, le=100, description="Labels kept for each clip"
    )

    decode_workers: Annotated[int | None, WHERE.measured_in("processes")] = Field(
        None, ge=1, description="Decoder children per actor; default: by cores"
    )
    decode_on: Annotated[DecodeOn, WHERE] = Field(
        "auto",
        description="Where videos are decoded: encode-nodes, beside the actors; all, also on "
        "every other node with cores; auto, all where actors have GPUs, else encode-nodes",
    )
    batch_size: Annotated[int | None, WHERE.measured_in("clips")] = Field(
        None, ge=1, description="Clips in a batch; default: by memory"
    )

    shard_minutes: Annotated[float, STORED] = Field(
        5.0, gt=0, le=120, description="Estimated work in a shard"
    )
    shard_megabytes: Annotated[int, STORED] = Field(
        256, ge=1, le=4096, description="Largest size of a shard's file"
    )
    decode_timeout_seconds: Annotated[float, LIMITS] = Field(
        60.0, gt=0, description="Longest decode without progress"
    )
    max_frame_pixels: Annotated[int, LIMITS] = Field(
        8192 * 8192, ge=1, description="Larger frames are refused by their header"
    )
    max_video_seconds: Annotated[float, LIMITS] = Field(
        4e9, gt=0, description="Longer videos are refused, gaps between their frames included"
    )
    max_video_clips: Annotated[int, LIMITS.measured_in("clips")] = Field(
        10_000_000, ge=1, description="Videos with more clips are refused, empty ones not counted"
    )
    child_memory_megabytes: Annotated[int, LIMITS] = Field(
        6144, ge=512, description="Address space of a decoder child"
    )
    videos_per_child: Annotated[int, LIMITS] = Field(
        200, ge=1, description="A decoder child is replaced after so many videos"
    )
    retry_errors: Annotated[tuple[Retried, ...] | None, RETRIES] = Field(
        None, description="Plan failed units again: error classes, or `all`; default: none"
    )

    @model_validator(mode="after")
    def _stride_reaches(self) -> ExtractJob:
        if self.crops == 3 and self.tokens != "none":
            raise ValueError(
                "crops: 3 averages embeddings; tokens cannot be averaged, use crops: 1"
            )
        about_shots = {"shot_detector", "shot_threshold", "min_shot_seconds"}
        if self.sampling != "shots" and (named := sorted(about_shots & self.model_fields_set)):
            raise ValueError(f"{named[0]} is for sampling: shots, and sampling is {self.sampling}")
        return self

    def clip_spec(self, own: ClipSpec) -> ClipSpec:
        """Return the clip grid; `own` is the model's, for what the job leaves open."""
        clip_s = own.clip_s if self.clip_seconds is None else self.clip_seconds
        return ClipSpec(
            self.num_frames or own.num_frames, clip_s, self.stride_seconds or clip_s,
            self.sampling, self.sparse_clips, self._shot_spec,
        )  # fmt: skip

    @property
    def _shot_spec(self) -> ShotSpec | None:
        """Detection of shots, but for the detector's version, which is this machine's."""
        if self.sampling != "shots":
            return None
        name, threshold = self.shot_detector, self.shot_threshold
        threshold = SHOT_THRESHOLDS[name] if threshold is None else threshold
        return ShotSpec(name, threshold, self.min_shot_seconds)

    def frame_spec(self, own: FrameSpec) -> FrameSpec:
        """Return the frames' preparation; `own` is the model's, for what the job leaves open."""
        return FrameSpec(
            self.size or own.size, self.resize or own.resize, self.crops, self.square_pixels,
            self.decoder, own.mean, own.std, self.fit or own.fit,
        )  # fmt: skip

    @property
    def output_spec(self) -> OutputSpec:
        """Columns and compute type of a row."""
        return OutputSpec(self.tokens, self.dtype, self.top_k)

    @property
    def limits(self) -> DecodeLimits:
        """Bounds of the decoder children."""
        return DecodeLimits(
            timeout_s=self.decode_timeout_seconds,
            max_frame_pixels=self.max_frame_pixels,
            max_video_s=self.max_video_seconds,
            max_video_clips=self.max_video_clips,
            memory_bytes=self.child_memory_megabytes << 20,
            videos_per_child=self.videos_per_child,
        )


class ClassifyJob(Placement):
    """Stage two: a features dataset and heads in, a predictions dataset out."""

    kind: Literal["classify"] = "classify"
    features: Annotated[str, SOURCE.positional("FEATURES")] = Field(
        description="Features dataset: what `vfeat extract` wrote"
    )
    heads: Annotated[tuple[str, ...], MODEL.spelled("--head")] = Field(
        (),
        description="Folders of heads: what `vfeat train head` wrote; default: the one in the "
        "package, for features of its own model",
    )
    window_seconds: Annotated[float | None, CLIPS] = Field(
        None, gt=0, description="Length of a sliding window; default: the head's own"
    )
    hop_seconds: Annotated[float | None, CLIPS] = Field(
        None, gt=0, description="Time between windows; default: the head's own"
    )
    windows: Annotated[bool, STORED] = Field(False, description="Also write a row for each window")
    top_k: Annotated[int, STORED.measured_in("labels")] = Field(
        5, ge=1, le=1000, description="Labels kept in a row"
    )
    embedding: Annotated[bool, STORED] = Field(
        False, description="Also keep the head's mean over time, before its last layer"
    )
    shard_minutes: Annotated[float, STORED] = Field(
        5.0, gt=0, le=120, description="Estimated work in a shard"
    )
    retry_errors: Annotated[tuple[Retried, ...] | None, RETRIES] = Field(
        None, description="Do failed videos again: error classes, or `all`; default: none"
    )

    @model_validator(mode="after")
    def _hop_needs_a_window(self) -> ClassifyJob:
        if self.hop_seconds is not None and self.window_seconds is None:
            raise ValueError("hop_seconds needs window_seconds")
        return self


class ImportJob(Placement):
    """Features that something else extracted in, a features dataset out."""

    kind: Literal["import"] = "import"
    sources: Annotated[tuple[str, ...], SOURCE.positional("SRC...")] = Field(
        min_length=1,
        description="Folders, files, globs or s3:// prefixes with .npy, .npz, .h5 or .parquet "
        "files; one row of an array is one step",
    )
    name: Annotated[str, SOURCE] = Field(
        min_length=1,
        max_length=200,
        description="Name of what made the features, such as resnet50-imagenet; part of the "
        "recipe, so that a head reads features of the same name only",
    )
    step_seconds: Annotated[float, CLIPS] = Field(
        gt=0, allow_inf_nan=False, description="Time between two steps, and length of a step"
    )
    array: Annotated[str | None, STORED] = Field(
        None,
        description="Array of an .npz or .h5 file, or column of a .parquet file, with the "
        "vectors; default: every array of two dimensions, the only column of lists",
    )
    video_column: Annotated[str | None, STORED] = Field(
        None,
        description="Column of a .parquet file that names the video of a row; default: uri, "
        "video_id or video, or else the whole file is one video",
    )
    transposed: Annotated[bool, STORED] = Field(
        False, description="Arrays are [width, steps], as Breakfast's I3D features are"
    )
    dtype: Annotated[Literal["float32", "float16"] | None, STORED] = Field(
        None, description="Type of the stored vectors; default: that of the first file"
    )
    shard_megabytes: Annotated[int, STORED] = Field(
        256, ge=1, le=4096, description="Size of a shard's file; a longer video exceeds it"
    )
    max_array_megabytes: Annotated[int, LIMITS] = Field(
        4096, ge=1, description="Larger arrays are refused by their header"
    )
    retry_errors: Annotated[tuple[Retried, ...] | None, RETRIES] = Field(
        None, description="Read failed sequences again: error classes, or `all`; default: none"
    )
    executor: Annotated[Executor, WHERE] = Field(
        "inline", description="inline in this process, or ray for many or remote files"
    )
    device: Annotated[Device, WHERE] = Field("cpu", description="Workers need no GPU")


Job = ExtractJob | ClassifyJob | ImportJob | TrainHeadJob | TrainEncoderJob | TrainRetrievalJob


def parse_extract(fields: dict[str, Any]) -> ExtractJob:
    """Validate a mapping into an extraction; see `parse_job`."""
    job = parse_job({**fields, "kind": "extract"})
    assert isinstance(job, ExtractJob)
    return job


def parse_train_head(fields: dict[str, Any]) -> TrainHeadJob:
    """Validate a mapping into a training of heads; see `parse_job`."""
    job = parse_job({**fields, "kind": "train-head"})
    assert isinstance(job, TrainHeadJob)
    return job


def parse_train_encoder(fields: dict[str, Any]) -> TrainEncoderJob:
    """Validate a mapping into a training of an encoder; see `parse_job`."""
    job = parse_job({**fields, "kind": "train-encoder"})
    assert isinstance(job, TrainEncoderJob)
    return job


def parse_train_retrieval(fields: dict[str, Any]) -> TrainRetrievalJob:
    """Validate a mapping into a training of words; see `parse_job`."""
    job = parse_job({**fields, "kind": "train-retrieval"})
    assert isinstance(job, TrainRetrievalJob)
    return job


# Aliases of YAML may stand for a value of any size.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 200
_SHORT.maxlevel = 2
_MOST_SENTENCES = 20


def kind_name(fields: dict[str, Any]) -> str:
    """Return the kind of a job, as the table of jobs has it.

    Raises:
        JobError: there is no such kind.
    """
    name = fields.get("kind", "extract")
    if not isinstance(name, str) or name not in KINDS:
        known = ", ".join(KINDS)
        raise JobError(f"kind: {_SHORT.repr(name)} is not a job of vfeat; expected {known}")
    return name


def parse_job(fields: dict[str, Any]) -> Job:
    """Validate a mapping into a job.

    Raises:
        JobError: naming every wrong field, what was given, and the nearest right name.
    """
    model: type[BaseModel] = load(KINDS[kind_name(fields)].job)
    try:
        job: Job = model.model_validate(fields)  # type: ignore[assignment]
        return job
    except ValidationError as error:
        found = error.errors()
        more = [f"and {len(found) - _MOST_SENTENCES} more"] if len(found) > _MOST_SENTENCES else []
        sentences = [_sentence(one, model) for one in found[:_MOST_SENTENCES]]
        raise JobError(*sentences, *more) from None


def _sentence(error: Any, model: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if not name:  # fields that do not go together
        return str(message)
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(name, model.model_fields)
        return f"{name}: unknown field; {hint}" if hint else f"{name}: unknown field"
    if error["type"] == "missing":
        return f"{name}: required"
    return f"{name}: {message} (given: {_SHORT.repr(error['input'])})"
