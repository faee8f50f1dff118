"""Execution in this process, for debugging and for tests."""

from __future__ import annotations

import time
from collections.abc import Iterator

from vfeat.engine.cores import usable_cores
from vfeat.engine.executor import Beat, Capacity, Event, Finished, Worker, WorkerSpec
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.preflight import NodeFacts
from vfeat.engine.worker_protocol import Progress
from vfeat.storage.root import Root

TICK_S = 0.05


class InlineExecutor:
    """Executor with one worker in this process, one lease at a time, without Ray."""

    def __init__(self, *, has_gpu: bool = False) -> None:
        self._has_gpu = has_gpu
        self._worker: Worker | None = None

    def workers(self) -> int:
        return 1

    def capacity(self) -> Capacity:
        return Capacity(1, usable_cores(), self._has_gpu)

    def run(self, spec: WorkerSpec, ledger: Ledger, root: Root) -> Iterator[Event]:
        worker = self._worker = spec.build(usable_cores())
        try:
            while not ledger.idle:
                lease = ledger.take("inline", time.monotonic())
                if lease is None:
                    time.sleep(TICK_S)  # the input is still being listed
                    continue
                report = worker.run(lease)
                ledger.done(lease, "inline", time.monotonic())
                yield Finished(lease, report)
                yield Beat((worker.progress(),))
        finally:
            self._worker = None
            worker.close()

    def nodes(self) -> tuple[NodeFacts, ...]:
        return ()

    def progress(self) -> tuple[Progress, ...]:
        worker = self._worker
        return (worker.progress(),) if worker is not None else ()

    def close(self) -> None:
        """Do nothing: no process outlives a run."""
