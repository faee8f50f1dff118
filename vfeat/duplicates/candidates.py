"""The clips of other videos that are most like each clip: k for each, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vfeat.duplicates.clips import F32, I64, Clips, Progress
from vfeat.search.inverted_file import InvertedFile, has_faiss

NEIGHBOURS = 48
"""Neighbours of a clip, at least."""
EXACT_UP_TO = 50_000
"""Clips up to which all are compared with all."""
_QUERY_ROWS, _BASE_ROWS = 1024, 16_384


@dataclass(frozen=True)
class Hits:
    """Pairs of clips that are more alike than usual.

    Attributes:
        asked_H, found_H: numbers of the two clips.
        excess_H: how far above the usual they are alike: 0 is usual, 1 is equal.
    """

    asked_H: I64
    found_H: I64
    excess_H: F32


def excess(likeness: F32, usual_a: F32, usual_b: F32) -> F32:
    """Put a cosine on the scale from what is usual for both clips (0) to equality (1)."""
    usual = (usual_a + usual_b) / 2
    return np.asarray((likeness - usual) / (1 - usual), np.float32)


def neighbours_for(clips: Clips, common: int) -> int:
    """Return a number of neighbours that shows whether a clip is in more than `common` videos.

    In each of them it is like all clips that overlap the same moment.
    """
    clip_s, stride_s = clips.grid()
    return max(NEIGHBOURS, (common + 1) * 2 * max(1, round(clip_s / stride_s)))


def nearest(clips: Clips, usual_N: F32, k: int, progress: Progress) -> Hits:
    """Return up to k hits for each clip, in clips of other videos.

    Of two datasets, clips of the first are looked up in the second.
    """
    begin = int(clips.first_V[clips.asked_V]) if clips.across else 0
    end = begin if clips.across else len(clips.video_N)
    found: list[tuple[I64, I64, F32]] = []
    # Without faiss all are compared: slower, with the same results.
    is_large = len(clips.video_N) - begin > EXACT_UP_TO and has_faiss()
    batches = (_probed if is_large else _exact)(clips, begin, end, k)
    for asked, rows_QK, likeness_QK in batches:
        usable = rows_QK >= 0
        asked_QK = np.broadcast_to(asked[:, None], rows_QK.shape)
        a, b = asked_QK[usable], rows_QK[usable]
        above = excess(likeness_QK[usable], usual_N[a], usual_N[b])
        kept = above > 0
        found.append((a[kept], b[kept], above[kept]))
        progress("Looking for neighbours", int(asked[-1]) + 1, end)
    a, b, above = (np.concatenate(column) for column in zip(*found, strict=True))
    return Hits(a, b, above)


def _batches(clips: Clips, end: int, rows: int) -> Iterator[I64]:
    for first in range(0, end, rows):
        yield np.arange(first, min(first + rows, end))


def _exact(clips: Clips, begin: int, end: int, k: int) -> Iterator[tuple[I64, I64, F32]]:
    """Compare with every row, a block of rows at a time."""
    total = len(clips.video_N)
    for asked in _batches(clips, end, _QUERY_ROWS):
        queries = np.asarray(clips.vectors_ND[asked])
        best = np.full((len(asked), k), -np.inf, np.float32)
        rows = np.full((len(asked), k), -1, np.int64)
        for first in range(begin, total, _BASE_ROWS):
            last = min(first + _BASE_ROWS, total)
            likeness = queries @ np.asarray(clips.vectors_ND[first:last]).T
            likeness[clips.video_N[asked, None] == clips.video_N[first:last]] = -np.inf
            numbers = np.broadcast_to(np.arange(first, last), likeness.shape)
            all_likeness = np.concatenate([best, likeness], axis=1)
            all_rows = np.concatenate([rows, numbers], axis=1)
            chosen = np.argpartition(-all_likeness, k - 1, axis=1)[:, :k]
            best = np.take_along_axis(all_likeness, chosen, axis=1)
            rows = np.take_along_axis(all_rows, chosen, axis=1)
        yield asked, np.where(np.isfinite(best), rows, -1), best


def _probed(clips: Clips, begin: int, end: int, k: int) -> Iterator[tuple[I64, I64, F32]]:
    """Search an inverted file video by video, so that the video's own rows can be left out."""
    index = InvertedFile(lambda rows: clips.vectors_ND[rows], begin, len(clips.video_N))
    for video in range(clips.asked_V):
        own = clips.rows(video)
        for first in range(own.start, own.stop, _QUERY_ROWS):
            asked = np.arange(first, min(first + _QUERY_ROWS, own.stop))
            likeness, rows = index.search(clips.vectors_ND[asked], k, own)
            yield asked, rows, likeness
