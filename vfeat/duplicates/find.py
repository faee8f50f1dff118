"""All partial copies of a dataset: neighbours, lines through them, stretches along the lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vfeat.duplicates.background import prepare, usual_likeness
from vfeat.duplicates.candidates import Hits, nearest, neighbours_for
from vfeat.duplicates.clips import I64, Clips, Progress, read_clips
from vfeat.duplicates.groups import Groups, group
from vfeat.duplicates.lines import lines
from vfeat.duplicates.segments import Aligner, Segment
from vfeat.duplicates.weights import Weights, usual_common, weigh
from vfeat.tables.dataset import FeatureDataset

SHORTEST_S = 4.0
EVIDENCE_S = 2.0
"""Evidence that a segment needs, seconds."""
_OVERLAP = 0.5
"""Part of the smaller of two segments of one pair that makes them one find."""
_AS_STRONG = 0.8
_BESIDE = 12
"""Hits after a hit, in the order of time, among which one must support it."""


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        segments: those with most evidence first.
        recurring_clips: clips left out as evidence, since they occur in many videos.
    """

    clips: Clips
    segments: list[Segment]
    groups: Groups
    recurring_clips: int


def silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def find_duplicates(
    dataset: FeatureDataset,
    other: FeatureDataset | None = None,
    *,
    shortest_s: float = SHORTEST_S,
    common: int | None = None,
    progress: Progress = silent,
) -> Duplicates:
    """Find the stretches that two videos of a dataset share, or one of it and one of another.

    Args:
        other: compare with its videos instead of with the dataset's own.
        shortest_s: seconds that a stretch has at least.
        common: other videos in which something may occur before it counts as an intro.
        progress: called with a phase, and how many of how many steps of it are done.

    Raises:
        JobError: there are no rows, or the datasets were made by different recipes.
    """
    with read_clips(dataset, other, progress) as stored:
        clips = prepare(stored, progress)
        return find_in(clips, shortest_s=shortest_s, common=common, progress=progress)


def find_in(
    clips: Clips,
    *,
    shortest_s: float = SHORTEST_S,
    common: int | None = None,
    progress: Progress = silent,
) -> Duplicates:
    """Find the segments among prepared clips."""
    if common is None:
        common = usual_common(len(clips.uris))
    usual_N = usual_likeness(clips, progress)
    hits = nearest(clips, usual_N, neighbours_for(clips, common), progress)
    weights = weigh(clips, hits, common)
    aligner = Aligner(clips, usual_N, weights)
    found: list[Segment] = []
    for a, b, rows_a, rows_b, votes, done in _pairs(clips, hits, weights):
        found += _of_pair(aligner, a, b, rows_a, rows_b, votes, shortest_s)
        progress("Aligning", done, len(hits.asked_H))
    found.sort(key=lambda s: (-s.evidence_s, s.a, s.b, s.a_start_s))
    return Duplicates(clips, found, group(clips, found), int(weights.recurs_N.sum()))


def _pairs(
    clips: Clips, hits: Hits, weights: Weights
) -> Iterator[tuple[int, int, I64, I64, np.ndarray, int]]:
    """Yield the hits of each pair of videos, A before B, in the order of the pairs."""
    swap = hits.asked_H > hits.found_H
    row_a = np.where(swap, hits.found_H, hits.asked_H)
    row_b = np.where(swap, hits.asked_H, hits.found_H)
    order = np.lexsort((row_b, row_a, clips.video_N[row_b], clips.video_N[row_a]))
    row_a, row_b, votes = row_a[order], row_b[order], hits.excess_H[order]
    twice = np.concatenate([[False], (np.diff(row_a) == 0) & (np.diff(row_b) == 0)])
    row_a, row_b, votes = row_a[~twice], row_b[~twice], votes[~twice]  # found from both sides
    novel = np.minimum(weights.novelty_N[row_a], weights.novelty_N[row_b])
    votes = votes * novel
    kept = _supported(clips, row_a, row_b) & (votes > 0)
    row_a, row_b, votes = row_a[kept], row_b[kept], votes[kept]
    video_a, video_b = clips.video_N[row_a], clips.video_N[row_b]
    is_first = np.concatenate([[True], (np.diff(video_a) != 0) | (np.diff(video_b) != 0)])
    edges = np.append(np.flatnonzero(is_first), len(row_a)) if len(row_a) else np.array([0])
    for first, last in pairwise(edges):
        rows = slice(first, last)
        yield (
            int(video_a[first]), int(video_b[first]), row_a[rows], row_b[rows], votes[rows],
            int(last),
        )  # fmt: skip


def _supported(clips: Clips, row_a: I64, row_b: I64) -> npt.NDArray[np.bool_]:
    """Return which hits have another one of their pair nearby, in the direction of a line.

    Chance hits of unrelated videos are many more than copies, and most of them stand alone.

    Args:
        row_a, row_b: sorted by pair, then by time in A.
    """
    _, stride_s = clips.grid()
    kept = np.zeros(len(row_a), bool)
    for step in range(1, _BESIDE + 1):
        one, other = slice(None, -step), slice(step, None)
        same = (clips.video_N[row_a[one]] == clips.video_N[row_a[other]]) & (
            clips.video_N[row_b[one]] == clips.video_N[row_b[other]]
        )
        a_s = clips.start_N[row_a[other]] - clips.start_N[row_a[one]]
        b_s = clips.start_N[row_b[other]] - clips.start_N[row_b[one]]
        near = (a_s > 0) & (a_s <= 8 * stride_s) & (np.abs(b_s - a_s) <= a_s / 3 + stride_s)
        kept[one] |= same & near
        kept[other] |= same & near
    return kept


def _of_pair(
    aligner: Aligner, a: int, b: int, rows_a: I64, rows_b: I64, votes: np.ndarray,
    shortest_s: float,
) -> list[Segment]:  # fmt: skip
    """Return the segments of two videos, none of which repeats another."""
    start = aligner.clips.start_N
    # A line needs votes for about a third of the evidence: neighbours miss some clips.
    fewest = EVIDENCE_S / 3 / aligner.stride_s
    if votes.sum() < fewest:
        return []
    bin_s = max(aligner.stride_s, aligner.clip_s / 4)
    found: list[Segment] = []
    for line in lines(start[rows_a], start[rows_b], votes, bin_s, fewest):
        segment = aligner.segment(a, b, line)
        if segment is None or segment.evidence_s < EVIDENCE_S:
            continue
        if (
            min(segment.a_end_s - segment.a_start_s, segment.b_end_s - segment.b_start_s)
            < shortest_s
        ):
            continue
        found.append(segment)
    found.sort(key=lambda s: (-s.evidence_s, s.a_start_s))
    kept: list[Segment] = []
    for segment in found:
        if not any(_repeats(segment, other) for other in kept):
            kept.append(segment)
    return kept


def _repeats(one: Segment, other: Segment) -> bool:
    """Return whether a segment lies over a stronger one.

    Over one in both videos it is the same find. Over one in a single video it may be the same
    part a second time, which then has nearly as much evidence; with less it is a motion that
    comes again.
    """
    a_s = min(one.a_end_s, other.a_end_s) - max(one.a_start_s, other.a_start_s)
    b_s = min(one.b_end_s, other.b_end_s) - max(one.b_start_s, other.b_start_s)
    shorter = min(one.a_end_s - one.a_start_s, other.a_end_s - other.a_start_s)
    over = min if one.evidence_s >= _AS_STRONG * other.evidence_s else max
    return over(a_s, b_s) > _OVERLAP * shorter
