"""What may be a process's or a node's fault is an error only after attempts on several."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.engine.jobs import keys, tiny_job, verified
from vfeat.engine.executor import Event, Finished, WorkerSpec
from vfeat.engine.inline_executor import InlineExecutor
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.summary import RunSummary
from vfeat.engine.watch import Totals, Watch
from vfeat.extract.run import ExtractRun, run_job
from vfeat.storage.root import Root

FAULTY: dict[str, Any] = {"decoder": "tests.engine.faults:faulty", "shard_minutes": 0.001}


class TwoNodes(InlineExecutor):
    """An executor in this process whose leases go to nodes in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, str]] = []

    def run(self, spec: WorkerSpec, ledger: Ledger, root: Root) -> Iterator[Event]:
        ledger.nodes = frozenset("xy")
        worker = spec.build(1)
        try:
            while not ledger.idle:
                for node in "xy":
                    if (lease := ledger.take(node, time.monotonic(), node)) is None:
                        time.sleep(0.01)
                        continue
                    self.done.append((node, lease.units[0].uri.rpartition("/")[2]))
                    report = worker.run(lease)
                    ledger.done(lease, node, time.monotonic())
                    yield Finished(lease, report, node)
        finally:
            worker.close()


def corpus(own_clips: Path, tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in names:
        shutil.copy(own_clips / "cfr25_bframes.mp4", folder / name)
    return folder


def errors(out: Path) -> list[tuple[str, str, int]]:
    rows = pq.read_table(out / "errors.parquet").to_pylist()
    return sorted((Path(r["uri"]).name, r["error_class"], r["attempts"]) for r in rows)


def test_a_bug_is_met_in_two_processes_before_it_is_an_error(
    own_clips: Path, tmp_path: Path
) -> None:
    names = ("late_ValueError.mp4", "raise_RuntimeError.mp4", "fine.mp4")
    folder, out = corpus(own_clips, tmp_path, *names), tmp_path / "out"
    summary = run_job(tiny_job(out, folder, **FAULTY))
    assert errors(out) == [(name, "internal", 2) for name in names[:2]]
    assert summary.errors == {"internal": 2} and summary.totals.failed_units == 2
    assert {name for name, _ in keys(out)} == {"fine.mp4"}
    assert summary.plans == ("p00001",), "on one node there is no other node to try"
    verified(out)


def on_two_nodes(out: Path, folder: Path) -> tuple[RunSummary, TwoNodes]:
    run = ExtractRun(tiny_job(out, folder, **FAULTY), Watch())
    executor = run.executor = TwoNodes()
    return run.run(), executor


def test_a_failure_is_tried_on_the_other_node_and_counted_once(
    own_clips: Path, tmp_path: Path
) -> None:
    folder = corpus(own_clips, tmp_path, "crash.mp4", "fine.mp4", "raise_ValueError.mp4")
    (folder / "broken.mp4").write_bytes(b"no container" * 100)
    out = tmp_path / "out"
    summary, executor = on_two_nodes(out, folder)
    assert errors(out) == [
        ("broken.mp4", "unreadable", 1), ("crash.mp4", "crashed", 4),
        ("raise_ValueError.mp4", "internal", 4),
    ]  # fmt: skip
    assert summary.errors == {"crashed": 1, "internal": 1, "unreadable": 1}
    totals = summary.totals
    assert (totals.failed_units, totals.error_clips) == (3, 13)  # two whole videos of six clips
    assert totals.planned_clips == totals.rows + 13 and totals.planned_videos == 4
    for name in ("crash.mp4", "raise_ValueError.mp4"):
        assert {node for node, done in executor.done if done == name} == {"x", "y"}
    assert len(executor.done) == 6
    verified(out)
    assert on_two_nodes(out, folder)[0].nothing_to_do


def test_a_failure_of_a_run_that_was_stopped_is_tried_on_another_node_by_the_next(
    own_clips: Path, tmp_path: Path
) -> None:
    folder = corpus(own_clips, tmp_path, "crash.mp4", "fine.mp4", "other.mp4")
    out = tmp_path / "out"

    class Stop(Watch):
        def advanced(self, totals: Totals, workers: object) -> None:
            if totals.errors:
                first.interrupt()

    first = ExtractRun(tiny_job(out, folder, **FAULTY), Stop())
    assert first.run().exit_code == 130
    assert errors(out) == [("crash.mp4", "crashed", 2)] and verified(out).pending_shards
    summary, _ = on_two_nodes(out, folder)
    assert errors(out) == [("crash.mp4", "crashed", 4)]
    assert summary.errors == {"crashed": 1} and summary.exit_code == 3
    verified(out)
