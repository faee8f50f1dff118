"""The run of any stage: plan, work through the plans, snapshot, summary.

Plans are made by a thread of their own, so that work begins with the first of them, however long
the input is. The driver's state is nothing but the plans and the listing of committed files;
killed at any line, the same command finishes the work.
"""

from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vfeat.engine.bookkeeping import Bookkeeping
from vfeat.engine.breaker import Breaker
from vfeat.engine.executor import Assembled, Beat, Executor, Finished, Notice, WorkerSpec
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.lease_queue import LeaseQueue
from vfeat.engine.metrics import RunMetrics
from vfeat.engine.presence import Presence
from vfeat.engine.run_log import RunLog
from vfeat.engine.summary import PlanPreview, RunSummary, environment, write_run
from vfeat.engine.watch import Totals, Watch
from vfeat.engine.worker_protocol import Progress, UnitResult
from vfeat.errors import ErrorClass, Interrupted, StorageError
from vfeat.outcome import Outcome
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root
from vfeat.storage.temporary import sweep_temporary_folder
from vfeat.tables import layout
from vfeat.tables.active_runs import remove_dead
from vfeat.tables.catalogue import Catalogue, read_catalogue
from vfeat.tables.committed import read_footers
from vfeat.tables.kind import kind_of
from vfeat.tables.layout import plan_of, root_plan_of
from vfeat.tables.pending import outcomes_of, pending_plans
from vfeat.tables.plans import Pending, count_pending, leases, read_plan
from vfeat.tables.snapshot import IsGone, cannot_tell, is_current, publish_snapshot

MAX_WARNINGS = 20  # shown while a run goes on
_POLL_S = 0.2


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

    Attributes:
        name: of this run.
        is_gone: test for videos that the input no longer holds; set by `plan` at its end.
    """

    def __init__(self, root: Root, executor: Executor, settings: RunSettings, watch: Watch) -> None:
        now = datetime.now(UTC)
        self.name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        self.root = root
        self.executor = executor
        self.settings = settings
        self.watch = watch
        self.totals = Totals(noun=settings.noun)
        self.ledger: Ledger | None = None
        self.queue = LeaseQueue()
        self.is_gone: IsGone = cannot_tell
        self._started = now.isoformat(timespec="seconds")
        self._log = RunLog(root, self.name)
        self._presence = Presence(root, self.name, self._started)
        self._metrics = RunMetrics(self.name)
        self.interrupted = False
        self.working = False  # shards are in the hands of workers
        self._plans: set[str] = set()
        self._committed: set[str] = set()
        self._done: set[str] = set()
        self._sums = threading.Lock()
        self._planning_error: BaseException | None = None
        self._failure: Exception | None = None
        self._workers: tuple[Progress, ...] = ()
        self._warned = 0

    @abstractmethod
    def check(self) -> None:
        """Refuse what can be refused before anything is done or written."""

    @abstractmethod
    def plan(self) -> Iterator[str]:
        """Publish plans of what is new, and yield the name of each.

        Runs in a thread of its own, while earlier plans are worked on.
        """

    @abstractmethod
    def worker_spec(self) -> WorkerSpec:
        """Return the description of a worker."""

    @abstractmethod
    def publish(self, shard: str, results: list[UnitResult]) -> bool:
        """Commit a shard that the driver assembled from single units."""

    @abstractmethod
    def preview(self) -> PlanPreview:
        """Return what a run would do; writes nothing."""

    def follow_ups(self, lease: Lease, outcomes: Sequence[Outcome]) -> Iterator[str]:
        """Publish plans of what a committed shard leaves to be done; yield their names."""
        yield from ()

    def unfinished(self, catalogue: Catalogue) -> Iterator[str]:
        """Publish such plans of shards whose driver died before it could; yield their names.

        Args:
            catalogue: what was there at the start.
        """
        yield from ()

    def again(self) -> Iterator[Lease]:
        """Yield leases of committed shards that are to be replaced, when all is planned."""
        yield from ()

    def interrupt(self) -> None:
        """Start no more shards; running ones are finished.

        Raises:
            Interrupted: nothing runs yet; what was planned so far is kept.
        """
        self.interrupted = True
        if self.ledger is None:
            raise Interrupted("stopped while the input was listed")
        self.ledger.stopping = True

    def moved(self) -> tuple[int, ...]:
        """Return counters that change while running shards get further."""
        workers = self.executor.progress()
        return (self.totals.shards_done, *(n for w in workers for n in (w.clips, w.units)))

    def run(self) -> RunSummary:
        """Carry the job out; write nothing when there is nothing to do."""
        began = time.monotonic()
        self.watch.phase("listing")
        self.check()
        self._notice_others()
        self.root.sweep((*layout.FOLDERS, kind_of(self.root).folder))
        sweep_temporary_folder()
        catalogue = read_catalogue(self.root)
        self._committed = catalogue.committed
        for pending in pending_plans(catalogue):
            self._enqueue(pending.plan)
        resumed = frozenset(self._plans)
        self._books = Bookkeeping(self.root)
        threading.Thread(
            target=self._feed, args=(catalogue,), name="vfeat-planner", daemon=True
        ).start()
        self._work()
        is_gone = cannot_tell if self.interrupted or self._planning_error else self.is_gone
        idle = not self._plans and is_current(self.root, is_gone)
        videos: Counter[str] = Counter()
        if not idle:
            self.watch.phase("closing")
            videos = publish_snapshot(self.root, is_gone)
        summary = self._summary(time.monotonic() - began, resumed, videos)
        if not idle:
            write_run(self.root, summary)
            self._log.add("end", exit_code=summary.exit_code, rows=self.totals.rows)
            self._log.flush()
        if (error := self._planning_error or self._failure) is not None:
            raise error
        return summary

    def close(self) -> None:
        self.executor.close()

    def _notice_others(self) -> None:
        """Name the runs that go on in the same dataset."""
        for other in remove_dead(self.root, time.time()):
            self.watch.note(
                f"Another run, {other.run} (process {other.pid} on {other.host}), works on this "
                f"dataset since {other.started}: some shards may be done twice, and are stored once"
            )

    def _breaker(self) -> Breaker | None:
        """Make a breaker; None for retries, since what failed before may fail again."""
        if self.settings.retries:
            return None
        return Breaker(
            self.settings.breaker_first_units,
            self.settings.breaker_error_share,
            is_new=not self._committed,
        )

    def pending(self) -> Pending:
        """Count what the plans hold that is not committed yet."""
        counts = [
            count_pending(self.root, pending.plan, pending.committed)
            for pending in pending_plans(read_catalogue(self.root))
        ]
        return Pending(
            sum(count.shards for count in counts),
            sum(count.videos for count in counts),
            sum(count.clips for count in counts),
            sum(count.cost_s for count in counts),
        )

    def _feed(self, catalogue: Catalogue) -> None:
        """Plan what is new and queue it; body of the planning thread."""
        try:
            for plan in self.unfinished(catalogue):
                self._enqueue(plan)
            for plan in self.plan():
                self._enqueue(plan)
                if self.interrupted:
                    return
            self._enqueue_again()
        except BaseException as error:  # raised again by the thread that works
            self._planning_error = error
            if self.ledger is not None and not isinstance(error, StorageError):
                self.ledger.stopping = True
        finally:
            self.queue.end()

    def _enqueue(self, plan: str) -> None:
        """Queue the uncommitted shards of a plan."""
        pending = count_pending(self.root, plan, self._committed)
        if not pending.shards:
            return
        with self._sums:
            self._plans.add(plan)
            self.totals.shards += pending.shards
            self.totals.planned_clips += pending.clips
            self.totals.planned_videos += pending.videos
        self._log.add("plan", plan=plan, shards=pending.shards, videos=pending.videos)
        self.queue.add(self._leases(plan))

    def _leases(self, plan: str) -> Iterator[Lease]:
        yield from leases(plan, read_plan(self.root, plan), self._committed)

    def _enqueue_again(self) -> None:
        leases = list(self.again())
        with self._sums:
            self._plans.update(plan_of(lease.shard) for lease in leases)
            self.totals.shards += len(leases)
            self.totals.planned_clips += sum(lease.clips for lease in leases)
            self.totals.planned_videos += len({u.video_id for x in leases for u in x.units})
        if leases:
            self.queue.add(iter(leases))

    def _work(self) -> None:
        """Work through all plans, from the first on."""
        while not self.queue.wait(_POLL_S):
            pass
        if self.queue.exhausted:
            if self._planning_error is not None:
                raise self._planning_error
            return
        self.ledger = Ledger(self.queue)
        self.ledger.stopping = self.interrupted
        self.watch.phase("starting")
        breaker = self._breaker()
        self.working = True
        self._log.add("work", shards=self.totals.shards)
        try:
            while True:
                for event in self.executor.run(self.worker_spec(), self.ledger, self.root):
                    self._handle(event, breaker)
                if self.ledger.stopping or not self._enqueue_others():
                    break
        except BaseException as error:
            self._log.add("stopped", error=repr(error))
            raise
        finally:
            self.working = False
            self._books.close()
            self._presence.end()
            self._log.flush()
            self.watch.advanced(self.totals, self._workers)

    def _handle(self, event: object, breaker: Breaker | None) -> None:
        if isinstance(event, Beat):
            self._workers = event.workers
            self.totals.clips = max(self.totals.rows, sum(w.clips for w in event.workers))
        elif isinstance(event, Assembled):
            ours = self.publish(event.lease.shard, list(event.results))
            outcomes = tuple(result.outcome for result in event.results)
            self._finished(event.lease, outcomes, breaker, ours=ours)
        elif isinstance(event, Notice):
            self._log.add("worker", text=event.text)
            self.watch.note(event.text)
        elif isinstance(event, Finished):
            self._finished(event.lease, event.report.outcomes, breaker, ours=event.report.ours)
        self._books.keep_up()
        self._log.keep_up()
        self._presence.keep_up(self.totals, self._workers)
        if self.ledger is not None:
            nodes, in_flight = self.ledger.nodes, self.ledger.in_flight
            self._metrics.keep_up(self.totals, self._workers, nodes, in_flight)
        self.watch.advanced(self.totals, self._workers)

    def _finished(
        self,
        lease: Lease,
        outcomes: Sequence[Outcome],
        breaker: Breaker | None,
        *,
        ours: bool,
    ) -> None:
        if not ours:  # what another attempt has committed counts
            outcomes = [o for _, f in read_footers(self.root, [lease.shard]) for o in f.outcomes]
        self._done.add(lease.shard)
        if ours and not lease.again:
            self._books.add(lease.shard, outcomes)
        planned = sum(outcome.planned for outcome in outcomes)
        with self._sums:
            self.totals.planned_clips += planned - lease.clips
            self.totals.add(outcomes)
        try:
            for plan in self.follow_ups(lease, outcomes):
                self._enqueue(plan)
        except Exception as error:  # of one shard: all others go on, and it is raised at the end
            self._failure = self._failure or error
            self._log.add("bug", shard=lease.shard, error=repr(error))
        for failure in filter(None, map(_failure, outcomes)):
            self._log.add("failed", shard=lease.shard, error_class=failure[0], message=failure[1])
        for warning in (warning for outcome in outcomes for warning in outcome.warnings):
            self._warned += 1
            if self._warned <= MAX_WARNINGS:
                self.watch.note(f"Warning: {warning}")
            elif self._warned == MAX_WARNINGS + 1:
                self.watch.note("Further warnings stand in the footers of the features files only.")
        if breaker is not None:
            breaker.record(_failure(outcome) for outcome in outcomes)

    def _enqueue_others(self) -> bool:
        """Queue what other drivers have planned meanwhile; return whether there is any.

        Raises:
            StorageError: files that workers have committed are not there.
        """
        catalogue = read_catalogue(self.root)
        self._committed = catalogue.committed
        lost = sorted(self._done - self._committed)
        if lost:
            raise StorageError(
                f"{len(lost):,} files that workers wrote are not under {self.root.uri}, for "
                f"example that of shard {lost[0]}: is it a folder of another machine? Use a "
                "folder or bucket that all machines share, and run the same command again"
            )
        before = len(self._plans)
        for pending in pending_plans(catalogue):
            if pending.plan not in self._plans:
                self._enqueue(pending.plan)
        return len(self._plans) > before

    def _summary(self, wall_s: float, resumed: frozenset[str], videos: Counter[str]) -> RunSummary:
        return RunSummary(
            run=self.name,
            out=self.root.uri,
            started=self._started,
            wall_s=wall_s,
            interrupted=self.interrupted,
            nothing_to_do=not self._plans,
            plans=tuple(sorted({root_plan_of(plan) for plan in self._plans})),
            videos=dict(videos),
            totals=self.totals,
            errors=self._errors(resumed),
            encoded_clips=sum(worker.clips for worker in self._workers),
            encode_s=sum(worker.encode_s for worker in self._workers),
            wait_s=sum(worker.wait_s for worker in self._workers),
            decode_s=sum(worker.decode_s for worker in self._workers),
            write_s=sum(worker.write_s for worker in self._workers),
            executor=self.settings.executor,
            environment=environment(),
        )

    def _errors(self, resumed: frozenset[str]) -> dict[ErrorClass, int]:
        """Count failed ranges by class: of this run, and of earlier ones in its plans."""
        counts = Counter(self.totals.errors)
        earlier = {s for s in self._committed - self._done if plan_of(s) in resumed}
        for _, outcomes in outcomes_of(self.root, earlier):
            counts.update(e.error_class for outcome in outcomes for e in outcome.errors)
        return dict(counts)


def _failure(outcome: Outcome) -> tuple[ErrorClass, str] | None:
    if not outcome.failed:
        return None
    error = outcome.errors[0]
    return error.error_class, error.message
