"""Stage one as a run: list the corpus, probe what is new, plan it, extract."""

from __future__ import annotations

import os
from itertools import chain

import pyarrow as pa

from vfeat.corpus import Corpus, FixedType
from vfeat.engine.dataset_root import check_dataset, create_dataset
from vfeat.engine.placement import make_executor, uses_gpu
from vfeat.engine.stage_run import RunSettings, StageRun
from vfeat.engine.summary import PlanPreview, RunSummary
from vfeat.engine.watch import Watch
from vfeat.engine.worker_protocol import UnitResult
from vfeat.extract.class_labels import notes
from vfeat.extract.model_outline import ModelOutline, outline
from vfeat.extract.open_shard import publish_shard
from vfeat.extract.planning import Listing, Planner, plan_retries
from vfeat.extract.prepare import estimate, make_recipe, shard_limits
from vfeat.extract.probing import Probing
from vfeat.extract.spec import ExtractSpec, WorkerSettings
from vfeat.job.fingerprint import Recipe
from vfeat.job.spec import ExtractJob
from vfeat.storage.root import Root
from vfeat.tables.extras import column_types
from vfeat.tables.kind import FEATURES
from vfeat.tables.plans import known_videos, plan_list
from vfeat.tables.snapshot import IsGone


class ExtractRun(StageRun):
    """One run of `vfeat extract`."""

    def __init__(self, job: ExtractJob, watch: Watch) -> None:
        self.job = job
        self.model: ModelOutline = outline(job)
        self.recipe: Recipe = make_recipe(job, self.model)
        settings = RunSettings(
            "clips", job.executor, job.breaker_first_units, job.breaker_error_share,
            retries=job.retry_errors is not None,
        )  # fmt: skip
        root = Root(job.out, patience_s=job.storage_patience_seconds)
        super().__init__(root, make_executor(job), settings, watch)

    def plan(self) -> IsGone:
        exists = check_dataset(self.root, self.recipe, FEATURES)
        known, listing = self._survey()
        if not exists:
            self._create()
        fresh = listing.fresh()
        if (first := next(fresh, None)) is not None:
            self.watch.phase("probing")
            self._planner(known, listing).extend(chain([first], fresh))
        if self.job.retry_errors is not None:
            planner = self._planner(known, listing)
            plan_retries(planner, self.job.retry_errors, listing.is_unchanged)
        return listing.is_gone

    def _create(self) -> None:
        untrained = self.recipe.weights_digest.startswith("random")
        create_dataset(self.root, self.recipe, FEATURES, untrained=untrained)

    def worker_spec(self) -> ExtractSpec:
        job = self.job
        settings = WorkerSettings(
            self.root.uri, job.device, job.batch_size, decode_workers(job), job.limits,
            job.storage_patience_seconds,
        )  # fmt: skip
        return ExtractSpec(self.recipe, settings)

    def publish(self, shard: str, results: list[UnitResult]) -> bool:
        return publish_shard(self.root, shard, results, self.recipe, self.model.shape)

    def preview(self) -> PlanPreview:
        """Return what a run would do; probes the new videos and writes nothing."""
        check_dataset(self.root, self.recipe, FEATURES)
        plans, listing = self._survey()
        planner = self._planner(plans, listing)
        fresh = list(listing.fresh())
        shards = [s for chunk in planner.chunks(fresh) for s in planner.shards(chunk)]
        units = [unit for shard in shards for unit in shard]
        pending = list(self.pending())
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
            output_bytes=clips * self.model.shape.bytes_per_clip(self.job.output_spec),
            estimated_s=cost_s / planner.estimate.workers,
            workers=planner.estimate.workers,
            basis=planner.estimate.basis,
        )

    def _survey(self) -> tuple[list[str], Listing]:
        """List the plans, and the videos of the corpus beyond them."""
        for note in notes(self.job, self.recipe):
            self.watch.note(note)
        self.watch.phase("listing")
        plans = plan_list(self.root)
        types = {
            name: FixedType(kind, self.root.uri)
            for name, kind in column_types(self.root).items()
            if not pa.types.is_null(kind)
        }
        corpus = Corpus(self.job.sources, types)
        return plans, Listing(corpus, known_videos(self.root, plans))

    def _planner(self, plans: list[str], listing: Listing) -> Planner:
        workers = self.executor.workers()
        figure = estimate(
            self.job, self.model, self.root,
            gpu=uses_gpu(self.job), workers=workers, decoders=decode_workers(self.job),
        )  # fmt: skip
        return Planner(
            self.root, len(plans), self.executor, Probing(self.recipe, self.job.limits),
            figure, shard_limits(self.job, self.model.shape), self.breaker("probing"), self.watch,
            listing.column_types,
        )  # fmt: skip


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


def decode_workers(job: ExtractJob) -> int:
    """Return the decoder children of a worker: one a core beside a GPU, fewer without one."""
    cores = os.cpu_count() or 1
    return job.decode_workers or (max(1, cores - 1) if uses_gpu(job) else max(1, cores // 4))
