"""Usual vectors and scores of a dataset, so that only the unusual counts as alike.

Vectors are centred and whitened: directions in which all clips differ count less, so that two
clips of one kind (say, a pan) are no more alike than their contents are. What still is alike by
its kind is measured clip by clip, against a sample of the other videos.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from vfeat.duplicates.clips import F32, Clips, Progress

SAMPLE = 20_000
"""Clips from which mean and covariance are taken."""
COMPARED = 2048
"""Clips that each clip is compared with for what is usual."""
RIDGE = 0.01
"""Part of the mean variance that is added to each direction, so that noise is not blown up."""
USUAL_SHARE = 0.02
"""Share of the sample that may be more like a clip than what is usual for it: copies of it."""
USUAL_RANK = 12
"""The same as a number, for small datasets; a copy is like several overlapping clips."""
_BLOCK = 4096


def prepare(clips: Clips, progress: Progress) -> Clips:
    """Centre, whiten and normalise the vectors in their place.

    A vector that is not finite, or is the mean itself, becomes zero, which is like nothing.
    """
    vectors = clips.vectors_ND
    sample = np.asarray(vectors[_evenly(len(vectors), SAMPLE)], np.float64)
    sample = sample[np.isfinite(sample).all(axis=1)]
    mean_D = sample.mean(axis=0) if len(sample) else np.zeros(vectors.shape[1])
    centred = sample - mean_D
    covariance = centred.T @ centred / max(1, len(sample))
    variances, axes = np.linalg.eigh(covariance)
    # Few clips do not show the small variances; these then count as if they were larger.
    ridge = max(RIDGE, vectors.shape[1] / (10 * max(1, len(sample)))) * variances.mean()
    whiten_DD = axes / np.sqrt(np.maximum(variances, 0) + ridge + 1e-12)
    for first in range(0, len(vectors), _BLOCK):
        with np.errstate(invalid="ignore", over="ignore"):
            block = (vectors[first : first + _BLOCK] - mean_D) @ whiten_DD
            lengths = np.linalg.norm(block, axis=1, keepdims=True)
            block = np.where(np.isfinite(lengths) & (lengths > 1e-6), block / lengths, 0)
        vectors[first : first + _BLOCK] = block
        progress("Normalising", min(first + _BLOCK, len(vectors)), len(vectors))
    return dataclasses.replace(clips, vectors_ND=vectors)


def usual_likeness(clips: Clips, progress: Progress) -> F32:
    """Return for each clip the cosine that clips of other videos usually do not exceed.

    Args:
        clips: prepared.
    """
    vectors = clips.vectors_ND
    chosen = _evenly(len(vectors), COMPARED)
    sample, video = np.asarray(vectors[chosen]), clips.video_N[chosen]
    usual_N = np.zeros(len(vectors), np.float32)
    for first in range(0, len(vectors), _BLOCK):
        rows = slice(first, min(first + _BLOCK, len(vectors)))
        likeness = np.asarray(vectors[rows]) @ sample.T
        is_own = clips.video_N[rows, None] == video
        likeness[is_own] = -np.inf
        others = len(chosen) - is_own.sum(axis=1)
        rank = np.clip(np.maximum(USUAL_RANK, USUAL_SHARE * others), 0, others // 2).astype(int)
        falling = -np.sort(-likeness, axis=1)
        found = falling[np.arange(len(rank)), np.minimum(rank, len(chosen) - 1)]
        usual_N[rows] = np.where(np.isfinite(found), found, 0)
        progress("Comparing with the background", rows.stop, len(vectors))
    return np.clip(usual_N, 0, 0.98)


def _evenly(count: int, wanted: int) -> np.ndarray:
    """Return row numbers that are spread evenly; all of them where there are fewer."""
    if count <= wanted:
        return np.arange(count)
    return np.linspace(0, count - 1, wanted).astype(np.int64)
