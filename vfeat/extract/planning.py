"""New and changed videos become plans; what failed before may be planned again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus import MISSING_ETAG, Corpus, Video
from vfeat.engine.breaker import Breaker
from vfeat.engine.executor import Executor
from vfeat.engine.watch import Watch
from vfeat.errors import ErrorClass, JobError, VfeatError
from vfeat.extract.probing import Probing
from vfeat.outcome import RangeError
from vfeat.plan.estimate import Estimate
from vfeat.plan.shards import ShardLimits, pack, units_of
from vfeat.plan.unit import Planned, Unit
from vfeat.storage.listing import find_object
from vfeat.storage.root import Root
from vfeat.storage.source import is_local
from vfeat.tables.committed import committed_shards, plan_states, without
from vfeat.tables.plans import (
    PLAN_VIDEOS,
    known_videos,
    leases,
    plan_list,
    plan_table,
    publish_plan,
    read_plan,
)


class Listing:
    """Present contents of the corpus, collected while it is streamed.

    Only hashes are kept of what went by: about 100 bytes a video.

    Args:
        corpus: the sources of the command, with its lists read.
        known: video_ids (16 bytes) of all plans.

    Raises:
        JobError: there is no video at all, or a list contradicts itself; told at construction.
    """

    def __init__(self, corpus: Corpus, known: set[bytes]) -> None:
        corpus.refuse_contradictions()
        self.sources = corpus.sources
        self.column_types: Mapping[str, pa.DataType] = corpus.column_types
        self.size_bytes = 0
        self.present: set[bytes] = set()
        self._known = known
        self._uris: set[int] = set()
        self._videos = corpus.videos()
        self._first = next(self._videos, None)
        if self._first is None:
            where = ", ".join(self.sources)
            raise JobError(f"no videos in {where}: nothing there has a video file's suffix")

    def fresh(self) -> Iterator[Video]:
        """Yield the videos that no plan has yet, while listing; must be read to its end."""
        assert self._first is not None
        for video in chain([self._first], self._videos):
            key = bytes.fromhex(video.video_id)
            if key in self.present:  # two sources overlap, or a list repeats a row
                continue
            self.present.add(key)
            self._uris.add(hash(video.uri))
            self.size_bytes += video.size_bytes
            if key not in self._known:
                yield video

    def is_gone(self, video_id: str, uri: str) -> bool | None:
        """Return True for a deleted or replaced video; None where the sources give no answer."""
        if bytes.fromhex(video_id) in self.present:
            return False
        if hash(uri) in self._uris or any(_within(uri, source) for source in self.sources):
            return True
        return None

    def is_unchanged(self, video: Video) -> bool:
        """Return whether the object is still that of this record; valid after `fresh` has ended.

        An object that could not be found was looked for anew by this listing, and would be
        another video.
        """
        if video.etag == MISSING_ETAG or not video.uri:
            return False
        gone = self.is_gone(video.video_id, video.uri)
        if gone is not None:
            return not gone
        try:
            return find_object(video.uri).etag == video.etag
        except VfeatError:
            return False


def _within(uri: str, source: str) -> bool:
    folder = os.path.abspath(source) if is_local(source) else source
    return uri == folder or uri.startswith(folder.rstrip("/") + "/")


@dataclass
class Planner:
    """Maker of plans: probes videos, packs them, publishes unless it is a dry run.

    A plan's number says which plans its author knew: it is one more than their count, and the
    store gives each number once. So two drivers cannot both plan a video, however they race.

    Attributes:
        plans: how many plans were there when the videos to plan were chosen.
        column_types: of the lists' further columns.
    """

    root: Root
    plans: int
    executor: Executor
    probing: Probing
    estimate: Estimate
    limits: ShardLimits
    breaker: Breaker | None
    watch: Watch
    column_types: Mapping[str, pa.DataType]

    def chunks(self, videos: Iterable[Video]) -> Iterator[list[Planned]]:
        """Probe in chunks of a plan's size, each in corpus order."""
        source = iter(videos)
        count = 0
        while chunk := list(islice(source, PLAN_VIDEOS)):
            order = {video.video_id: place for place, video in enumerate(chunk)}
            planned = []
            for video in self.executor.map(self.probing, chunk):
                count += 1
                planned.append(video)
                self.watch.probed(video, count)
                if self.breaker is not None:
                    self.breaker.record([_failure(video)])
            yield sorted(planned, key=lambda video: order[video.video_id])

    def shards(self, planned: Iterable[Planned]) -> list[list[Unit]]:
        """Cut the videos into units and pack these within the limits."""
        limits = self.limits
        units = [unit for video in planned for unit in units_of(video, self.estimate, limits)]
        total_s = sum(unit.cost_s for unit in units)
        spread = limits.spread(total_s, self.estimate.workers)
        units = [unit for video in planned for unit in units_of(video, self.estimate, spread)]
        return list(pack(units, spread))

    def publish(self, planned: list[Planned]) -> bool:
        """Write the next plan; return False when another driver wrote that number first."""
        extras = {video.video_id: video.extra for video in planned if video.extra}
        table = plan_table(self.shards(planned), extras, self.column_types)
        ours = publish_plan(self.root, self.plans + 1, table) is not None
        self.plans += ours
        return ours

    def extend(self, videos: Iterable[Video]) -> None:
        """Plan the videos that no plan holds, whatever other drivers do meanwhile."""
        for chunk in self.chunks(videos):
            rest = chunk
            while rest and not self.publish(rest):
                plans = plan_list(self.root)
                self.plans = len(plans)
                known = known_videos(self.root, plans)
                rest = [video for video in rest if bytes.fromhex(video.video_id) not in known]


def _failure(planned: Planned) -> tuple[ErrorClass, str] | None:
    if planned.error_class is None:
        return None
    return planned.error_class, planned.message or ""


def retry_candidates(
    root: Root, classes: tuple[str, ...], is_unchanged: Callable[[Video], bool]
) -> list[tuple[Video, RangeError]]:
    """List open errors of the given classes (`all`: every one) that no pending unit covers.

    Errors of a video whose object has changed are left out: its new bytes are another video.
    """
    waiting: dict[str, list[tuple[int, int]]] = {}
    sizes: dict[str, tuple[int, str]] = {}
    done = committed_shards(root)
    for plan in plan_list(root):
        table = read_plan(root, plan)
        for row in table.select(["video_id", "size_bytes", "etag"]).to_pylist():
            sizes[row["video_id"]] = (row["size_bytes"], row["etag"])
        for lease in leases(plan, table, done):
            for unit in lease.units:
                waiting.setdefault(unit.video_id, []).append((unit.first_clip, unit.last_clip))
    found = []
    for plan_state in plan_states(root):
        for video_id, state in plan_state.videos.items():
            for error in state.open_errors():
                if "all" in classes or error.error_class in classes:
                    video = Video(state.uri, *sizes[video_id])
                    rest = without(error, waiting.get(video_id, []))
                    found += [(video, left) for left in rest]
    unchanged = {v.video_id for v in {v.video_id: v for v, _ in found}.values() if is_unchanged(v)}
    return [(video, error) for video, error in found if video.video_id in unchanged]


def plan_retries(
    planner: Planner, classes: tuple[str, ...], is_unchanged: Callable[[Video], bool]
) -> int:
    """Plan failed clip ranges again, with a fresh probe; return how many ranges."""
    planner.plans = len(plan_list(planner.root))  # before looking: see Planner
    candidates = retry_candidates(planner.root, classes, is_unchanged)
    if not candidates:
        return 0
    probes: dict[str, Planned] = {}
    videos = {video.video_id: video for video, _ in candidates}
    for chunk in planner.chunks(videos.values()):
        probes |= {planned.video_id: planned for planned in chunk}
    planned = []
    for video, error in candidates:
        probe = probes[video.video_id]
        whole = error.first_clip == 0 and _never_probed(planner.root, video.video_id)
        last = None if whole and probe.probe is not None else error.last_clip
        planned.append(dataclasses.replace(probe, first_clip=error.first_clip, last_clip=last))
    if not planner.publish(planned):
        return plan_retries(planner, classes, is_unchanged)
    return len(planned)


def _never_probed(root: Root, video_id: str) -> bool:
    """Return whether no plan could read the video: then its one planned clip stands for all."""
    for plan in plan_list(root):
        table = read_plan(root, plan, ["video_id", "probe"])
        mine = table.filter(pc.equal(table.column("video_id"), video_id))
        if mine.num_rows and mine.column("probe").null_count < mine.num_rows:
            return False
    return True
