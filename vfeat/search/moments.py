"""Neighbouring hits of one video as one moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from vfeat.search.hit import Hit, Moment


def merge(hits: Iterable[Hit], gap_clips: int = 1) -> list[Moment]:
    """Merge hits of one video that lie beside each other on the clip grid.

    Args:
        gap_clips: clips that may lie between two hits of one moment.

    Returns:
        Moments, best first; equal scores in the order of the videos and clips.
    """
    by_video: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_video[hit.video_id].append(hit)
    found = [moment for own in by_video.values() for moment in _moments(own, gap_clips)]
    found.sort(key=lambda m: (m.best.uri, m.start_s))
    return sorted(found, key=lambda m: m.best.rank, reverse=True)


def _moments(hits: list[Hit], gap_clips: int) -> Iterator[Moment]:
    hits = sorted(hits, key=lambda hit: hit.clip_index)
    run: list[Hit] = []
    for hit in hits:
        if run and hit.clip_index - run[-1].clip_index > gap_clips + 1:
            yield _moment(run)
            run = []
        run.append(hit)
    if run:
        yield _moment(run)


def _moment(run: list[Hit]) -> Moment:
    best = max(run, key=lambda hit: hit.rank)
    return Moment(best, run[0].start_s, max(hit.end_s for hit in run), len(run))
