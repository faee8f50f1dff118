"""Stage two as a run: settled videos without predictions become a plan; heads do the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa

from vfeat.classify.default_head import default_head
from vfeat.classify.lost import LostVideos
from vfeat.classify.outdated import again_leases, failed_videos, gained
from vfeat.classify.spec import ClassifySpec, count_predictions
from vfeat.corpus.ids import Ids, raw_ids
from vfeat.engine.dataset_root import check_dataset, create_dataset
from vfeat.engine.placement import make_executor
from vfeat.engine.stage_run import RunSettings, StageRun
from vfeat.engine.summary import PlanPreview
from vfeat.engine.watch import Watch
from vfeat.engine.worker_protocol import UnitResult
from vfeat.errors import JobError
from vfeat.job.spec import ClassifyJob
from vfeat.models.weights import weights_digest
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.plan.shards import ShardLimits, pack
from vfeat.plan.unit import AnyUnit, Lease, SequenceUnit
from vfeat.sequences.head import Head, load_heads
from vfeat.sequences.reader import SequenceReader
from vfeat.storage.root import Root
from vfeat.tables import dataset
from vfeat.tables.dataset_state import known_ids
from vfeat.tables.kind import PREDICTIONS
from vfeat.tables.plans import PLAN_VIDEOS, plan_list, plan_table, publish_plan
from vfeat.tables.sorted_ids import SortedIds

STEP_S = 20e-6  # a head's work for one step of a sequence, one core; from benchmarks/vis4mer.py
SHARD_ROWS = 1_000_000


class ClassifyRun(StageRun):
    """One run of `vfeat classify`."""

    def __init__(self, job: ClassifyJob, watch: Watch) -> None:
        self.job = job
        self.features = dataset.open(job.features)
        self.heads = _heads(job.heads or (default_head(self.features),))
        for head in self.heads:
            head.check(self.features)
        settings = RunSettings(
            "predictions", job.executor, job.breaker_first_units, job.breaker_error_share,
            retries=job.retry_errors is not None,
        )  # fmt: skip
        root = Root(job.out, patience_s=job.storage_patience_seconds)
        super().__init__(root, make_executor(job), settings, watch)
        self.spec = ClassifySpec(
            root.address, self.features.root.address, self.heads,
            tuple(weights_digest(head.uri) for head in self.heads),
            job.window_seconds, job.hop_seconds, job.windows, job.top_k, job.embedding,
            job.device, job.storage_patience_seconds,
        )  # fmt: skip
        self._again: dict[str, SequenceRef] = {}

    def check(self) -> None:
        recipe = self.spec.recipe()
        if not check_dataset(self.root, recipe, PREDICTIONS):
            create_dataset(self.root, recipe, PREDICTIONS)

    def plan(self) -> Iterator[str]:
        refs = self._fresh()
        new = 0
        while chunk := list(islice(refs, PLAN_VIDEOS)):
            new += len(chunk)
            self.listed(new, new)
            yield from filter(None, [self._publish_plan(chunk)])
        if self._again:
            self.watch.note(f"Videos to be classified again: {len(self._again):,}")

    def again(self) -> Iterator[Lease]:
        yield from again_leases(self.root, self._again)

    def worker_spec(self) -> ClassifySpec:
        return self.spec

    def publish(self, shard: str, results: list[UnitResult]) -> bool:
        from vfeat.classify.worker import publish_predictions

        again = any(result.outcome.video_id in self._again for result in results)
        return publish_predictions(self.root, shard, results, self.spec, again=again)

    def preview(self) -> PlanPreview:
        """Return what a run would do; writes nothing."""
        check_dataset(self.root, self.spec.recipe(), PREDICTIONS)
        refs = list(self._fresh())
        shards = self._shards(refs)
        waiting = self.pending()
        again = list(self.again())
        units: list[AnyUnit] = [unit for shard in shards for unit in shard]
        units += [unit for lease in again for unit in lease.units]
        rows = sum(unit.clips for unit in units) + waiting.clips
        outputs = sum(head.outputs for head in self.heads)
        workers = self.executor.workers()
        return PlanPreview(
            out=self.root.uri,
            videos=len(refs) + waiting.videos + sum(len(lease.units) for lease in again),
            new_videos=len(refs),
            corpus_bytes=sum(self.features.root.list("features").values()),
            clips=rows,
            unreadable=0,
            shards=len(shards) + waiting.shards + len(again),
            output_bytes=rows * (200 + 4 * outputs),
            estimated_s=(sum(unit.cost_s for unit in units) + waiting.cost_s) / workers,
            workers=workers,
            basis="a built-in figure for a ViS4mer head on a CPU core (not measured here)",
            noun="predictions",
        )

    def _fresh(self) -> Iterator[SequenceRef]:
        """Yield settled videos that no plan has; at its end, `_again` is complete.

        Videos that are gone are left out: of these no prediction is made or made again.
        """
        known, lost = SortedIds.union(known_ids(self.root)), LostVideos(self.features.root)
        self.is_gone = lost.is_gone
        classes = self.job.retry_errors
        failed = failed_videos(self.root, classes) if classes and len(known) else set()
        mended: dict[str, SequenceRef] = {}
        passed = SortedIds.union([known.without(_raw(failed)).ids, lost.ids.ids])
        for video in SequenceReader(self.features).settled(with_damaged=True, passed=passed):
            ref = video.ref
            if video.mended and lost.ids.contains(_raw([ref.video_id]))[0]:
                continue
            if not known.contains(_raw([ref.video_id]))[0]:
                yield ref
            elif ref.video_id in failed:
                self._again[ref.video_id] = ref
            elif video.mended:
                mended[ref.video_id] = ref
        self._again |= {video_id: mended[video_id] for video_id in gained(self.root, mended)}

    def _publish_plan(self, refs: list[SequenceRef]) -> str | None:
        """Plan these videos once, whatever other drivers do meanwhile (see `Planner`)."""
        while refs:
            plans = plan_list(self.root)
            known = SortedIds.union(known_ids(self.root))
            found = known.contains(_raw([ref.video_id for ref in refs]))
            refs = [ref for ref, planned in zip(refs, found, strict=True) if not planned]
            if refs:
                table = plan_table(self._shards(refs), {})
                plan = publish_plan(self.root, len(plans) + 1, table)
                if plan is not None:
                    return plan
        return None

    def _shards(self, refs: list[SequenceRef]) -> list[list[SequenceUnit]]:
        limits = ShardLimits(self.job.shard_minutes * 60, SHARD_ROWS)
        units = [self._unit(ref) for ref in refs]
        spread = limits.spread(sum(unit.cost_s for unit in units), self.executor.workers())
        return list(pack(units, spread))

    def _unit(self, ref: SequenceRef) -> SequenceUnit:
        clip = self.features.recipe.clip
        rows = count_predictions(ref, self.spec, clip.stride_s, clip.clip_s)
        cost_s = ref.clips * len(self.heads) * STEP_S
        return SequenceUnit(ref, rows, cost_s)


def _heads(uris: tuple[str, ...]) -> tuple[Head, ...]:
    heads = tuple(head for uri in uris for head in load_heads(uri))
    doubled = [task for task, count in Counter(head.task for head in heads).items() if count > 1]
    if doubled:
        raise JobError(
            f"two heads are both called {doubled[0]!r}, and a row could not say which spoke; "
            "classify with one of them at a time, into two roots"
        )
    return heads


def _raw(video_ids: Iterable[str]) -> Ids:
    return raw_ids(pa.array(video_ids, pa.string()))
