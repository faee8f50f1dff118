"""Estimate of the time that work will take, and its basis."""

from __future__ import annotations

import os
from dataclasses import dataclass

# VideoMamba-Tiny, 8 frames of 224 pixels, float32: 1569 tokens, width 192, 24 layers.
_REFERENCE_WORK = 1569 * 192 * 24
_CPU_CORE_S = 4.8  # torch back-end, 2.4 s on two cores
_GPU_S = 0.0008  # one current data-centre GPU; an estimate until a run has measured it


@dataclass(frozen=True)
class Estimate:
    """Seconds of one worker for one clip's forward pass, decoding not included.

    Attributes:
        clip_s: model seconds a clip.
        workers: how many workers the plan counts on.
        decoders: decoder children a worker has; decoding overlaps with the model.
        basis: one sentence for `--dry-run`.
    """

    clip_s: float
    workers: int
    decoders: int
    basis: str

    def unit_s(self, clips: int, decode_s: float) -> float:
        """Return the seconds for a unit of `clips` whose decoding takes `decode_s` of one core."""
        return max(clips * self.clip_s, decode_s / self.decoders)


def from_model(
    tokens: int, width: int, depth: int, *, gpu: bool, workers: int, decoders: int
) -> Estimate:
    """Scale the built-in figure of VideoMamba-Tiny by tokens, width and depth."""
    work = tokens * width * depth / _REFERENCE_WORK
    if gpu:
        basis = "a built-in figure for one data-centre GPU (not measured here)"
        return Estimate(_GPU_S * work, workers, decoders, basis)
    cores = os.cpu_count() or 1
    basis = f"a built-in figure for the model on {cores} CPU cores (not measured here)"
    return Estimate(_CPU_CORE_S * work / cores, workers, decoders, basis)


def from_run(run: str, clips: int, busy_s: float, *, workers: int, decoders: int) -> Estimate:
    """Make an estimate from what an earlier run into the same dataset measured."""
    basis = f"run {run} of this dataset: {clips / busy_s:.2f} clips/s a worker"
    return Estimate(busy_s / clips, workers, decoders, basis)
