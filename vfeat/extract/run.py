"""Stage one as a run: list the corpus, plan what is new, extract."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus import Corpus, FixedType, Video, VideoBatch
from vfeat.corpus.address_book import AddressBook
from vfeat.corpus.id_set import IdSet
from vfeat.corpus.ids import raw_ids
from vfeat.engine.dataset_root import check_dataset, create_dataset
from vfeat.engine.executor import Executor
from vfeat.engine.placement import make_executor
from vfeat.engine.second_opinion import DOUBTFUL, Doubt
from vfeat.engine.stage_run import RunSettings, StageRun
from vfeat.engine.summary import PlanPreview, RunSummary
from vfeat.engine.watch import Watch
from vfeat.engine.worker_protocol import UnitResult
from vfeat.errors import VfeatError
from vfeat.extract.class_labels import notes
from vfeat.extract.gpu_decoding import refuse_without_gpu
from vfeat.extract.listing import Listing
from vfeat.extract.model_outline import ModelOutline, outline
from vfeat.extract.open_shard import publish_shard
from vfeat.extract.planning import Planner, publish_follow_up
from vfeat.extract.prepare import estimate, make_recipe, shard_limits
from vfeat.extract.preview import SAMPLE, Sample, look
from vfeat.extract.range_plans import RangePlans
from vfeat.extract.spec import ExtractSpec, WorkerSettings
from vfeat.job.fingerprint import Recipe
from vfeat.job.spec import ExtractJob
from vfeat.media.devices.base import NVDEC
from vfeat.outcome import Outcome
from vfeat.plan.estimate import Estimate
from vfeat.plan.shards import pack_videos
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.listing import find_object
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables.catalogue import Catalogue
from vfeat.tables.committed import read_footers
from vfeat.tables.dataset_state import dataset_state
from vfeat.tables.kind import FEATURES
from vfeat.tables.layout import SHOTS, plan_of
from vfeat.tables.pending import missing_follow_ups, pending_plans
from vfeat.tables.plans import EXTRA, PLAN_VIDEOS, leases, read_plan, secret_videos
from vfeat.tables.shots import publish_shots

_FIRST_S = 2.0  # a plan is published so soon where workers wait for one
_ROUNDS = 3  # a video that changes again and again is left to the next run


class ExtractRun(StageRun):
    """One run of `vfeat extract`."""

    def __init__(self, job: ExtractJob, watch: Watch, executor: Executor | None = None) -> None:
        """Set up a run.

        Args:
            executor: where leases are worked on; None: where the job says.
        """
        self.job = job
        self.model: ModelOutline = outline(job)
        self.recipe: Recipe = make_recipe(job, self.model)
        settings = RunSettings(
            "clips", job.executor, job.breaker_first_units, job.breaker_error_share,
            retries=job.retry_errors is not None,
        )  # fmt: skip
        root = Root(job.out, patience_s=job.storage_patience_seconds)
        super().__init__(root, executor or make_executor(job, job.decode_on), settings, watch)
        self._changed: SimpleQueue[tuple[Unit, str]] = SimpleQueue()
        self._rounds: Counter[str] = Counter()
        self._is_listed = threading.Event()
        self._anew = threading.Lock()  # planning thread and driver
        self._addresses = AddressBook(job.sources)
        self._waiting = IdSet()  # videos of plans that are not done, which their uri may not open

    def check(self) -> None:
        decoder = self.recipe.frame.decoder
        if decoder == NVDEC:
            refuse_without_gpu(decoder, self.executor.capacity().has_gpu)
        exists = check_dataset(self.root, self.recipe, FEATURES)
        self._listing = self._survey()
        if not exists:
            untrained = self.recipe.weights_digest.startswith("random")
            create_dataset(self.root, self.recipe, FEATURES, untrained=untrained)

    def plan(self) -> Iterator[str]:
        for videos in self._portions(self._listing):
            if (plan := self._planner.plan(videos)) is not None:
                yield plan
        self.is_gone = self._listing.is_gone
        self._is_listed.set()
        self._tell_skipped()
        if self.job.retry_errors is not None:
            yield from self._ranges.retries(self.job.retry_errors)
        if self._may_have_returned:
            yield from self._ranges.returned()
        yield from self._plan_changed()

    def _tell_listed(self, listing: Listing) -> None:
        self.listed(listing.videos, listing.new, listing.corpus.skipped.count)

    def _tell_skipped(self) -> None:
        """Name what the listing could not look at; such videos stay as they were."""
        skipped = self._listing.corpus.skipped
        self.totals.skipped = skipped.count
        if skipped.count:
            uri, reason = skipped.first[0]
            others = f" ({skipped.count:,} such)" if skipped.count > 1 else ""
            self.watch.note(f"Warning: not listed: {uri}: {reason}{others}")

    def unfinished(self, catalogue: Catalogue) -> Iterator[str]:
        for shard in missing_follow_ups(catalogue):
            table = read_plan(self.root, plan_of(shard))
            (lease,) = (x for x in leases(plan_of(shard), table, ()) if x.shard == shard)
            for _, footer in read_footers(self.root, [shard]):
                yield from filter(None, [publish_follow_up(self.root, lease, footer.outcomes)])

    def is_ready(self, plan: str) -> bool:
        videos = secret_videos(self.root, plan)
        return not len(videos) or bool(self._addresses.has(videos).all())

    def completed(self, lease: Lease) -> Lease:
        if not any(unit.has_secret for unit in lease.to_do(Unit)):
            return lease
        return replace(lease, units=tuple(map(self._with_address, lease.to_do(Unit))))

    def _with_address(self, unit: Unit) -> Unit:
        """Return a unit with the address that the present sources give it."""
        if not unit.has_secret:
            return unit
        found = self._addresses.find(unit.video_id, unit.uri, unit.source)
        return unit if found is None else replace(unit, address=found)

    def follow_ups(self, lease: Lease, outcomes: Sequence[Outcome]) -> Iterator[str]:
        if (plan := publish_follow_up(self.root, lease, outcomes)) is not None:
            yield plan
        units = {unit.key: unit for unit in lease.to_do(Unit)}
        for outcome in outcomes:
            unit = units[f"{outcome.video_id}:{outcome.first_clip}"]
            if outcome.changed:
                self._changed.put((unit, plan_of(lease.shard)))
            if outcome.probe is not None:
                self.totals.opened_bytes += unit.size_bytes
                self.totals.opened_clips += outcome.probe.n_clips - outcome.probe.n_empty
        if self._is_listed.is_set():  # before that, the listing may find the new content itself
            yield from self._plan_changed()

    def worker_spec(self) -> ExtractSpec:
        job = self.job
        settings = WorkerSettings(
            self.root.address, job.device, job.batch_size, job.decode_workers, job.limits,
            job.storage_patience_seconds,
        )  # fmt: skip
        return ExtractSpec(self.recipe, settings)

    def publish(self, shard: str, results: list[UnitResult]) -> bool:
        return publish_shard(self.root, shard, results, self.recipe, self.model.shape)

    def has_tables(self) -> bool:
        return self.recipe.clip.sampling != "shots" or self.root.exists(SHOTS)

    def publish_tables(self) -> None:
        if self.recipe.clip.sampling == "shots":
            publish_shots(self.root, self.recipe.clip)

    def preview(self) -> PlanPreview:
        """Return what a run would do; opens a sample of the new videos and writes nothing."""
        check_dataset(self.root, self.recipe, FEATURES)
        self.watch.phase("listing")
        listing = self._survey()
        sample, shards = Sample(SAMPLE), 0
        limits = shard_limits(self.job, self.model.shape)
        for videos in self._portions(listing):
            sample.add(videos)
            sizes = videos.column("size_bytes").to_numpy()
            shards += pack_videos(sizes, self._estimate, limits).shards
        outlook = look(sample, self.recipe, self.job.limits, self._estimate)
        waiting = self.pending()
        clips = outlook.clips + waiting.clips
        return PlanPreview(
            out=self.root.uri,
            videos=listing.videos,
            new_videos=sample.videos,
            corpus_bytes=listing.size_bytes,
            clips=clips,
            unreadable=outlook.unreadable,
            shards=shards + waiting.shards,
            output_bytes=clips * self.model.shape.bytes_per_clip(self.job.output_spec),
            estimated_s=(outlook.cost_s + waiting.cost_s) / self._estimate.workers,
            workers=self._estimate.workers,
            basis=self._estimate.basis,
            opened=outlook.opened,
            spread=outlook.spread,
        )

    def _survey(self) -> Listing:
        """Begin to list the corpus, beside what the plans hold already."""
        for note in notes(self.job, self.recipe):
            self.watch.note(note)
        state = dataset_state(self.root)
        types = {
            name: FixedType(kind, self.root.uri)
            for name, kind in state.extras.items()
            if not pa.types.is_null(kind)
        }
        corpus = Corpus(self.job.sources, types)
        self._column_types = corpus.column_types
        self._numbered = len(state.catalogue.groups)
        self._may_have_returned = bool(state.catalogue.uncovered) or any(
            pc.any(rows.column("changed")).as_py() for rows in state.stored(["changed"])
        )
        known = IdSet()
        for ids in state.known_ids():
            known.add(ids)
        for pending in pending_plans(state.catalogue):
            self._waiting.add(raw_ids(secret_videos(self.root, pending.plan).column("video_id")))
        return Listing(corpus, known, self._addresses, self._needs_address, self._after_batch)

    def _after_batch(self, listing: Listing) -> None:
        self._tell_listed(listing)
        self.release()

    def _needs_address(self, batch: VideoBatch) -> npt.NDArray[np.bool_]:
        """Return which videos of earlier plans may be read in this run."""
        if self.job.retry_errors is not None:
            return np.ones(len(batch), bool)
        return self._waiting.contains(batch.ids)

    @cached_property
    def _planner(self) -> Planner:
        limits = shard_limits(self.job, self.model.shape)
        return Planner(self.root, self._numbered, self._estimate, limits, self._column_types)

    @cached_property
    def _estimate(self) -> Estimate:
        return estimate(self.job, self.model, self.root, self.executor.capacity())

    def _portions(self, listing: Listing) -> Iterator[pa.Table]:
        """Yield the new videos in the size of a plan, sooner where workers wait for work."""
        held: list[pa.Table] = []
        since_s = here().now_s()
        for batch in listing.fresh():
            held.append(batch.table)
            count = sum(map(len, held))
            soon = self.queue.is_empty and here().now_s() - since_s >= _FIRST_S
            if count >= PLAN_VIDEOS or (count and soon):
                yield pa.concat_tables(held, promote_options="default")
                held, since_s = [], here().now_s()
        if held:
            yield pa.concat_tables(held, promote_options="default")

    def try_again(self, doubts: Sequence[Doubt]) -> Iterator[str]:
        yield from self._ranges.retries(DOUBTFUL, {doubt.key: doubt.node for doubt in doubts})

    @cached_property
    def _ranges(self) -> RangePlans:
        limits = shard_limits(self.job, self.model.shape)
        return RangePlans(
            self.root, self._planner, self._listing, self._addresses, self._estimate, limits
        )

    def _plan_changed(self) -> Iterator[str]:
        """Plan the new content of videos that changed after they were planned."""
        while True:
            try:
                unit, plan = self._changed.get_nowait()
            except Empty:
                return
            self._rounds[unit.uri] += 1
            if self._rounds[unit.uri] > _ROUNDS:
                self.watch.note(f"Warning: {unit.uri} keeps changing; the next run reads it again")
                self.totals.left_behind += 1
                continue
            videos = _found_anew(self.root, unit, plan)
            with self._anew:
                is_new = videos is not None and self._listing.add(videos)
            if videos is not None:
                self._addresses.add(videos)
            if videos is not None and is_new:
                yield from filter(None, [self._planner.plan(videos)])


def _found_anew(root: Root, unit: Unit, plan: str) -> pa.Table | None:
    """Return the object that stands where a unit's was, as a table of one video; None if none."""
    try:
        found = find_object(unit.read_from)
    except VfeatError:
        return None
    row = read_plan(root, plan)
    row = row.filter(pc.equal(row.column("video_id"), unit.video_id)).slice(0, 1)
    extras = [name for name in row.column_names if name.startswith(EXTRA)]
    fixed = pa.table(
        {
            "video_id": [Video(unit.read_from, found.size_bytes, found.etag).video_id],
            "uri": [unit.uri],
            "size_bytes": [found.size_bytes],
            "etag": [found.etag],
            "source": pa.array([unit.source], pa.string()),
            "problem": pa.nulls(1, pa.string()),
            "address": pa.array([unit.address], pa.string()),
        }
    )
    for name in extras:
        fixed = fixed.append_column(name, row.column(name))
    return fixed


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
