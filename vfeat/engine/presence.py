"""The description of a run for others: on other machines, and in other terminals."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from vfeat.engine.watch import Totals
from vfeat.engine.worker_protocol import Progress
from vfeat.errors import VfeatError
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables.active_runs import ActiveRun, end_active, write_active

EVERY_S = 20.0


class Presence:
    """Writer of a run's description, every so often while the run goes on."""

    def __init__(self, root: Root, run: str, started: str) -> None:
        self._root = root
        self._run = run
        self._started = started
        self._written_s = float("-inf")
        self._before = (here().now_s(), 0, 0.0, 0.0)  # clock, rows, waited, encoded

    def keep_up(self, totals: Totals, workers: Sequence[Progress]) -> None:
        """Write what is due; to be called often."""
        now_s = here().now_s()
        if now_s - self._written_s < EVERY_S:
            return
        self._written_s = now_s
        then_s, rows, waited_s, encoded_s = self._before
        waited = sum(worker.wait_s for worker in workers)
        encoded = sum(worker.encode_s for worker in workers)
        self._before = (now_s, totals.clips, waited, encoded)
        rate = max(totals.clips - rows, 0) / max(now_s - then_s, 1e-3)
        try:
            write_active(
                self._root,
                ActiveRun(
                    self._run, socket.gethostname(), os.getpid(), self._started, here().wall_s(),
                    totals.noun, totals.shards, totals.shards_done, totals.planned_clips,
                    totals.clips, rate, len(workers),
                    _waits_for(len(workers), waited - waited_s, encoded - encoded_s),
                ),
            )  # fmt: skip
        except VfeatError:
            return  # nobody is worse off than before

    def end(self) -> None:
        """Remove the description."""
        try:
            end_active(self._root, self._run)
        except VfeatError:
            return  # it is taken for dead soon


def _waits_for(workers: int, waited_s: float, encoded_s: float) -> str:
    """Return what the workers spend most of their time on."""
    if not workers:
        return "workers to start"
    if waited_s + encoded_s <= 0:
        return "first results"
    return "decoding" if waited_s > encoded_s else "the model"
