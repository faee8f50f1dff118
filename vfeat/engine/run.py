"""One run: list, plan, extract, snapshot. The whole flow on one screen.

The driver's state is nothing but the plans and the listing of `features/`; killed at any
line, the same command finishes the work.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain

from vfeat.engine.breaker import Breaker
from vfeat.engine.executor import Assembled, Beat, Executor, Finished
from vfeat.engine.inline import InlineExecutor
from vfeat.engine.ledger import Ledger
from vfeat.engine.planning import Listing, Planner, known_videos, plan_retries
from vfeat.engine.prepare import (
    check_dataset,
    create_dataset,
    estimate,
    make_recipe,
    row_shape,
    shard_limits,
)
from vfeat.engine.summary import PlanPreview, RunSummary, environment, write_run
from vfeat.engine.watch import Totals, Watch
from vfeat.errors import ErrorClass, Interrupted
from vfeat.job.fingerprint import Recipe
from vfeat.job.spec import ExtractJob
from vfeat.plan.unit import Lease
from vfeat.stages.report import Progress, ShardReport, WorkerSettings
from vfeat.stages.shard import publish_shard
from vfeat.storage.root import Root
from vfeat.tables.layout import plan_of
from vfeat.tables.ledger import committed_shards, read_footers
from vfeat.tables.outcome import Outcome
from vfeat.tables.plans import leases, plan_list, read_plan
from vfeat.tables.schema import RowShape
from vfeat.tables.snapshot import is_current, publish_snapshot


class ExtractRun:
    """A job being carried out.

    Args:
        job: what is asked.
        watch: who wants to know how it goes.
    """

    def __init__(self, job: ExtractJob, watch: Watch) -> None:
        self.job = job
        self.watch = watch
        self.recipe: Recipe = make_recipe(job)
        self.root = Root(job.out, patience_s=job.storage_patience_seconds)
        self.executor = make_executor(job, self.recipe, self.root)
        self.totals = Totals()
        self.ledger: Ledger | None = None
        self._interrupted = False
        self._workers: tuple[Progress, ...] = ()

    def interrupt(self) -> None:
        """Take no more shards; those running are finished.

        Raises:
            Interrupted: nothing runs yet; what was planned so far is kept.
        """
        self._interrupted = True
        if self.ledger is None:
            raise Interrupted("stopped while the corpus was listed and its headers were read")
        self.ledger.stopping = True

    def preview(self) -> PlanPreview:
        """What a run would do; probes the new videos and writes nothing."""
        check_dataset(self.root, self.recipe)
        plans, listing = self._survey()
        planner = self._planner(plans)
        fresh = list(listing.fresh())
        shards = [s for chunk in planner.chunks(fresh) for s in planner.shards(chunk)]
        units = [unit for shard in shards for unit in shard]
        pending = list(self._pending())
        clips = sum(unit.clips for unit in units) + sum(lease.clips for lease in pending)
        cost_s = sum(unit.cost_s for unit in units) + sum(lease.cost_s for lease in pending)
        return PlanPreview(
            out=self.root.uri,
            videos=len(listing.present),
            new_videos=len(fresh),
            corpus_bytes=listing.size_bytes,
            clips=clips,
            unreadable=sum(unit.error_class is not None for unit in units),
            shards=len(shards) + len(pending),
            output_bytes=clips * row_shape(self.job).bytes_per_clip(self.job.output_spec),
            estimated_s=cost_s / planner.estimate.workers,
            workers=planner.estimate.workers,
            basis=planner.estimate.basis,
        )

    def run(self) -> RunSummary:
        """Do it. Nothing is written when there is nothing to do."""
        began = time.monotonic()
        started = datetime.now(UTC)
        exists = check_dataset(self.root, self.recipe)
        known, listing = self._survey()
        if not exists:
            create_dataset(self.root, self.recipe)
        fresh = listing.fresh()
        if (first := next(fresh, None)) is not None:
            self.watch.phase("probing")
            self._planner(known).extend(chain([first], fresh))
        if self.job.retry_errors is not None:
            plan_retries(self._planner(known), self.job.retry_errors)
        plans = self._extract()
        idle = not plans and is_current(self.root, listing.is_gone)
        videos: Counter[str] = Counter()
        if not idle:
            self.watch.phase("closing")
            videos = publish_snapshot(self.root, listing.is_gone)
        summary = self._summary(started, time.monotonic() - began, plans, videos)
        if not idle:
            write_run(self.root, summary)
        return summary

    def _summary(
        self, started: datetime, wall_s: float, plans: set[str], videos: Counter[str]
    ) -> RunSummary:
        return RunSummary(
            run=f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
            out=self.root.uri,
            started=started.isoformat(timespec="seconds"),
            wall_s=wall_s,
            interrupted=self._interrupted,
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
            executor=self.job.executor,
            environment=environment(),
        )

    def close(self) -> None:
        self.executor.close()

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    @property
    def workers(self) -> tuple[Progress, ...]:
        """Last known counters of the workers."""
        return self._workers

    def _survey(self) -> tuple[list[str], Listing]:
        """The plans there are, and what the corpus holds beyond them."""
        self.watch.phase("listing")
        plans = plan_list(self.root)
        return plans, Listing(self.job.sources, known_videos(self.root, plans))

    def _planner(self, plans: list[str]) -> Planner:
        workers = self.executor.workers()
        figure = estimate(
            self.job, self.root,
            gpu=uses_gpu(self.job), workers=workers, decoders=decode_workers(self.job),
        )  # fmt: skip
        return Planner(
            self.root, len(plans), self.executor, figure, shard_limits(self.job),
            self._breaker("probing"), self.watch,
        )  # fmt: skip

    def _breaker(self, stage: str) -> Breaker | None:
        if self.job.retry_errors is not None:  # what failed before may well fail again
            return None
        return Breaker(self.job.breaker_first_units, self.job.breaker_error_share, stage)

    def _pending(self) -> Iterator[Lease]:
        done = committed_shards(self.root)
        for plan in plan_list(self.root):
            yield from leases(plan, read_plan(self.root, plan), done)

    def _extract(self) -> set[str]:
        """Work all plans empty; returns the plans that had something left to do."""
        plans: set[str] = set()
        count = self._count_pending(plans)
        if not count:
            return plans
        self.ledger = Ledger(self._pending())
        self.ledger.stopping = self._interrupted
        self.watch.phase("starting")
        breaker = self._breaker("extracting")
        try:
            for event in self.executor.run(self.ledger):
                self._handle(event, breaker)
        finally:
            self.watch.advanced(self.totals, self._workers)
        return plans

    def _count_pending(self, plans: set[str]) -> int:
        videos: set[str] = set()
        for lease in self._pending():
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
            ours = publish_shard(
                self.root, event.lease.shard, list(event.results), self.recipe, self._shape()
            )
            outcomes = tuple(result.outcome for result in event.results)
            self._finished(ShardReport(event.lease.shard, outcomes, ours, 0.0), breaker)
        elif isinstance(event, Finished):
            self._finished(event.report, breaker)
        self.watch.advanced(self.totals, self._workers)

    def _finished(self, report: ShardReport, breaker: Breaker | None) -> None:
        self.totals.add(report)
        if breaker is not None:
            breaker.record(_failure(outcome) for outcome in report.outcomes)

    def _shape(self) -> RowShape:
        return row_shape(self.job)

    def _errors_of(self, plans: set[str]) -> dict[ErrorClass, int]:
        """Failed ranges by class in the plans that this run worked on, a resumed part included."""
        counts: dict[ErrorClass, int] = {}
        shards = {shard for shard in committed_shards(self.root) if plan_of(shard) in plans}
        for _, footer in read_footers(self.root, shards):
            for outcome in footer.outcomes:
                for error in outcome.errors:
                    counts[error.error_class] = counts.get(error.error_class, 0) + 1
        return counts


def run_job(job: ExtractJob, watch: Watch | None = None) -> RunSummary:
    """Carry out a job from Python; the same as `vfeat run`.

    Raises:
        VfeatError: what the command line would print and exit with.
    """
    run = ExtractRun(job, watch or Watch())
    try:
        return run.run()
    finally:
        run.close()


def _failure(outcome: Outcome) -> tuple[ErrorClass, str] | None:
    if not outcome.failed:
        return None
    error = outcome.errors[0]
    return error.error_class, error.message


def uses_gpu(job: ExtractJob) -> bool:
    """A guess for the plan, before anything is started."""
    return job.device != "cpu" and os.path.exists("/dev/nvidia0")


def decode_workers(job: ExtractJob) -> int:
    """Decoder children of a worker: one a core beside a GPU, fewer where the model needs them."""
    cores = os.cpu_count() or 1
    return job.decode_workers or (max(1, cores - 1) if uses_gpu(job) else max(1, cores // 4))


def make_executor(job: ExtractJob, recipe: Recipe, root: Root) -> Executor:
    """The place where the job wants its work done. Ray is imported only if it is Ray."""
    settings = WorkerSettings(
        root.uri, job.device, job.batch_size, decode_workers(job), job.limits,
        job.storage_patience_seconds,
    )  # fmt: skip
    if job.executor == "inline":
        return InlineExecutor(recipe, settings)
    from vfeat.engine.cluster import ClusterSettings, RayExecutor

    cluster = ClusterSettings(job.address, job.actors, job.gpus_per_actor, job.device)
    return RayExecutor(recipe, settings, cluster)
