"""The description of a run for others: on other machines, and in other terminals."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vfeat.engine.watch import Totals
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import VfeatError
from vfeat.storage.root import Root
from vfeat.surroundings import Running, here
from vfeat.tables.active_runs import ActiveRun, end_active, write_active

LOOK_S = 2.0  # a run with nothing to do has ended by then, and writes nothing
EVERY_S = 20.0  # unless workers or the phase changed


@dataclass(frozen=True)
class Sight:
    """A run as it is at one time.

    Attributes:
        phase: listing, starting (work goes on) or closing.
        listed: videos of the input so far.
        is_planned: all of the input is planned.
        is_drained: no shard waits for a worker.
    """

    totals: Totals
    workers: Sequence[Progress]
    phase: str
    listed: int
    is_planned: bool
    is_drained: bool


class Presence:
    """Writer of a run's description, in a thread: also while the driver is busy or waits.

    Args:
        look: returns the run as it is; called in this thread and by `write`.
    """

    def __init__(self, root: Root, run: str, started: str, look: Callable[[], Sight]) -> None:
        self._root = root
        self._run = run
        self._started = started
        self._look = look
        self._before = (here().now_s(), 0, _Spent())
        self._shown: tuple[object, ...] = ()
        self._writing = here().lock()
        self._changed = here().changed()
        self._has_ended = False
        self._thread: Running | None = None

    def begin(self) -> None:
        """Describe the run from now on, every so often."""
        self._thread = here().start("vfeat-presence", self._keep_up)

    def write(self) -> None:
        """Describe the run as it is now."""
        with self._writing:
            sight = self._look()
            active = self._described(sight)
            self._before = (here().now_s(), _clips(sight), _Spent.of(sight.workers))
            self._shown = _changes(sight)
            try:
                write_active(self._root, active)
            except VfeatError:
                return  # nobody is worse off than before

    def end(self) -> None:
        """Remove the description."""
        self._has_ended = True
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(5)
        try:
            end_active(self._root, self._run)
        except VfeatError:
            return  # it is taken for dead soon

    def _keep_up(self) -> None:
        while not self._has_ended_meanwhile():
            if self._is_due():
                self.write()

    def _has_ended_meanwhile(self) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._has_ended, LOOK_S)

    def _is_due(self) -> bool:
        return here().now_s() - self._before[0] >= EVERY_S or _changes(self._look()) != self._shown

    def _described(self, sight: Sight) -> ActiveRun:
        totals, clips = sight.totals, _clips(sight)
        then_s, before, spent = self._before
        gained = max(clips - before, 0)
        nodes = Counter(worker.host for worker in sight.workers if worker.pid)
        return ActiveRun(
            self._run, socket.gethostname(), os.getpid(), self._started, here().wall_s(),
            totals.noun, totals.shards, totals.shards_done, totals.planned_clips,
            clips + totals.empty_clips + totals.error_clips,
            gained / max(here().now_s() - then_s, 1e-3), sum(nodes.values()),
            _waits_for(sight, gained, _Spent.of(sight.workers).since(spent)),
            dict(nodes), sum(totals.errors.values()), sight.listed, sight.is_planned,
        )  # fmt: skip


def _clips(sight: Sight) -> int:
    return max(sight.totals.clips, sum(worker.clips for worker in sight.workers))


def _changes(sight: Sight) -> tuple[object, ...]:
    """Return what a reader is to learn of soon: the phase, the workers, the first clip."""
    workers = sorted((worker.host, worker.pid) for worker in sight.workers)
    return sight.phase, _clips(sight) > 0, tuple(workers)


@dataclass(frozen=True)
class _Spent:
    """Seconds that all workers have spent, by what on.

    Attributes:
        decoding: in which they waited for clips, or read themselves.
    """

    decoding: float = 0.0
    model: float = 0.0
    store: float = 0.0

    @classmethod
    def of(cls, workers: Sequence[Progress]) -> _Spent:
        return cls(
            sum(worker.wait_s if worker.children else worker.read_s for worker in workers),
            sum(worker.encode_s for worker in workers),
            sum(worker.write_s for worker in workers),
        )

    def since(self, before: _Spent) -> _Spent:
        return _Spent(
            self.decoding - before.decoding, self.model - before.model, self.store - before.store
        )


def _waits_for(sight: Sight, gained: int, spent: _Spent) -> str:
    """Return what the run waits for, or the workers spend most of their time on."""
    if sight.phase != "starting":
        return "listing" if sight.phase == "listing" else "the tables"
    if sight.is_drained and not sight.is_planned and not gained:
        return "planning"
    if not sight.workers:
        return "workers to start"
    if not gained and any(worker.store_waits for worker in sight.workers):
        return "the store"
    if max(spent.decoding, spent.model, spent.store) <= 0:
        return "first results"
    if spent.store > max(spent.decoding, spent.model):
        return "the store"
    return _prepares(sight.workers) if spent.decoding > spent.model else "the model"


def _prepares(workers: Sequence[Progress]) -> str:
    """Return what took most of the time of preparing clips, in the videos that are done."""
    read_s, decode_s = (sum(getattr(w, name) for w in workers) for name in ("read_s", "decode_s"))
    return "reading" if read_s > decode_s else "decoding"
