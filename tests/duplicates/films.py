"""Clip vectors of invented videos, with stretches of one in another.

A video is a path through a space that has its own direction at each moment; neighbouring clips
overlap, so that their vectors are alike. All videos share a mean, and most of their variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vfeat.duplicates.background import prepare
from vfeat.duplicates.clips import Clips
from vfeat.duplicates.find import Duplicates, find_in, silent

WIDTH = 48
CLIP_S, STRIDE_S = 2.0, 1.0
F32 = npt.NDArray[np.float32]
_SHARED = np.random.default_rng(0).normal(size=WIDTH) * 3
_SCALES = np.linspace(3, 0.5, WIDTH)


class Content:
    """Content of a video at each of its seconds."""

    def __init__(self, seed: int, seconds: float) -> None:
        steps = np.random.default_rng(seed).normal(size=(int(seconds * 4) + 40, WIDTH))
        # A second of content is the mean of what changes every quarter of one.
        kernel = np.hanning(10)[:, None]
        self._steps = np.stack(
            [(steps[n : n + 10] * kernel).sum(0) for n in range(len(steps) - 10)]
        )

    def at(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return vectors at times between 0 and the length."""
        place = times_s * 4
        low = np.floor(place).astype(int)
        share = (place - low)[:, None]
        return (1 - share) * self._steps[low] + share * self._steps[low + 1]


def film(seconds: float, *parts: tuple[Content, float, float, float, float]) -> F32:
    """Return the vectors of a video.

    Args:
        seconds: its length; clips begin every STRIDE_S.
        parts: content, second of the video where it begins, seconds that it lasts, second of the
            content that it begins with, and speed; a later part covers earlier ones.
    """
    starts = np.arange(0, seconds - CLIP_S + 1e-9, STRIDE_S)
    vectors = np.zeros((len(starts), WIDTH))
    for content, from_s, length_s, content_s, speed in parts:
        inside = (starts >= from_s) & (starts + CLIP_S <= from_s + length_s)
        # The middle of a clip decides: a slower one shows less of the content around it.
        middles = content_s + (starts[inside] + CLIP_S / 2 - from_s) * speed
        vectors[inside] = content.at(middles)
    return noisy(vectors * _SCALES + _SHARED, len(starts))


def noisy(vectors: npt.NDArray[np.float64], seed: int, amount: float = 0.15) -> F32:
    """Add what a second encoding changes."""
    noise = np.random.default_rng(seed).normal(size=vectors.shape) * amount * _SCALES
    return (vectors + noise).astype(np.float32)


def own(seed: int, seconds: float = 60) -> tuple[Content, float, float, float, float]:
    """Return content of a video's own, over its whole length."""
    return Content(seed, seconds), 0.0, seconds, 0.0, 1.0


def clips_of(
    videos: Mapping[str, F32], asked: Sequence[str] | None = None, stride_s: float = STRIDE_S
) -> Clips:
    """Return clips as they are read from datasets; `asked` are the videos of the first."""
    first = sorted(videos if asked is None else asked)
    names = [*first, *sorted(videos.keys() - set(first))]
    counts = [len(videos[name]) for name in names]
    start = np.concatenate([np.arange(count) * stride_s for count in counts])
    vectors = np.concatenate([videos[name] for name in names])
    return Clips(
        vectors, np.repeat(np.arange(len(names), dtype=np.int32), counts), start, start + CLIP_S,
        np.cumsum([0, *counts]), tuple(names), tuple(names), len(first),
    )  # fmt: skip


def found(videos: Mapping[str, F32], asked: Sequence[str] | None = None) -> Duplicates:
    """Return what is found among some videos."""
    return find_in(prepare(clips_of(videos, asked), silent))


def pairs(result: Duplicates) -> set[tuple[str, str]]:
    """Return the pairs of videos that share something."""
    uris = result.clips.uris
    return {(uris[s.a], uris[s.b]) for s in result.segments}
