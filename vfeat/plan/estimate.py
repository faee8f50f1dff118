"""Estimate of the work in a corpus, from sizes alone, and its basis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.job.recipe import ClipSpec

# VideoMamba-Tiny, 8 frames of 224 pixels, float32: 1569 tokens, width 192, 24 layers.
_REFERENCE_WORK = 1569 * 192 * 24
_CPU_CORE_S = 4.8  # torch back-end, 2.4 s on two cores
_GPU_S = 0.0008  # one current data-centre GPU; an estimate until a run has measured it
_DECODE_CLIP_S = 0.3  # of one core: an eight-frame clip between 360p and 720p
_VIDEO_BYTES_S = 250_000  # bytes of a second of video, 2 Mbit/s
_OPEN_S = 0.05


@dataclass(frozen=True)
class Estimate:
    """The work of a corpus, from what earlier runs measured or from built-in figures.

    Attributes:
        clip_s: model seconds a clip.
        decode_clip_s: seconds of one core to decode a clip.
        clip_bytes: bytes of a video for one of its clips; 0: every video has `fixed_clips`.
        fixed_clips: clips of a video under the sparse protocol.
        workers: how many workers the plan counts on.
        decoders: decoder children a worker has; decoding overlaps with the model.
        basis: one sentence for `--dry-run`.
    """

    clip_s: float
    decode_clip_s: float
    clip_bytes: float
    fixed_clips: int
    workers: int
    decoders: int
    basis: str

    @property
    def clip_cost_s(self) -> float:
        """Seconds of one worker for one clip, decoding and model beside each other."""
        return max(self.clip_s, self.decode_clip_s / self.decoders)

    @property
    def open_s(self) -> float:
        """Seconds of one worker to open a video and lay its grid."""
        return _OPEN_S / self.decoders

    def clips(self, sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Estimate the clips of videos from their sizes, bytes."""
        if not self.clip_bytes:
            return np.full(len(sizes), self.fixed_clips, np.int64)
        return np.maximum(1, np.round(sizes / self.clip_bytes)).astype(np.int64)


@dataclass(frozen=True)
class Measured:
    """Rates of an earlier run into the same dataset.

    Attributes:
        name: of the run.
        clip_s, decode_clip_s: as in Estimate.
        clip_bytes: None when it opened no video.
    """

    name: str
    clip_s: float
    decode_clip_s: float
    clip_bytes: float | None


def measured(run: Mapping[str, Any]) -> Measured | None:
    """Return the rates that the file of a run holds; None when it did too little to measure."""
    clips = run.get("encoded_clips", 0)
    if not clips or run.get("encode_s", 0) <= 1:
        return None
    totals = run.get("totals", {})
    decoding_s = run.get("decode_s", 0) + run.get("read_s", 0)
    opened_bytes, opened_clips = totals.get("opened_bytes", 0), totals.get("opened_clips", 0)
    return Measured(
        run["run"], run["encode_s"] / clips, decoding_s / clips,
        opened_bytes / opened_clips if opened_bytes and opened_clips else None,
    )  # fmt: skip


def make_estimate(
    clip: ClipSpec, work: ModelWork, run: Measured | None, *, workers: int, decoders: int
) -> Estimate:
    """Make the estimate of a job.

    Args:
        clip: the recipe's clip grid.
        work: the model.
        run: what an earlier run measured, if there is one.
        workers: how many workers the plan counts on.
        decoders: decoder children of each.
    """
    dense = clip.sampling != "sparse"
    bytes_of_clip = clip.stride_s * _VIDEO_BYTES_S if dense else 0.0
    fixed = 0 if dense else clip.sparse_clips
    if run is None:
        clip_s, basis = work.clip_s()
        return Estimate(clip_s, _DECODE_CLIP_S, bytes_of_clip, fixed, workers, decoders, basis)
    basis = f"run {run.name} of this dataset: {1 / run.clip_s:.2f} clips/s a worker"
    if dense and run.clip_bytes:
        bytes_of_clip = run.clip_bytes
    return Estimate(
        run.clip_s, run.decode_clip_s, bytes_of_clip, fixed, workers, decoders, basis
    )  # fmt: skip


@dataclass(frozen=True)
class ModelWork:
    """Size of a model's work for one clip, in the terms of VideoMamba's cost.

    Attributes:
        tokens: of a clip, all crops and flips together.
        gpu: whether it will run on one.
        cores: of a worker's machine.
    """

    tokens: int
    width: int
    depth: int
    gpu: bool
    cores: int

    def clip_s(self) -> tuple[float, str]:
        """Scale the built-in figure of VideoMamba-Tiny; return seconds and their basis."""
        share = self.tokens * self.width * self.depth / _REFERENCE_WORK
        if self.gpu:
            return _GPU_S * share, "a built-in figure for one data-centre GPU (not measured here)"
        basis = f"a built-in figure for the model on {self.cores} CPU cores (not measured here)"
        return _CPU_CORE_S * share / self.cores, basis
