"""Bugs of the kinds that were found in this engine, each as a patch of the real classes.

The simulation must find every one of them: so its laws can fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from vfeat.engine.cluster_executor import ClusterExecutor
from vfeat.engine.crew import Crew
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.stage_run import StageRun
from vfeat.extract import planning, range_plans
from vfeat.extract.planning import Planner
from vfeat.extract.run import ExtractRun
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.dataset_state import DatasetState

Patches = Iterator[Any]
PLANTED: dict[str, Callable[[], Patches]] = {}


def _plant(make: Callable[[], Patches]) -> Callable[[], Patches]:
    PLANTED[make.__name__] = make
    return make


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Plant a bug for a while; None for none."""
    with ExitStack() as stack:
        for patch in PLANTED[name]() if name else ():
            stack.enter_context(patch)
        yield


@_plant
def finished_shards_go_on() -> Patches:
    """A slow shard that another worker has finished is waited for, and given out again."""
    slow = Ledger._slow

    def forgetful(self: Ledger, worker: str, now_s: float, node: str) -> Any:
        finished, self._finished = self._finished, set()
        found = slow(self, worker, now_s, node)
        self._finished = finished
        return found

    yield mock.patch.object(Ledger, "_slow", forgetful)
    yield mock.patch.object(Ledger, "idlers", lambda self: set())
    yield mock.patch.object(Ledger, "in_flight", property(lambda self: len(self._held)))


@_plant
def lost_nodes_are_blamed_on_leases() -> Patches:
    """The loss of a node counts as a death of the worker."""
    owner = ClusterExecutor._owner

    def blamed(self: ClusterExecutor, member: Any, error: Any) -> str:
        found = owner(self, member, error)
        return "lease" if found == "nobody" else found

    yield mock.patch.object(ClusterExecutor, "_owner", blamed)


@_plant
def deaths_are_never_forgotten() -> Patches:
    """Deaths count over the whole run, not in a row, and those of one suspect each."""
    done = Ledger.done
    part = Ledger._part

    def counted(call: Any) -> Any:
        def kept(self: Ledger, *args: Any, **named: Any) -> Any:
            before = self.deaths
            found = call(self, *args, **named)
            self.deaths = before
            return found

        return kept

    yield mock.patch.object(Ledger, "done", counted(done))
    yield mock.patch.object(Ledger, "_part", counted(part))
    yield mock.patch.object(Ledger, "_has_killed", lambda self, lease: False)


@_plant
def a_second_commit_replaces_the_first() -> Patches:
    """Whoever publishes last has its file there."""

    def create(self: Root, key: str, path: str, writer: str = "") -> bool:
        self.replace_file(key, path)
        return True

    yield mock.patch.object(Root, "create_file", create)


@_plant
def returned_leases_are_lost() -> Patches:
    """What a worker had in hand when its node was lost is never given out again."""
    yield mock.patch.object(Ledger, "_put_back", lambda self, lease: None)


@_plant
def splits_are_not_repaired() -> Patches:
    """A driver that dies between a commit and its follow-up plan leaves the rest undone."""
    yield mock.patch.object(ExtractRun, "unfinished", lambda self, catalogue: iter(()))


@_plant
def a_snapshot_is_taken_for_current() -> Patches:
    """A snapshot that is there is believed to show what is there."""

    def is_there(root: Root, is_gone: Any) -> bool:
        return root.exists(layout.VIDEOS)

    yield mock.patch("vfeat.engine.stage_run.is_current", is_there)


@_plant
def noted_outcomes_count_twice() -> Patches:
    """The fold takes a shard from a note and from its footer."""
    outcomes = DatasetState._outcomes

    def doubled(self: DatasetState, group: Any, shards: Any) -> Iterator[Any]:
        yield from outcomes(self, group, shards)
        noted = self.notes.of_group(group.number)
        yield from outcomes(self, group, [shard for shard in shards if shard in noted])

    yield mock.patch.object(DatasetState, "_outcomes", doubled)


@_plant
def retries_drop_a_range() -> Patches:
    """Of several failed ranges only the first one is planned again."""
    retried = planning.retried

    def shortened(failed: Any, *args: Any) -> Iterator[Any]:
        yield from list(retried(failed, *args))[:1]

    yield mock.patch.object(range_plans, "retried", shortened)


@_plant
def both_drivers_plan_a_video() -> Patches:
    """A driver that lost the race for a plan's number takes the next one with the same videos."""

    def plan(self: Planner, videos: Any) -> str | None:
        none = videos.column("video_id").slice(0, 0)
        theirs = mock.Mock(column=lambda name: none)
        with mock.patch.object(planning, "read_plan", lambda *_: theirs):
            return original(self, videos)

    original = Planner.plan
    yield mock.patch.object(Planner, "plan", plan)


@_plant
def pending_shards_are_success() -> Patches:
    """A run ends when its queue is empty, whatever is in the hands of workers."""
    yield mock.patch.object(
        Ledger, "idle", property(lambda self: self.stopping or self._source.exhausted)
    )
    yield mock.patch.object(StageRun, "_enqueue_others", lambda self: False)


@_plant
def lost_idlers_are_deaths() -> Patches:
    """An idle worker that is lost with its node is noticed by its silence alone."""
    beat = Crew.beat

    def unnoticed(self: Crew, wait_s: float) -> list[Any]:
        beat(self, wait_s)
        return []

    yield mock.patch.object(Crew, "beat", unnoticed)


@_plant
def a_driver_that_waits_takes_workers_for_dead() -> Patches:
    """Silence is counted from the last answer, also where nobody asked."""
    beat = Crew.beat

    def impatient(self: Crew, wait_s: float) -> list[Any]:
        before = {member.name: member.last_sign_s for member in self.ready if member.beat is None}
        found = beat(self, wait_s)
        for member in self.ready:
            if member.beat is not None and member.name in before:
                member.last_sign_s = before[member.name]
        return found

    yield mock.patch.object(Crew, "beat", impatient)
