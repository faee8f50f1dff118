"""The run of any stage: plan, work through the plans, snapshot, summary.

The driver's state is nothing but the plans and the listing of committed files; killed at any
line, the same command finishes the work.
"""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from vfeat.engine.breaker import Breaker
from vfeat.engine.executor import Assembled, Beat, Executor, Finished, WorkerSpec
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.summary import PlanPreview, RunSummary, environment, write_run
from vfeat.engine.watch import Totals, Watch
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.errors import ErrorClass, Interrupted
from vfeat.outcome import Outcome
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root
from vfeat.tables.committed import committed_shards, read_footers
from vfeat.tables.layout import plan_of
from vfeat.tables.plans import leases, plan_list, read_plan
from vfeat.tables.snapshot import IsGone, is_current, publish_snapshot

MAX_WARNINGS = 20  # shown while a run goes on


@dataclass(frozen=True)
class RunSettings:
    """Settings of a job that the run itself uses.

    Attributes:
        noun: name of a row, in the plural.
    """

    noun: str
    executor: str
    breaker_first_units: int
    breaker_error_share: float
    retries: bool = False


class StageRun(ABC):
    """One run of a job; a stage adds how to plan and how to publish.

    Args:
        root: where the dataset is.
        executor: where leases are worked on.
        settings: from the job.
        watch: receives progress.
    """

    def __init__(self, root: Root, executor: Executor, settings: RunSettings, watch: Watch) -> None:
        self.root = root
        self.executor = executor
        self.settings = settings
        self.watch = watch
        self.totals = Totals(noun=settings.noun)
        self.ledger: Ledger | None = None
        self.interrupted = False
        self.working = False  # shards are in the hands of workers
        self._workers: tuple[Progress, ...] = ()
        self._warned = 0

    @abstractmethod
    def plan(self) -> IsGone:
        """Bring the plans up to date; return a test for videos that the input no longer holds."""

    @abstractmethod
    def worker_spec(self) -> WorkerSpec:
        """Return the description of a worker."""

    @abstractmethod
    def publish(self, shard: str, results: list[UnitResult]) -> bool:
        """Commit a shard that the driver assembled from single units."""

    @abstractmethod
    def preview(self) -> PlanPreview:
        """Return what a run would do; writes nothing."""

    def interrupt(self) -> None:
        """Start no more shards; running ones are finished.

        Raises:
            Interrupted: nothing runs yet; what was planned so far is kept.
        """
        self.interrupted = True
        if self.ledger is None:
            raise Interrupted("stopped while the input was listed and its headers were read")
        self.ledger.stopping = True

    def moved(self) -> tuple[int, ...]:
        """Return counters that change while running shards get further."""
        workers = self.executor.progress()
        return (self.totals.shards_done, *(n for w in workers for n in (w.clips, w.units)))

    def run(self) -> RunSummary:
        """Carry the job out; write nothing when there is nothing to do."""
        began = time.monotonic()
        started = datetime.now(UTC)
        is_gone = self.plan()
        plans = self._work()
        idle = not plans and is_current(self.root, is_gone)
        videos: Counter[str] = Counter()
        if not idle:
            self.watch.phase("closing")
            videos = publish_snapshot(self.root, is_gone)
        summary = self._summary(started, time.monotonic() - began, plans, videos)
        if not idle:
            write_run(self.root, summary)
        return summary

    def close(self) -> None:
        self.executor.close()

    def breaker(self, stage: str) -> Breaker | None:
        """Make a breaker; None for retries, since what failed before may fail again."""
        if self.settings.retries:
            return None
        return Breaker(self.settings.breaker_first_units, self.settings.breaker_error_share, stage)

    def pending(self) -> Iterator[Lease]:
        """Yield the leases of all plans that are not committed yet."""
        done = committed_shards(self.root)
        for plan in plan_list(self.root):
            yield from leases(plan, read_plan(self.root, plan), done)

    def _work(self) -> set[str]:
        """Work through all plans; return those that had uncommitted shards."""
        plans: set[str] = set()
        if not self._count_pending(plans):
            return plans
        self.ledger = Ledger(self.pending())
        self.ledger.stopping = self.interrupted
        self.watch.phase("starting")
        breaker = self.breaker("working")
        self.working = True
        try:
            for event in self.executor.run(self.worker_spec(), self.ledger):
                self._handle(event, breaker)
        finally:
            self.working = False
            self.watch.advanced(self.totals, self._workers)
        return plans

    def _count_pending(self, plans: set[str]) -> int:
        videos: set[str] = set()
        for lease in self.pending():
            plans.add(plan_of(lease.shard))
            videos.update(unit.video_id for unit in lease.units)
            self.totals.shards += 1
            self.totals.planned_clips += lease.clips
        self.totals.planned_videos = len(videos)
        return self.totals.shards

    def _handle(self, event: object, breaker: Breaker | None) -> None:
        if isinstance(event, Beat):
            self._workers = event.workers
            self.totals.clips = max(self.totals.rows, sum(w.clips for w in event.workers))
        elif isinstance(event, Assembled):
            ours = self.publish(event.lease.shard, list(event.results))
            outcomes = tuple(result.outcome for result in event.results)
            self._finished(ShardReport(event.lease.shard, outcomes, ours, 0.0), breaker)
        elif isinstance(event, Finished):
            self._finished(event.report, breaker)
        self.watch.advanced(self.totals, self._workers)

    def _finished(self, report: ShardReport, breaker: Breaker | None) -> None:
        self.totals.add(report)
        for warning in (warning for outcome in report.outcomes for warning in outcome.warnings):
            self._warned += 1
            if self._warned <= MAX_WARNINGS:
                self.watch.note(f"Warning: {warning}")
            elif self._warned == MAX_WARNINGS + 1:
                self.watch.note("Further warnings stand in the footers of the features files only.")
        if breaker is not None:
            breaker.record(_failure(outcome) for outcome in report.outcomes)

    def _summary(
        self, started: datetime, wall_s: float, plans: set[str], videos: Counter[str]
    ) -> RunSummary:
        return RunSummary(
            run=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
            out=self.root.uri,
            started=started.isoformat(timespec="seconds"),
            wall_s=wall_s,
            interrupted=self.interrupted,
            nothing_to_do=not plans,
            plans=tuple(sorted(plans)),
            videos=dict(videos),
            totals=self.totals,
            errors=self._errors_of(plans),
            encoded_clips=sum(worker.clips for worker in self._workers),
            encode_s=sum(worker.encode_s for worker in self._workers),
            wait_s=sum(worker.wait_s for worker in self._workers),
            decode_s=sum(worker.decode_s for worker in self._workers),
            write_s=sum(worker.write_s for worker in self._workers),
            executor=self.settings.executor,
            environment=environment(),
        )

    def _errors_of(self, plans: set[str]) -> dict[ErrorClass, int]:
        """Count failed ranges by class in the plans of this run, a resumed part included."""
        counts: dict[ErrorClass, int] = {}
        shards = {shard for shard in committed_shards(self.root) if plan_of(shard) in plans}
        for _, footer in read_footers(self.root, shards):
            for outcome in footer.outcomes:
                for error in outcome.errors:
                    counts[error.error_class] = counts.get(error.error_class, 0) + 1
        return counts


def _failure(outcome: Outcome) -> tuple[ErrorClass, str] | None:
    if not outcome.failed:
        return None
    error = outcome.errors[0]
    return error.error_class, error.message
