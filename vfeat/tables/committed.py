"""State of a dataset, read from what is committed: plans and the footers of committed files.

Everything else under the root (`videos.parquet`, `errors.parquet`) is a snapshot of this and
can be rebuilt from it. It is read plan by plan, so that memory is bounded by a plan and by the
videos that were planned more than once (retries), however many videos there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import StorageError
from vfeat.outcome import Outcome, RangeError, subtract
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.features import Footer, read_footer
from vfeat.tables.footer import row_spans
from vfeat.tables.kind import TableKind, kind_of
from vfeat.tables.parquet import opened
from vfeat.tables.plans import plan_list, read_plan

READERS = 8


@dataclass
class VideoState:
    """Committed state of one video, over all plans.

    Attributes:
        pieces: (file, first row, rows), in plan order.
        outcomes: of each planned clip range, in plan order.
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
        """Return the errors that no later plan has settled.

        `--retry-errors` plans failed ranges again, so an error counts only while no later
        outcome covers the same clips.
        """
        errors: list[RangeError] = []
        for place, outcome in enumerate(self.outcomes):
            later = [(o.first_clip, o.last_clip) for o in self.outcomes[place + 1 :]]
            for error in outcome.errors:
                errors.extend(without(error, later))
        return errors


@dataclass(frozen=True)
class PlanState:
    """One plan and the states of the videos that it planned first.

    Attributes:
        units: the plan's table.
        videos: by video_id; a video that no commit names yet is missing here.
        damaged: key of an unreadable file that should hold clips of the video, by video_id.
    """

    plan: str
    units: pa.Table
    videos: dict[str, VideoState]
    damaged: dict[str, str] = field(default_factory=dict)


def without(error: RangeError, ranges: Iterable[tuple[int, int]]) -> list[RangeError]:
    """Subtract `ranges` (inclusive) from an error's clips; return the errors that are left."""
    left = subtract([(error.first_clip, error.last_clip)], ranges)
    return [replace(error, first_clip=a, last_clip=b) for a, b in left]


def committed_shards(root: Root) -> set[str]:
    """Return the names of the shards whose files exist: the existence is the commit."""
    return set(layout.shard_names(root.list(kind_of(root).folder)))


def read_footers(
    root: Root, shards: Iterable[str], damaged: set[str] | None = None
) -> Iterator[tuple[str, Footer]]:
    """Read footers of committed shards in parallel; yield them in name order.

    Args:
        damaged: takes the shards whose files cannot be read, instead of an error.

    Raises:
        StorageError: naming such a file, where nobody takes it.
    """

    kind = kind_of(root)

    def read(shard: str) -> tuple[str, Footer] | None:
        key = kind.key(shard)
        try:
            with opened(root, key) as reader:
                return shard, read_footer(reader)
        except (ValueError, KeyError, OSError) as error:
            if damaged is not None:
                damaged.add(shard)
                return None
            raise StorageError(
                f"{root.url(key)} is not a readable file of this dataset ({error}); "
                "`vfeat verify` tells what else is wrong; delete the file to have its shard redone"
            ) from None

    with ThreadPoolExecutor(READERS) as pool:
        yield from filter(None, pool.map(read, layout.in_order(shards)))


def plan_states(root: Root, *, pass_damaged: bool = False) -> Iterator[PlanState]:
    """Fold the footers plan by plan; a video planned again stands with its first plan, whole.

    Args:
        pass_damaged: say which videos unreadable files should hold, instead of an error.
    """
    kind = kind_of(root)
    damaged: set[str] | None = set() if pass_damaged else None
    lost: dict[str, str] = {}
    committed = committed_shards(root)
    plans = plan_list(root)
    again = _planned_again(root, plans)
    merged: dict[str, VideoState] = {}
    if again:
        for plan in plans:
            shards = _shards_of(root, plan, again) & committed
            footers = read_footers(root, shards, damaged)
            _fold(kind, footers, merged, lambda video_id: video_id in again)
            lost |= _lost(kind, plan, read_plan(root, plan, ["video_id", "shard"]), damaged)
    shown: set[str] = set()
    for plan in plans:
        videos: dict[str, VideoState] = {}
        mine = {shard for shard in committed if layout.plan_of(shard) == plan}
        footers = read_footers(root, mine, damaged)
        _fold(kind, footers, videos, lambda video_id: video_id not in again)
        units = read_plan(root, plan)
        lost |= _lost(kind, plan, units, damaged)
        first = (set(units.column("video_id").unique().to_pylist()) & again) - shown
        shown |= first
        videos |= {video_id: merged[video_id] for video_id in first & merged.keys()}
        yield PlanState(plan, units, videos, lost)


def _lost(kind: TableKind, plan: str, units: pa.Table, damaged: set[str] | None) -> dict[str, str]:
    """Return the videos of a plan's damaged shards, each with the file's key."""
    names = {shard for shard in damaged or () if layout.plan_of(shard) == plan}
    if not names:
        return {}
    pairs = units.select(["video_id", "shard"]).to_pylist()
    named = ((pair["video_id"], layout.shard_name(plan, pair["shard"])) for pair in pairs)
    return {video_id: kind.key(shard) for video_id, shard in named if shard in names}


def _planned_again(root: Root, plans: list[str]) -> set[str]:
    """Return the videos of more than one plan."""
    if len(plans) < 2:
        return set()
    unique = [read_plan(root, plan, ["video_id"]).column("video_id").unique() for plan in plans]
    counts = pc.value_counts(pa.concat_arrays(unique))
    often = counts.filter(pc.greater(counts.field("counts"), 1))
    return set(often.field("values").to_pylist())


def _shards_of(root: Root, plan: str, videos: set[str]) -> set[str]:
    table = read_plan(root, plan, ["video_id", "shard"])
    mine = table.filter(pc.is_in(table.column("video_id"), pa.array(sorted(videos))))
    return {layout.shard_name(plan, n) for n in mine.column("shard").unique().to_pylist()}


def _fold(
    kind: TableKind,
    footers: Iterable[tuple[str, Footer]],
    states: dict[str, VideoState],
    wanted: Callable[[str], bool],
) -> None:
    """Add what the footers say of the wanted videos to their states."""
    for shard, footer in footers:
        file = kind.key(shard)
        groups: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in footer.outcomes:
            groups[outcome.video_id].append(outcome)
        for video_id, (place, rows) in row_spans(footer.outcomes).items():
            if not wanted(video_id):
                continue
            outcomes = sorted(groups[video_id], key=lambda outcome: outcome.first_clip)
            state = states.setdefault(video_id, VideoState(outcomes[0].uri))
            state.outcomes.extend(outcomes)
            if rows:
                state.pieces.append((file, place, rows))
