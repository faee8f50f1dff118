"""Groups of whole videos, and of stretches that are the same.

A group joins what covers itself: two videos that are the same all through, or two segments that
meet in the same stretch of one video. Videos that merely share an intro join nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vfeat.duplicates.clips import Clips
from vfeat.duplicates.segments import Segment

WHOLE_VIDEO = 0.8
"""Share of both videos that is the same where the videos are."""
SAME_STRETCH = 0.5
"""Overlap over union at which two stretches of a video are one."""


@dataclass(frozen=True)
class Stretch:
    """A part of a video."""

    video: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Groups:
    """Groups of two and more.

    Attributes:
        videos: places of videos that are copies as a whole.
        stretches: parts of videos that are the same.
        of_segment: for each segment the number of the group of its stretches.
        of_video: number of the group of a whole video.
    """

    videos: list[list[int]]
    stretches: list[list[Stretch]]
    of_segment: list[int]
    of_video: dict[int, int]


class _Sets:
    """Disjoint sets of the numbers 0 to n - 1."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, one: int) -> int:
        while self._above[one] != one:
            self._above[one] = one = self._above[self._above[one]]
        return one

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._above[high] = low


def group(clips: Clips, segments: Sequence[Segment]) -> Groups:
    """Group what the segments show to be the same."""
    videos = _whole_videos(clips, segments)
    stretches = [
        stretch
        for s in segments
        for stretch in (
            Stretch(s.a, s.a_start_s, s.a_end_s), Stretch(s.b, s.b_start_s, s.b_end_s)
        )
    ]  # fmt: skip
    sets = _Sets(len(stretches))
    for place in range(len(segments)):
        sets.join(2 * place, 2 * place + 1)
    for one, other in _meeting(stretches):
        sets.join(one, other)
    numbers: dict[int, int] = {}
    of_segment = [
        numbers.setdefault(sets.root(2 * place), len(numbers)) for place in range(len(segments))
    ]
    members: list[list[Stretch]] = [[] for _ in numbers]
    for place, stretch in enumerate(stretches):
        members[numbers[sets.root(place)]].append(stretch)
    of_video = {video: n for n, members in enumerate(videos) for video in members}
    return Groups(videos, [_merged(one) for one in members], of_segment, of_video)


def _meeting(stretches: Sequence[Stretch]) -> Iterable[tuple[int, int]]:
    """Yield pairs of stretches that are the same part of one video."""
    order = sorted(range(len(stretches)), key=lambda n: (stretches[n].video, stretches[n].start_s))
    active: list[int] = []
    for n in order:
        one = stretches[n]
        active = [
            m for m in active
            if stretches[m].video == one.video and stretches[m].end_s > one.start_s
        ]  # fmt: skip
        yield from ((m, n) for m in active if _overlap(stretches[m], one) >= SAME_STRETCH)
        active.append(n)


def _overlap(one: Stretch, other: Stretch) -> float:
    common = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    union = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    return common / union


def _merged(stretches: list[Stretch]) -> list[Stretch]:
    """Join the overlapping stretches of each video."""
    found: list[Stretch] = []
    for one in sorted(stretches, key=lambda s: (s.video, s.start_s, s.end_s)):
        if found and found[-1].video == one.video and one.start_s < found[-1].end_s:
            last = found.pop()
            one = Stretch(one.video, last.start_s, max(last.end_s, one.end_s))
        found.append(one)
    return found


def _whole_videos(clips: Clips, segments: Sequence[Segment]) -> list[list[int]]:
    parts: dict[tuple[int, int], list[Segment]] = defaultdict(list)
    for segment in segments:
        parts[segment.a, segment.b].append(segment)
    sets, joined = _Sets(len(clips.uris)), set()
    for (a, b), found in parts.items():
        covered_a = _covered([(s.a_start_s, s.a_end_s) for s in found])
        covered_b = _covered([(s.b_start_s, s.b_end_s) for s in found])
        least = min(covered_a / clips.length_s(a), covered_b / clips.length_s(b))
        if least >= WHOLE_VIDEO:
            sets.join(a, b)
            joined |= {a, b}
    members: dict[int, list[int]] = defaultdict(list)
    for video in sorted(joined):
        members[sets.root(video)].append(video)
    return list(members.values())


def _covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of some spans."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
