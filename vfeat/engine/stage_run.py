"""The run of any stage: plan, work through the plans, snapshot, summary.

Plans are made by a thread of their own, so that work begins with the first of them, however long
the input is. The driver's state is nothing but the plans and the listing of committed files;
killed at any line, the same command finishes the work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from vfeat.addresses import redacted
from vfeat.engine.bookkeeping import Bookkeeping
from vfeat.engine.bottleneck import find_bottleneck
from vfeat.engine.breaker import Breaker
from vfeat.engine.cores import usable_cores
from vfeat.engine.executor import Assembled, Beat, Executor, Finished, Notice, WorkerSpec
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.metrics import RunMetrics
from vfeat.engine.plan_queue import PlanQueue
from vfeat.engine.presence import Presence, Sight
from vfeat.engine.run_log import RunLog
from vfeat.engine.second_opinion import DOUBTFUL, SAMPLE, Doubt, SecondOpinions
from vfeat.engine.summary import SPENT, PlanPreview, RunSummary, environment, write_run
from vfeat.engine.watch import Totals, Watch
from vfeat.engine.worker_protocol import Progress, UnitResult
from vfeat.errors import ErrorClass, Interrupted, StorageError, VfeatError
from vfeat.outcome import Outcome
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root
from vfeat.storage.temporary import sweep_temporary_folder
from vfeat.surroundings import here
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
        now = datetime.fromtimestamp(here().wall_s(), UTC)
        self.name = f"{now:%Y%m%dT%H%M%S}-{here().token()[:6]}"
        self.root = root
        self.executor = executor
        self.settings = settings
        self.watch = watch
        self.totals = Totals(noun=settings.noun)
        self.ledger: Ledger | None = None
        self.is_gone: IsGone = cannot_tell
        self._started = now.isoformat(timespec="seconds")
        self._log = RunLog(root, self.name)
        self._presence = Presence(root, self.name, self._started, self._sight)
        self._metrics = RunMetrics(self.name)
        self._plans = PlanQueue(root, self._leases, self.is_ready, self.totals, self._log)
        self.queue = self._plans.leases
        self._phase = "listing"
        self._listed = 0
        self.interrupted = False
        self.working = False  # shards are in the hands of workers
        self._done: set[str] = set()
        self._planning_error: BaseException | None = None
        self._failure: Exception | None = None
        self._workers: tuple[Progress, ...] = ()
        self._feeders: tuple[Progress, ...] = ()
        self._warned = 0
        self._opinions = SecondOpinions()
        self._resumed: frozenset[str] = frozenset()
        self._noted_earlier = False
        self._withdrawn: Counter[ErrorClass] = Counter()  # of errors that earlier runs made

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

    def is_ready(self, plan: str) -> bool:
        """Return whether the leases of a plan can be handed out while the input is listed.

        A stage that answers no calls `release` now and then; at the end of the listing all are.
        """
        return True

    def completed(self, lease: Lease) -> Lease:
        """Return a lease with what its plan does not hold."""
        return lease

    def again(self) -> Iterator[Lease]:
        """Yield leases of committed shards that are to be replaced, when all is planned."""
        yield from ()

    def try_again(self, doubts: Sequence[Doubt]) -> Iterator[str]:
        """Publish plans of failures that another node is to try; yield their names.

        A shard of these plans holds failures of one node only.
        """
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
        began = here().now_s()
        self._begin("listing")
        self.check()
        self._notice_others()
        self._presence.begin()
        try:
            return self._run(began)
        finally:
            self._presence.end()

    def _run(self, began: float) -> RunSummary:
        self.root.sweep((*layout.FOLDERS, kind_of(self.root).folder))
        sweep_temporary_folder()
        catalogue = read_catalogue(self.root)
        self._plans.committed = catalogue.committed
        for pending in pending_plans(catalogue):
            self._plans.add(pending.plan)
        self._resumed = frozenset(self._plans.names)
        self._books = Bookkeeping(self.root)
        here().start("vfeat-planner", lambda: self._feed(catalogue))
        self._work()
        is_gone = cannot_tell if self.interrupted or self._planning_error else self.is_gone
        idle = not self._plans.names and is_current(self.root, is_gone) and self.has_tables()
        videos: Counter[str] = Counter()
        if not idle:
            self._begin("closing")
            self.publish_tables()  # before the snapshot, which shows that a run is closed
            videos = publish_snapshot(self.root, is_gone)
        summary = self._summary(here().now_s() - began, videos)
        if not idle:
            write_run(self.root, summary)
            self._log.add("end", exit_code=summary.exit_code, rows=self.totals.rows)
            self._log.flush()
        if (error := self._planning_error or self._failure) is not None:
            raise error
        return summary

    def has_tables(self) -> bool:
        """Return whether the stage's own tables are there."""
        return True

    def publish_tables(self) -> None:
        """Replace the stage's own tables beside the snapshot, if it has any."""
        return

    def close(self) -> None:
        self.executor.close()

    def listed(self, videos: int, new: int, skipped: int = 0) -> None:
        """Receive from the planning of a stage how far the listing of its input is."""
        self._listed = videos
        self.watch.listed(videos, new, skipped)

    def _begin(self, phase: str) -> None:
        self._phase = phase
        self.watch.phase(phase)

    def _sight(self) -> Sight:
        """Return the run as it is; called in any thread."""
        workers = self.executor.progress() or self._workers
        return Sight(
            self.totals, workers, self._phase, self._listed,
            is_planned=self.queue.has_ended, is_drained=self.queue.is_empty,
        )  # fmt: skip

    def _notice_others(self) -> None:
        """Name the runs that go on in the same dataset."""
        for other in remove_dead(self.root, here().wall_s()):
            self.watch.note(
                f"Another run, {other.run} (process {other.pid} on {other.host}), works on this "
                f"dataset since {other.started}: some shards may be done twice, and are stored once"
            )

    def _breaker(self) -> Breaker:
        return Breaker(
            self.settings.breaker_first_units,
            self.settings.breaker_error_share,
            is_new=not self._plans.committed,
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
                self._plans.add(plan)
            for plan in self.plan():
                self._plans.add(plan)
                if self.interrupted:
                    return
            self._plans.add_again(list(self.again()))
        except BaseException as error:  # raised again by the thread that works
            self._planning_error = error
            if self.ledger is not None and not isinstance(error, StorageError):
                self.ledger.stopping = True
        finally:
            self._plans.end()
            self.watch.planned()

    def release(self) -> None:
        """Queue plans that are ready by now; for the planning of a stage."""
        self._plans.release()

    def _leases(self, plan: str) -> Iterator[Lease]:
        for lease in leases(plan, read_plan(self.root, plan), self._plans.committed):
            nodes = self._opinions.nodes_of(lease)
            yield self.completed(replace(lease, avoid=nodes) if nodes else lease)

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
        self.ledger.is_proven = self.settings.retries  # what failed before may fail again
        self._begin("starting")
        self._presence.write()
        breaker = self._breaker()
        self.working = True
        self._log.add("work", shards=self.totals.shards)
        try:
            while True:
                for event in self.executor.run(self.worker_spec(), self.ledger, self.root):
                    self._handle(event, breaker)
                if self.ledger.stopping:
                    break
                if not self._enqueue_others() and not self._enqueue_doubts():
                    break
        except BaseException as error:
            self._log.add("stopped", error=repr(error))
            raise
        finally:
            self.working = False
            self._books.close()
            self._log.flush()
            self.watch.advanced(self.totals, self._workers)

    def _handle(self, event: object, breaker: Breaker) -> None:
        if isinstance(event, Beat):
            self._workers, self._feeders = event.workers, event.feeders
            self.totals.clips = max(self.totals.rows, sum(w.clips for w in event.workers))
        elif isinstance(event, Assembled):
            ours = self.publish(event.lease.shard, list(event.results))
            outcomes = tuple(result.outcome for result in event.results)
            self._finished(event.lease, outcomes, breaker, ours=ours)
        elif isinstance(event, Notice):
            text = redacted(event.text)  # it may be of another library's exception
            self._log.add("worker", text=text)
            self.watch.note(text)
        elif isinstance(event, Finished):
            report = event.report
            self._finished(event.lease, report.outcomes, breaker, event.node, ours=report.ours)
        self._books.keep_up()
        sums = self.totals
        self._log.progress(rows=max(sums.rows, sums.clips), failed=sums.failed_units)
        self._log.keep_up()
        if self.ledger is not None:
            nodes, in_flight = self.ledger.nodes, self.ledger.in_flight
            self._metrics.keep_up(self.totals, self._workers, nodes, in_flight)
        self.watch.advanced(self.totals, self._workers)

    def _finished(
        self,
        lease: Lease,
        outcomes: Sequence[Outcome],
        breaker: Breaker,
        node: str = "",
        *,
        ours: bool,
    ) -> None:
        if not ours:  # what another attempt has committed counts
            outcomes = [o for _, f in read_footers(self.root, [lease.shard]) for o in f.outcomes]
        self._done.add(lease.shard)
        if ours and not lease.again:
            self._books.add(lease.shard, outcomes)
        planned = sum(outcome.planned for outcome in outcomes)
        with self._plans.lock:
            self.totals.planned_clips += planned - lease.clips
            self.totals.add(outcomes)
            doubts = self._opinions.settle(lease, outcomes)
            for doubt in doubts:
                self._withdraw(doubt)
        if node and ours:
            self._opinions.note(lease, outcomes, node)
        try:
            for plan in self.follow_ups(lease, outcomes):
                self._plans.add(plan)
        except Exception as error:  # of one shard: all others go on, and it is raised at the end
            self._failure = self._failure or error
            self._log.add("bug", shard=lease.shard, error=repr(error))
        self._report(lease.shard, outcomes)
        if not doubts and not lease.again:  # what failed before may fail again
            before = {(unit.video_id, unit.first_clip) for unit in lease.units if unit.attempts}
            first_tries = (o for o in outcomes if (o.video_id, o.first_clip) not in before)
            breaker.record(map(_failure, first_tries))

    def _report(self, shard: str, outcomes: Sequence[Outcome]) -> None:
        """Log the failures of a shard, and show its warnings."""
        for failure in filter(None, map(_failure, outcomes)):
            self._log.add("failed", shard=shard, error_class=failure[0], message=failure[1])
        for warning in (warning for outcome in outcomes for warning in outcome.warnings):
            self._warned += 1
            if self._warned <= MAX_WARNINGS:
                self.watch.note(f"Warning: {warning}")
            elif self._warned == MAX_WARNINGS + 1:
                self.watch.note("Further warnings stand in the footers of the features files only.")

    def _enqueue_others(self) -> bool:
        """Queue what other drivers have planned meanwhile; return whether there is any.

        Raises:
            StorageError: files that workers have committed are not there.
            VfeatError: shards of this run have no file, although all its work has ended.
        """
        catalogue = read_catalogue(self.root)
        self._plans.committed = catalogue.committed
        lost = sorted(self._done - self._plans.committed)
        if lost:
            raise StorageError(
                f"{len(lost):,} files that workers wrote are not under {self.root.uri}, for "
                f"example that of shard {lost[0]}: is it a folder of another machine? Use a "
                "folder or bucket that all machines share, and run the same command again"
            )
        before, missing = len(self._plans.names), 0
        for pending in pending_plans(catalogue):
            if pending.plan not in self._plans.names:
                self._plans.add(pending.plan)
            else:
                missing += pending.shards - len(pending.committed)
        if missing:  # whatever went wrong: a run ends well only if the listing holds its plans
            raise VfeatError(
                f"{missing:,} planned shards have no file under {self.root.uri}, and no worker has "
                "them: run the same command again, and report this with OUT/logs"
            )
        return len(self._plans.names) > before

    def _enqueue_doubts(self) -> bool:
        """Queue failures that may be a node's, for another node; return whether there are any."""
        assert self.ledger is not None
        if len(self.ledger.nodes) < 2 or self._planning_error is not None:
            return False
        if not self._noted_earlier:
            self._noted_earlier = True
            self._note_earlier()
        doubts = self._opinions.next_round()
        if not doubts:
            if standing := self._opinions.standing:
                self.watch.note(
                    f"{standing:,} failed ranges of clips are not tried on another node: "
                    f"{SAMPLE} like them failed there, too"
                )
            return False
        before, videos = len(self._plans.names), self.totals.planned_videos
        for plan in self.try_again(doubts):
            self._plans.add(plan)
        self.totals.planned_videos = videos  # they were planned before
        if len(self._plans.names) == before:
            return False
        count = f"{len(doubts):,} failed range" + "s" * (len(doubts) > 1)
        self.watch.note(f"{count} of clips: tried again, on another node each")
        return True

    def _note_earlier(self) -> None:
        """Take the failures that a run left behind which ended before it could try them again."""
        for shard, outcomes in outcomes_of(self.root, self._earlier()):
            if any(e.error_class in DOUBTFUL for outcome in outcomes for e in outcome.errors):
                plan = plan_of(shard)
                rows = read_plan(self.root, plan)
                (lease,) = (x for x in leases(plan, rows, ()) if x.shard == shard)
                self._opinions.note(lease, outcomes, "", is_earlier=True)

    def _withdraw(self, doubt: Doubt) -> None:
        """Take a failure back that was tried on another node, where its new outcome counts."""
        if doubt.is_earlier:
            self._withdrawn[doubt.error.error_class] += 1
            self.totals.planned_clips -= doubt.error.clips
        else:
            self.totals.withdraw(doubt.error, is_whole=doubt.is_whole)

    def _earlier(self) -> set[str]:
        """Return the committed shards of the resumed plans that other runs have done."""
        done = self._plans.committed - self._done
        return {shard for shard in done if plan_of(shard) in self._resumed}

    def _summary(self, wall_s: float, videos: Counter[str]) -> RunSummary:
        return RunSummary(
            run=self.name,
            out=self.root.uri,
            started=self._started,
            wall_s=wall_s,
            interrupted=self.interrupted or (self.ledger is not None and self.ledger.stopping),
            nothing_to_do=not self._plans.names,
            plans=tuple(sorted({root_plan_of(plan) for plan in self._plans.names})),
            videos=dict(videos),
            totals=self.totals,
            errors=self._errors(),
            encoded_clips=sum(worker.clips for worker in self._workers),
            **{name: sum(getattr(worker, name) for worker in self._workers) for name in SPENT},
            executor=self.settings.executor,
            environment=environment(),
            nodes=self.executor.nodes(),
            fed_clips=sum(worker.fed_clips for worker in self._workers),
            feeders=len(self._feeders),
            fed_wait_s=sum(feeder.wait_s for feeder in self._feeders),
            bottleneck=find_bottleneck(
                self._workers, self._feeders, wall_s=wall_s, noun=self.settings.noun,
                cores=self._cores(),
            ),
        )  # fmt: skip

    def _cores(self) -> int:
        """Return the cores that a worker has."""
        nodes, workers = self.executor.nodes(), sum(worker.pid > 0 for worker in self._workers)
        cores = sum(node.cores for node in nodes) or usable_cores()
        return max(1, cores // max(1, workers))

    def _errors(self) -> dict[ErrorClass, int]:
        """Count failed ranges by class: of this run, and of earlier ones in its plans."""
        counts = Counter(self.totals.errors)
        for _, outcomes in outcomes_of(self.root, self._earlier()):
            counts.update(e.error_class for outcome in outcomes for e in outcome.errors)
        return dict(counts - self._withdrawn)


def _failure(outcome: Outcome) -> tuple[ErrorClass, str] | None:
    if not outcome.failed:
        return None
    error = outcome.errors[0]
    return error.error_class, error.message
