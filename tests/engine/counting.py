"""A stage that a test brings along: it counts the frames of each video.

All of it is here, and it is registered by one line at the end. Run it by
`python -c "import tests.engine.counting; from vfeat.cli import main; main()" run JOB.yaml`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from vfeat.corpus import iter_corpus
from vfeat.corpus.ids import hex_ids
from vfeat.engine.dataset_root import check_dataset, create_dataset
from vfeat.engine.placement import make_executor
from vfeat.engine.stage_run import RunSettings, StageRun
from vfeat.engine.summary import PlanPreview
from vfeat.engine.watch import Watch
from vfeat.engine.worker_protocol import Progress, ShardReport, UnitResult
from vfeat.errors import UnitError
from vfeat.job.kinds import KINDS, JobKind
from vfeat.job.spec import Placement
from vfeat.media.container import Opened
from vfeat.media.scan import scan
from vfeat.media.source import locate, no_progress
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.unit import AnyUnit, Lease, Unit
from vfeat.storage.root import Root
from vfeat.tables.dataset_state import known_ids
from vfeat.tables.features import footer_metadata
from vfeat.tables.kind import TableKind
from vfeat.tables.plans import plan_list, plan_table, publish_plan
from vfeat.tables.publish import publish_file

COUNTS = TableKind(
    "test-counts", "counts", "count_index", None, "count", "run COUNT.yaml", ("frames",)
)


class CountJob(Placement):
    kind: Literal["count"] = "count"
    sources: tuple[str, ...] = Field(min_length=1)
    pause_seconds: float = 0.0


@dataclass(frozen=True)
class CountRecipe:
    def to_json(self) -> dict[str, Any]:
        return {"counts": "packets of the default video stream"}


@dataclass(frozen=True)
class CountSpec:
    root: str
    pause_s: float

    def build(self, cores: int) -> CountWorker:
        return CountWorker(self)


class CountWorker:
    def __init__(self, spec: CountSpec) -> None:
        self.spec = spec
        self.root = Root(spec.root)
        self.counters = Progress(pid=os.getpid())

    def run(self, lease: Lease) -> ShardReport:
        results = [self._count(unit) for unit in lease.units]
        ours = publish(self.root, lease.shard, results)
        return ShardReport(lease.shard, tuple(r.outcome for r in results), ours, 0.0)

    def _count(self, unit: AnyUnit) -> UnitResult:
        time.sleep(self.spec.pause_s)
        self.counters.units += 1
        try:
            with Opened(locate(unit.uri, None), 1 << 26) as opened:
                frames = len(scan(opened, no_progress).ticks)
        except UnitError as error:
            failed = RangeError(0, 0, error.error_class, str(error), 1)
            return UnitResult(Outcome(unit.video_id, unit.uri, 0, 0, 0, errors=(failed,)), ())
        self.counters.clips += 1
        row = {"video_id": unit.video_id, "uri": unit.uri, "count_index": 0, "frames": frames}
        return UnitResult(Outcome(unit.video_id, unit.uri, 0, 0, 1), (row,))

    def progress(self) -> Progress:
        return self.counters

    def close(self) -> None:
        pass


def publish(root: Root, shard: str, results: list[UnitResult]) -> bool:
    rows = sorted((row for r in results for row in r.rows), key=lambda row: str(row["video_id"]))
    kinds = {"video_id": pa.string(), "uri": pa.string(), "count_index": pa.int32()}
    table = pa.Table.from_pylist(rows, pa.schema([*kinds.items(), ("frames", pa.int64())]))
    outcomes = [result.outcome for result in results]
    footer = footer_metadata(table, outcomes, CountRecipe().to_json(), {"frames": "pictures"})
    key = COUNTS.key(shard)
    return publish_file(
        root, key, lambda path: pq.write_table(table.replace_schema_metadata(footer), path)
    )


class CountRun(StageRun):
    def __init__(self, job: CountJob, watch: Watch) -> None:
        self.job = job
        settings = RunSettings("counts", job.executor, 25, 1.0)
        super().__init__(Root(job.out), make_executor(job), settings, watch)

    def check(self) -> None:
        if not check_dataset(self.root, CountRecipe(), COUNTS):
            create_dataset(self.root, CountRecipe(), COUNTS)

    def plan(self) -> Iterator[str]:
        plans = plan_list(self.root)
        known = {one for ids in known_ids(self.root) for one in hex_ids(ids).to_pylist()}
        videos = [v for v in iter_corpus(self.job.sources) if v.video_id not in known]
        shards = [[Unit(v.video_id, v.uri, v.size_bytes, v.etag, 0, 0, 1.0, None)] for v in videos]
        if shards:
            plan = publish_plan(self.root, len(plans) + 1, plan_table(shards, {}))
            yield from filter(None, [plan])

    def worker_spec(self) -> CountSpec:
        return CountSpec(self.root.uri, self.job.pause_seconds)

    def publish(self, shard: str, results: list[UnitResult]) -> bool:
        return publish(self.root, shard, results)

    def preview(self) -> PlanPreview:
        videos = list(iter_corpus(self.job.sources))
        return PlanPreview(
            self.root.uri, len(videos), len(videos), 0, len(videos), 0, len(videos), 0, 0.0, 1,
            "no figure", "counts",
        )  # fmt: skip


KINDS["count"] = JobKind(
    "tests.engine.counting:CountJob",
    "tests.engine.counting:CountRun",
    "tests.engine.counting:COUNTS",
)
