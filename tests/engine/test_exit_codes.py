"""A run ends with 0 only if the listing holds a file for every planned shard."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.jobs import tiny_job, verified
from vfeat.engine.executor import Event, Finished, WorkerSpec
from vfeat.engine.inline_executor import InlineExecutor
from vfeat.engine.lease_ledger import Ledger
from vfeat.engine.watch import Watch
from vfeat.errors import StorageError, VfeatError
from vfeat.extract.run import ExtractRun, run_job
from vfeat.storage.root import Root


class Careless(InlineExecutor):
    """An executor that does something else than to work on its second lease."""

    def __init__(self, out: Path, fault: str) -> None:
        super().__init__()
        self.out, self.fault = out, fault

    def run(self, spec: WorkerSpec, ledger: Ledger, root: Root) -> Iterator[Event]:
        worker, count = spec.build(1), 0
        try:
            while not ledger.idle:
                if (lease := ledger.take("only", time.monotonic())) is None:
                    time.sleep(0.01)
                    continue
                count += 1
                if count == 2 and self.fault == "forgets":
                    ledger.done(lease, "only", time.monotonic())
                    continue
                report = worker.run(lease)
                ledger.done(lease, "only", time.monotonic())
                if count == 2 and self.fault == "stops":
                    ledger.stopping = True
                yield Finished(lease, report)
                if count == 2 and self.fault == "deletes":
                    (self.out / "features" / f"{lease.shard}.parquet").unlink()
        finally:
            worker.close()


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("forgets", VfeatError, "1 planned shards have no file under"),
        ("deletes", StorageError, "1 files that workers wrote are not under"),
    ],
)
def test_a_shard_without_a_file_is_never_a_success(
    own_clips: Path, tmp_path: Path, fault: str, error: type[Exception], message: str
) -> None:
    folder, out = tmp_path / "corpus", tmp_path / "out"
    folder.mkdir()
    for name in ("av1.mp4", "vp9.webm", "one_frame.mp4"):
        shutil.copy(own_clips / name, folder)
    job = tiny_job(out, folder, shard_minutes=0.001)
    run = ExtractRun(job, Watch())
    run.executor = Careless(out, fault)
    with pytest.raises(error, match=message):
        run.run()
    assert verified(out).pending_shards == 1
    assert run_job(job).exit_code == 0  # the same command finishes it
    assert verified(out).pending_shards == 0


def test_a_run_that_stops_for_any_reason_does_not_end_with_0(
    own_clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = tiny_job(out, own_clips / "av1.mp4", own_clips / "vp9.webm", own_clips / "one_frame.mp4",
                   shard_minutes=0.001)  # fmt: skip
    run = ExtractRun(job, Watch())
    run.executor = Careless(out, "stops")
    summary = run.run()
    assert verified(out).pending_shards == 1
    assert summary.exit_code != 0
