"""The plan that continues the videos of a committed shard that were longer than a unit.

It follows from the shard's units and from the outcomes in its file alone: every driver derives
the same plan under the same name, whatever its own settings, and after any crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vfeat.outcome import Outcome
from vfeat.plan.unit import Unit


def follow_up(units: Sequence[Unit], outcomes: Iterable[Outcome]) -> list[list[Unit]]:
    """Return the shards of the follow-up plan; empty when no video was split.

    Args:
        units: the shard's units, of its plan.
        outcomes: the outcomes in the shard's committed file.
    """
    by_key = {unit.key: unit for unit in units}
    shards: list[list[Unit]] = []
    for outcome in outcomes:
        if outcome.split is None or outcome.probe is None:
            continue
        rest = list(_ranges(by_key[f"{outcome.video_id}:{outcome.first_clip}"], outcome))
        size = outcome.split.shard_units
        shards += [rest[place : place + size] for place in range(0, len(rest), size)]
    return shards


def _ranges(unit: Unit, outcome: Outcome) -> Iterator[Unit]:
    split, probe = outcome.split, outcome.probe
    assert split is not None and probe is not None
    clip_s = unit.cost_s / max(outcome.planned, 1)
    for first, last in probe.ranges(outcome.last_clip + 1, split.last_clip, split.unit_clips):
        yield Unit(
            unit.video_id, unit.uri, unit.size_bytes, unit.etag, first, last,
            min(last - first + 1, split.unit_clips) * clip_s, probe, unit.source,
            has_secret=unit.has_secret,
        )  # fmt: skip
