"""The truth about a dataset, read from what is committed: plans and the features' footers.

Everything else under the root (`videos.parquet`, `errors.parquet`) is a snapshot of this and
can be rebuilt from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from vfeat.errors import StorageError
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.features import Footer, read_footer
from vfeat.tables.outcome import Outcome, RangeError, subtract

READERS = 8


@dataclass
class VideoState:
    """What is committed of one video, over all plans.

    Attributes:
        pieces: (file, first row, rows) in clip order.
        ranges: outcome of each planned clip range; a later plan's answer replaces an earlier.
    """

    uri: str
    pieces: list[tuple[str, int, int]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(outcome.rows for outcome in self.outcomes)

    @property
    def empty_clips(self) -> int:
        return sum(outcome.empty_clips for outcome in self.outcomes)

    def open_errors(self) -> list[RangeError]:
        """Errors that no later plan has answered.

        `--retry-errors` plans failed ranges again, so an error counts only while no later
        outcome covers the same clips (outcomes stand in plan order).
        """
        errors: list[RangeError] = []
        for place, outcome in enumerate(self.outcomes):
            later = [(o.first_clip, o.last_clip) for o in self.outcomes[place + 1 :]]
            for error in outcome.errors:
                errors.extend(without(error, later))
        return errors


def without(error: RangeError, ranges: Iterable[tuple[int, int]]) -> list[RangeError]:
    """What is left of an error's clips when `ranges` (inclusive) are taken out."""
    left = subtract([(error.first_clip, error.last_clip)], ranges)
    return [replace(error, first_clip=a, last_clip=b) for a, b in left]


def committed_shards(root: Root) -> set[str]:
    """Names of the shards whose files exist: the existence is the commit."""
    return set(layout.shard_names(root.list(layout.FEATURES)))


def read_footers(root: Root, shards: Iterable[str]) -> Iterator[tuple[str, Footer]]:
    """Footers of committed shards, in name order, read in parallel."""

    def read(shard: str) -> tuple[str, Footer]:
        key = layout.features_key(shard)
        try:
            with root.open_input(key) as file:
                return shard, read_footer(file)
        except (ValueError, KeyError, OSError) as error:
            raise StorageError(
                f"{root.url(key)} is not a readable features file ({error}); "
                "`vfeat verify` tells what else is wrong; delete the file to have its shard redone"
            ) from None

    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(read, sorted(shards))


def video_states(root: Root) -> dict[str, VideoState]:
    """Fold all footers into one state for each video_id, in plan order."""
    states: dict[str, VideoState] = {}
    for shard, footer in read_footers(root, committed_shards(root)):
        file = layout.features_key(shard)
        for video_id, outcomes in _by_video(footer.outcomes).items():
            state = states.setdefault(video_id, VideoState(outcomes[0].uri))
            state.outcomes.extend(outcomes)
        place = 0
        rows_of: dict[str, int] = defaultdict(int)
        for outcome in footer.outcomes:
            rows_of[outcome.video_id] += outcome.rows
        for video_id in sorted(rows_of):  # the file's own order
            if rows_of[video_id]:
                states[video_id].pieces.append((file, place, rows_of[video_id]))
                place += rows_of[video_id]
    return states


def _by_video(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.video_id].append(outcome)
    for group in groups.values():
        group.sort(key=lambda outcome: outcome.first_clip)
    return groups
