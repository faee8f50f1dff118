"""The import as a run: list the files, plan the sequences that are new, read them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice

import numpy as np
import pyarrow as pa

from vfeat.corpus.ids import raw_ids
from vfeat.engine.dataset_root import check_dataset, create_dataset
from vfeat.engine.placement import make_executor
from vfeat.engine.stage_run import RunSettings, StageRun
from vfeat.engine.summary import PlanPreview
from vfeat.engine.watch import Watch
from vfeat.engine.worker_protocol import UnitResult
from vfeat.importing.imported_rows import publish_imported
from vfeat.importing.listing import BYTES_S, FeatureFiles
from vfeat.importing.recipe import imported_recipe, is_half, shape_of, width_of
from vfeat.importing.sequence_file import Reading
from vfeat.importing.spec import ImportSpec
from vfeat.job.fingerprint import Recipe
from vfeat.job.spec import ImportJob
from vfeat.plan.shards import ShardLimits, pack
from vfeat.plan.unit import Unit
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.about import read_recipe
from vfeat.tables.dataset_state import known_ids
from vfeat.tables.kind import FEATURES, kind_of
from vfeat.tables.pending import failed_ranges
from vfeat.tables.plans import PLAN_VIDEOS, plan_list, plan_table, publish_plan
from vfeat.tables.sorted_ids import SortedIds

_SHARD_S = 600.0
_SHARD_ROWS = 1_000_000


class ImportRun(StageRun):
    """One run of `vfeat import`."""

    def __init__(self, job: ImportJob, watch: Watch) -> None:
        self.job = job
        settings = RunSettings(
            "steps", job.executor, job.breaker_first_units, job.breaker_error_share,
            retries=job.retry_errors is not None,
        )  # fmt: skip
        root = Root(job.out, patience_s=job.storage_patience_seconds)
        super().__init__(root, make_executor(job), settings, watch)
        reading = Reading(
            job.array, job.video_column, job.transposed, job.max_array_megabytes << 20
        )
        self.files = FeatureFiles(job.sources, reading)

    @cached_property
    def recipe(self) -> Recipe:
        """The dataset's recipe; of a new one, with width and type of the first file."""
        if self.root.exists(layout.DATASET) and kind_of(self.root).command == "import":
            found = read_recipe(self.root)
            half = is_half(found) if self.job.dtype is None else self.job.dtype == "float16"
            return imported_recipe(self.job, width_of(found), half=half)
        first = self.files.first()
        given = self.job.dtype or first.dtype.name
        _, width = first.steps_and_width(self.files.reading)
        return imported_recipe(self.job, width, half=given == "float16")

    def check(self) -> None:
        if not check_dataset(self.root, self.recipe, FEATURES):
            create_dataset(self.root, self.recipe, FEATURES, command="import")

    def plan(self) -> Iterator[str]:
        fresh = self._fresh()
        while chunk := list(islice(fresh, PLAN_VIDEOS)):
            yield from filter(None, [self._publish_plan(chunk)])
        self.is_gone = self.files.is_gone
        self._note_skipped()
        if self.job.retry_errors is not None:
            yield from filter(None, [self._plan_retries(self.job.retry_errors)])

    def worker_spec(self) -> ImportSpec:
        return ImportSpec(
            self.root.address, self.recipe, self.files.reading, self.job.storage_patience_seconds
        )

    def publish(self, shard: str, results: list[UnitResult]) -> bool:
        return publish_imported(self.root, shard, results, self.recipe)

    def preview(self) -> PlanPreview:
        """Return what a run would do; opens containers and writes nothing."""
        check_dataset(self.root, self.recipe, FEATURES)
        units = list(self._fresh())
        waiting = self.pending()
        rows = sum(unit.clips for unit in units) + waiting.clips
        cost_s = sum(unit.cost_s for unit in units) + waiting.cost_s
        workers = self.executor.workers()
        return PlanPreview(
            out=self.root.uri,
            videos=len(self.files.present),
            new_videos=len(units),
            corpus_bytes=int(cost_s * BYTES_S),
            clips=rows,
            unreadable=sum(unit.error_class is not None for unit in units),
            shards=len(self._shards(units)) + waiting.shards,
            output_bytes=rows * shape_of(self.recipe).bytes_per_clip(self.recipe.output),
            estimated_s=cost_s / workers,
            workers=workers,
            basis=f"a built-in figure of {BYTES_S / 1e6:.0f} MB/s (not measured here)",
            noun="steps",
        )

    def _fresh(self) -> Iterator[Unit]:
        """Yield sequences that no plan has, while listing."""
        known = SortedIds.union(known_ids(self.root))
        new = listed = 0
        units = self.files.units(width_of(self.recipe))
        while chunk := list(islice(units, 1024)):
            is_known = known.contains(_ids(chunk))
            listed, new = listed + len(chunk), new + int(np.count_nonzero(~is_known))
            self.listed(listed, new, self.files.skipped.count)
            yield from (unit for unit, found in zip(chunk, is_known, strict=True) if not found)

    def _publish_plan(self, units: list[Unit]) -> str | None:
        """Plan these sequences once, whatever other drivers do meanwhile."""
        while units:
            plans = plan_list(self.root)
            known = SortedIds.union(known_ids(self.root)).contains(_ids(units))
            units = [unit for unit, found in zip(units, known, strict=True) if not found]
            if units and (plan := self._numbered(units, len(plans))) is not None:
                return plan
        return None

    def _plan_retries(self, classes: tuple[str, ...]) -> str | None:
        """Plan failed ranges again; one whose file never opened is read whole."""
        while True:
            plans = plan_list(self.root)  # before looking: another driver may plan the same
            units = [
                Unit(
                    row["video_id"], row["uri"], row["size_bytes"], row["etag"],
                    row["first_clip"], row["last_clip"] if row["opened"] else None,
                    0.001 + row["size_bytes"] / BYTES_S, source=row["source"],
                    attempts=row["attempts"],
                )
                for table in failed_ranges(self.root, classes)
                for row in table.to_pylist()
            ]  # fmt: skip
            if not units:
                return None
            if (plan := self._numbered(units, len(plans))) is not None:
                return plan

    def _numbered(self, units: list[Unit], plans: int) -> str | None:
        return publish_plan(self.root, plans + 1, plan_table(self._shards(units), {}))

    def _shards(self, units: list[Unit]) -> list[list[Unit]]:
        row_bytes = shape_of(self.recipe).bytes_per_clip(self.recipe.output)
        rows = max(1, min(_SHARD_ROWS, (self.job.shard_megabytes << 20) // row_bytes))
        limits = ShardLimits(_SHARD_S, rows)
        spread = limits.spread(sum(unit.cost_s for unit in units), self.executor.workers())
        return list(pack(units, spread))

    def _note_skipped(self) -> None:
        skipped = self.files.skipped
        self.totals.skipped = skipped.count
        if skipped.count:
            uri, reason = skipped.first[0]
            others = f" ({skipped.count:,} such)" if skipped.count > 1 else ""
            self.watch.note(f"Warning: not listed: {uri}: {reason}{others}")


def _ids(units: list[Unit]) -> np.ndarray:
    return raw_ids(pa.array([unit.video_id for unit in units], pa.string()))
