"""Columns of the published tables. Names, types and order are the contract."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from vfeat.job.fingerprint import SCHEMA_VERSION
from vfeat.job.recipe import OutputSpec

LABELS = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))

COLUMN_NOTES = {
    "video_id": "hash of uri and etag (or size and mtime); 32 hex digits",
    "uri": "absolute path or URI of the video, without user information and web query",
    "clip_index": "place on the clip grid; on a dense grid clip k starts at k * stride_s",
    "start_s": "start of the clip's window, seconds after the first presented frame",
    "end_s": "end of the clip's window, seconds; past the end of the video for a last, short clip",
    "shot_index": "number of the shot that the clip lies on, from 0; only with --sampling shots",
    "shot_start_s": "start of that shot, seconds after the first presented frame",
    "shot_end_s": "end of that shot, seconds: the start of the next one, or the end of the video",
    "embedding": "normalised class token; of a frame-wise model the mean of its frames' tokens",
    "labels": "best classes with their softmax scores, best first; empty without a trained head",
    "frame_tokens": "[steps, width]: the mean patch token of each frame step, or the class token "
    "of each frame of a frame-wise model",
    "patch_tokens": "every patch token, step-major, [steps * patches, width]; a frame-wise model's "
    "class token and registers stand before the patches of each frame",
    "shard": "name of the file that this row stands in",
}


@dataclass(frozen=True)
class RowShape:
    """Widths of a features row.

    Attributes:
        dim: embedding width.
        steps: frame steps (frames over tubelet).
        patches: tokens kept of one frame step: its patches, and whatever a frame-wise model
            has before them.
    """

    dim: int
    steps: int
    patches: int

    def bytes_per_clip(self, output: OutputSpec) -> int:
        """Return the size of a row's vectors before compression, plus its other columns."""
        item = 2 if output.dtype == "bfloat16" else 4
        vectors = {"none": 1, "frame": 1 + self.steps, "patch": 1 + self.steps * self.patches}
        return vectors[output.tokens] * self.dim * item + 64 + 24 * output.top_k


SHOT_COLUMNS = (
    pa.field("shot_index", pa.int32(), nullable=False),
    pa.field("shot_start_s", pa.float64(), nullable=False),
    pa.field("shot_end_s", pa.float64(), nullable=False),
)


def features_schema(shape: RowShape, output: OutputSpec, *, shots: bool = False) -> pa.Schema:
    """Return the schema of `features/*.parquet` for one recipe.

    Args:
        shots: clips are laid on shots.
    """
    item = pa.float16() if output.dtype == "bfloat16" else pa.float32()
    vector = pa.list_(item, shape.dim)
    fields = [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("clip_index", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        *(SHOT_COLUMNS if shots else ()),
        pa.field("embedding", vector, nullable=False),
        pa.field("labels", LABELS, nullable=False),
    ]
    if output.tokens == "frame":
        fields.append(pa.field("frame_tokens", pa.list_(vector, shape.steps), nullable=False))
    if output.tokens == "patch":
        count = shape.steps * shape.patches
        fields.append(pa.field("patch_tokens", pa.list_(vector, count), nullable=False))
    fields.append(pa.field("shard", pa.string(), nullable=False))
    described = [f.with_metadata({"description": COLUMN_NOTES[f.name]}) for f in fields]
    return pa.schema(described, metadata={"vfeat.schema_version": str(SCHEMA_VERSION)})


PREDICTION_NOTES = {
    **{name: COLUMN_NOTES[name] for name in ("video_id", "uri", "shard")},
    "prediction_index": "with video_id the key: heads in order, the video, then its windows",
    "head": "task of the head, as named when it was trained",
    "window_index": "null in the row of the whole video",
    "start_s": "start of what was read, seconds after the first presented frame",
    "end_s": "its end, seconds",
    "clips": "clips that were there; the others (empty or failed) were masked",
    "labels": "best classes with their probabilities, best first; of a regression its one value",
    "logits": "what the head put out; of a video read by windows their mean",
    "embedding": "only with --embedding: the head's mean over time before its last layer; of a "
    "video read by windows their mean",
}


def predictions_schema(*, embedding: bool = False) -> pa.Schema:
    """Return the schema of `predictions/*.parquet`; lists have no size, since heads differ."""
    floats = pa.list_(pa.float32())
    fields = [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("prediction_index", pa.int32(), nullable=False),
        pa.field("head", pa.string(), nullable=False),
        pa.field("window_index", pa.int32()),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("clips", pa.int32(), nullable=False),
        pa.field("labels", LABELS, nullable=False),
        pa.field("logits", floats, nullable=False),
    ]
    if embedding:
        fields.append(pa.field("embedding", floats, nullable=False))
    fields.append(pa.field("shard", pa.string(), nullable=False))
    described = [f.with_metadata({"description": PREDICTION_NOTES[f.name]}) for f in fields]
    return pa.schema(described, metadata={"vfeat.schema_version": str(SCHEMA_VERSION)})


ERRORS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("first_clip", pa.int64(), nullable=False),
        pa.field("last_clip", pa.int64(), nullable=False),
        pa.field("error_class", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
    ]
)

PIECES = pa.list_(
    pa.struct([("file", pa.string()), ("first_row", pa.int64()), ("rows", pa.int64())])
)

VIDEOS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64()),
        pa.field("clips", pa.int64(), nullable=False),
        pa.field("planned_clips", pa.int64(), nullable=False),
        pa.field("empty_clips", pa.int64(), nullable=False),
        pa.field("error_clips", pa.int64(), nullable=False),
        pa.field("files", PIECES, nullable=False),
    ]
)

UNITS = pa.schema(
    [
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("first_clip", pa.int64(), nullable=False),
        pa.field("last_clip", pa.int64()),
        pa.field("unit_clips", pa.int64()),
        pa.field("expected_clips", pa.int64(), nullable=False),
        pa.field("cost_s", pa.float64(), nullable=False),
        pa.field("probe", pa.string()),
        pa.field("sequence", pa.string()),
        pa.field("error_class", pa.string()),
        pa.field("message", pa.string()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("has_secret", pa.bool_(), nullable=False),
    ]
)
