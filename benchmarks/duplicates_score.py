"""Segment-level precision and recall by covered lengths, as VCSL defines them.

He et al., "A Large-scale Comprehensive Dataset and Copy-overlap Aware Evaluation Protocol for
Segment-level Video Copy Detection", CVPR 2022. A segment of a pair of videos is a box with the
time of one video on either axis. Of every found box, the part of its width and of its height
counts that true boxes which it touches cover; precision is the share of the widths times the share
of the heights. Recall is the same with the two sides exchanged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""a_start_s, a_end_s, b_start_s, b_end_s."""
Boxes = dict[tuple[str, str], list[Box]]


@dataclass(frozen=True)
class Score:
    """Shares of lengths, pooled over all pairs of videos.

    Attributes:
        macro_f1: F1 of the mean precision and recall of the pairs with a true or found box.
        limits_s: median error of the limits of true boxes that were found, seconds.
        within_clip: share of such limits that are right within the length of a clip.
    """

    precision: float
    recall: float
    f1: float
    macro_f1: float
    limits_s: float
    within_clip: float
    found: int


def score(found: Boxes, true: Boxes, clip_s: float) -> Score:
    """Compare found boxes with true ones; keys are pairs of names in order."""
    pairs = sorted({*found, *true})
    parts = [(found.get(p, []), true.get(p, [])) for p in pairs]
    precision, recall = (
        _share([(boxes[side], boxes[1 - side]) for boxes in parts]) for side in (0, 1)
    )
    each = [
        (_share([(f, t)]) if f else 1.0, _share([(t, f)]) if t else 1.0) for f, t in parts
    ]  # fmt: skip
    mean_p, mean_r = (sum(column) / max(1, len(each)) for column in zip(*each, strict=True))
    errors = sorted(e for f, t in parts for e in _limit_errors(f, t))
    return Score(
        precision, recall, _f1(precision, recall), _f1(mean_p, mean_r),
        errors[len(errors) // 2] if errors else float("nan"),
        sum(e <= clip_s for e in errors) / max(1, len(errors)), sum(len(f) for f, _ in parts),
    )  # fmt: skip


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share(pairs: Sequence[tuple[Sequence[Box], Sequence[Box]]]) -> float:
    """Return how much of the first boxes of each pair the second ones cover."""
    shares = 1.0
    for axis in (0, 2):
        covered = total = 0.0
        for boxes, others in pairs:
            for box in boxes:
                total += box[axis + 1] - box[axis]
                inside = [_common(box, other, axis) for other in others if _touch(box, other)]
                covered += _union(inside)
        shares *= covered / total if total else 0.0
    return shares


def _common(one: Box, other: Box, axis: int) -> tuple[float, float]:
    return max(one[axis], other[axis]), min(one[axis + 1], other[axis + 1])


def _touch(one: Box, other: Box) -> bool:
    return all(start < end for start, end in (_common(one, other, axis) for axis in (0, 2)))


def _union(spans: Iterable[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _limit_errors(found: Sequence[Box], true: Sequence[Box]) -> list[float]:
    """Return the errors of the four limits of each true box, by the found one that covers most."""
    errors = []
    for box in true:
        touching = [f for f in found if _touch(box, f)]
        if touching:
            best = max(touching, key=lambda f: _union([_common(box, f, 0)]))
            errors += [abs(b - f) for b, f in zip(box, best, strict=True)]
    return errors


def all_copies(
    copies: Sequence[tuple[str, tuple[float, float], str, tuple[float, float], float]],
) -> Boxes:
    """Return true boxes: of each copy, and of two copies that share a part of one source.

    Args:
        copies: source, its span, host, its span, and the speed of the source's time over the
            host's.
    """
    boxes: Boxes = defaultdict(list)

    def add(a: str, a_s: tuple[float, float], b: str, b_s: tuple[float, float]) -> None:
        if a > b:
            a, a_s, b, b_s = b, b_s, a, a_s
        boxes[a, b].append((*a_s, *b_s))

    for n, (source, source_s, host, host_s, speed) in enumerate(copies):
        add(source, source_s, host, host_s)
        for source2, source2_s, host2, host2_s, speed2 in copies[:n]:
            start, end = max(source_s[0], source2_s[0]), min(source_s[1], source2_s[1])
            if source == source2 and host != host2 and start < end:
                spans = [
                    (into[0] + (start - of[0]) / rate, into[0] + (end - of[0]) / rate)
                    for of, into, rate in (
                        (source_s, host_s, speed), (source2_s, host2_s, speed2)
                    )
                ]  # fmt: skip
                add(host, spans[0], host2, spans[1])
    return boxes
