"""The measures of `benchmarks/scale.py`, one for each process; prints figures as JSON."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pyarrow.parquet as pq

from benchmarks import scale_inputs as inputs
from vfeat.corpus import Corpus
from vfeat.engine.executor import WorkerSpec
from vfeat.engine.lease_ledger import Ledger
from vfeat.extract.run import ExtractRun
from vfeat.storage.root import Root
from vfeat.tables.snapshot import cannot_tell, publish_snapshot
from vfeat.tables.status import dataset_status
from vfeat.tables.verify import verify_dataset

CLIP = Path(__file__).resolve().parent.parent / "tests" / "clips" / "one_frame.mp4"
SHARD_MINUTES = 5.0  # a hundred videos of the lists
LOCAL_MINUTES = 0.6  # a hundred videos of one clip

Figures = dict[str, Any]


@contextmanager
def measured(figures: Figures) -> Iterator[None]:
    """Take wall and CPU seconds of what runs within; the memory is that of the whole process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    wall_s, cpu_s = time.perf_counter(), usage.ru_utime + usage.ru_stime
    try:
        yield
    finally:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        figures["wall_s"] = time.perf_counter() - wall_s
        figures["cpu_s"] = usage.ru_utime + usage.ru_stime - cpu_s
        figures["peak_mb"] = peak_mb()


def peak_mb() -> float:
    """Return the largest resident size of this process so far, MB, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def run_of(place: Path, out: Path | str, **fields: object) -> ExtractRun:
    source = str(place / "list.parquet")
    return inputs.job_of(source, str(out), shard_minutes=SHARD_MINUTES, **fields)


def make_list(place: str, videos: str) -> Figures:
    inputs.write_list(Path(place) / "list.parquet", int(videos))
    return {}


def plan(place: str) -> Figures:
    out = Path(place) / "planned"
    shutil.rmtree(out, ignore_errors=True)
    figures = _plan(run_of(Path(place), out))
    (out / "done").touch()
    return figures


def _plan(run: ExtractRun) -> Figures:
    """Plan as the planning thread of a run does."""
    figures: Figures = {}
    first_s = None
    began = time.perf_counter()
    with measured(figures):
        run.check()
        for name in run.plan():
            run._enqueue(name)
            first_s = first_s or time.perf_counter() - began
    return {
        "first_lease_s": first_s, **figures, "videos": run.totals.planned_videos,
        "shards": run.totals.shards, "plans": len(run._plans),
    }  # fmt: skip


def make_whole(place: str) -> Figures:
    folder = Path(place)
    out = inputs.clone(folder / "planned", folder / "whole")
    figures = _finish(out)
    (out / "done").touch()
    return figures


def _finish(out: Path) -> Figures:
    root = Root(str(out))
    (out / "done").unlink(missing_ok=True)
    inputs.touch_shards(root)
    inputs.cover(root)
    figures: Figures = {}
    with measured(figures):
        publish_snapshot(root, cannot_tell)
    return figures


def nothing(place: str) -> Figures:
    return _nothing(run_of(Path(place), Path(place) / "whole"))


def _nothing(run: ExtractRun) -> Figures:
    figures: Figures = {}
    with measured(figures):
        summary = run.run()
    assert summary.nothing_to_do and not summary.videos, summary
    return {**figures, "videos": run._listing.videos}


def make_night(place: str, changed: str) -> Figures:
    folder = Path(place)
    out = inputs.clone(folder / "whole", folder / "night")
    videos = pq.ParquetFile(folder / "list.parquet").metadata.num_rows
    (folder / "next").mkdir(exist_ok=True)
    inputs.write_list(folder / "next" / "list.parquet", videos, int(changed))
    with _next_night(folder, out) as run:
        inputs.plan_all(run)
    inputs.commit_all(run)
    return {}


@contextmanager
def _next_night(folder: Path, out: Path | str) -> Iterator[ExtractRun]:
    """Open a run over the list of the next night: the same path, other content."""
    os.replace(folder / "list.parquet", folder / "before.parquet")
    os.link(folder / "next" / "list.parquet", folder / "list.parquet")
    try:
        yield run_of(folder, out)
    finally:
        os.replace(folder / "before.parquet", folder / "list.parquet")


def night(place: str, out: str | None = None) -> Figures:
    """Measure the snapshot alone; the listing comes before."""
    folder = Path(place)
    with _next_night(folder, out or folder / "night") as run:
        assert not inputs.plan_all(run)
    figures: Figures = {"before_mb": peak_mb()}
    with measured(figures):
        counts = publish_snapshot(run.root, run.is_gone)
    return {**figures, **counts}


def status(place: str) -> Figures:
    figures: Figures = {}
    with measured(figures):
        found = dataset_status(str(Path(place) / "whole"))
    return {**figures, **found.videos, "shards": found.shards}


def retry(place: str) -> Figures:
    folder = Path(place)
    out = inputs.clone(folder / "whole", folder / "retry")
    figures = _retry(run_of(folder, out, retry_errors=("all",)))
    shutil.rmtree(out)
    return figures


def _retry(run: ExtractRun) -> Figures:
    """Plan the retries; `retry_s` leaves out the listing that comes before them."""
    figures: Figures = {}
    with measured(figures):
        run.check()
        plans = run.plan()
        classes, run.job = run.job.retry_errors, run.job.model_copy(update={"retry_errors": None})
        assert not list(plans)
        assert classes is not None
        began = time.perf_counter()
        names = list(run._ranges.retries(classes))
        retry_s = time.perf_counter() - began
    columns = [run.root.local_path(f"plans/{name}.parquet") for name in names]
    ranges = sum(pq.read_metadata(path).num_rows for path in columns)
    return {"retry_s": retry_s, **figures, "ranges": ranges}


def make_half(place: str) -> Figures:
    folder = Path(place)
    out = inputs.clone(folder / "planned", folder / "half")
    root = Root(str(out))
    inputs.write_notes(root, inputs.touch_shards(root, 2))
    return {}


class _Taker:
    """An executor that takes one lease, and ends the process with the figures."""

    def __init__(self, began: float) -> None:
        self._began = began

    def workers(self) -> int:
        return 1

    def run(self, spec: WorkerSpec, ledger: Ledger) -> Iterator[NoReturn]:
        while (lease := ledger.take("taker", time.monotonic())) is None:
            time.sleep(0.01)
        first_s = time.perf_counter() - self._began
        usage = resource.getrusage(resource.RUSAGE_SELF)
        figures = {
            "first_lease_s": first_s, "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_mb": peak_mb(), "lease": lease.shard,
        }  # fmt: skip
        print(json.dumps(figures), flush=True)
        os._exit(0)
        yield

    def progress(self) -> tuple[()]:
        return ()

    def close(self) -> None: ...


def resume(place: str) -> Figures:
    folder = Path(place)
    out = inputs.clone(folder / "half", folder / "resumed")
    run = run_of(folder, out)
    run.executor = _Taker(time.perf_counter())
    run.run()
    raise AssertionError("no lease was handed out")


def make_real(place: str) -> Figures:
    folder = Path(place)
    _real(run_of(folder, folder / "real"))
    (folder / "real" / "done").touch()
    return {}


def _real(run: ExtractRun) -> None:
    inputs.plan_all(run)
    inputs.commit_all(run, failed=True)
    publish_snapshot(run.root, cannot_tell)


def verify(place: str) -> Figures:
    return _verify(Path(place) / "real")


def _verify(out: Path) -> Figures:
    figures: Figures = {}
    with measured(figures):
        for report in verify_dataset(Root(str(out))):
            last = report
    assert not last.problems, last.problems[:3]
    return {**figures, "files": last.files}


def dry_run(place: str) -> Figures:
    """Look into a sample of a list; only that is there, as links to one small video."""
    folder = Path(place)
    run = inputs.job_of(str(_with_sample(folder)), str(folder / "dry"), shard_minutes=SHARD_MINUTES)
    return _dry_run(run)


def _with_sample(folder: Path) -> Path:
    """Write a list of local files, and link those that a dry run will open."""
    from vfeat.extract.preview import Sample

    path = folder / "local.parquet"
    videos = pq.read_metadata(folder / "list.parquet").num_rows
    inputs.write_names(path, folder / "links", CLIP, videos)
    sample = Sample()
    for batch in Corpus([str(path)]).batches():
        sample.add(batch.table)
    inputs.link(folder / "links", [video.uri for video in sample.chosen])
    return path


def _dry_run(run: ExtractRun) -> Figures:
    figures: Figures = {}
    with measured(figures):
        found = run.preview()
    return {**figures, "videos": found.new_videos, "opened": found.opened}


def store(folder: str) -> Figures:
    out = Path(folder) / "out" / "dataset"
    shutil.rmtree(out, ignore_errors=True)
    figures = _plan(_store_run())
    return {**figures, "s_per_million": figures["wall_s"] / figures["videos"] * 1e6}


def _store_run() -> ExtractRun:
    return inputs.job_of("s3://archive/corpus", "s3://out/dataset", shard_minutes=SHARD_MINUTES)


def make_store(folder: str) -> Figures:
    return _finish(Path(folder) / "out" / "dataset")


def store_nothing(folder: str) -> Figures:
    return _nothing(_store_run())


def make_local(place: str, videos: str) -> Figures:
    folder = Path(place)
    for side in ("old", "new"):
        (folder / side).mkdir(exist_ok=True)
        inputs.write_local_list(
            folder / side / "list.parquet", CLIP, folder / side / "links", int(videos)
        )
    return {}


def local_run(side: str, out: str = "out", **fields: object) -> ExtractRun:
    folder = Path(side)
    return inputs.job_of(
        str(folder / "list.parquet"), str(folder / out), shard_minutes=LOCAL_MINUTES, **fields
    )


def local_plan(side: str) -> Figures:
    shutil.rmtree(Path(side) / "out", ignore_errors=True)
    return _plan(local_run(side))


def local_make_real(side: str) -> Figures:
    _real(local_run(side))
    return {}


def local_nothing(side: str) -> Figures:
    return _nothing(local_run(side))


def local_status(side: str) -> Figures:
    figures: Figures = {}
    with measured(figures):
        dataset_status(str(Path(side) / "out"))
    return figures


def local_verify(side: str) -> Figures:
    return _verify(Path(side) / "out")


def local_retry(side: str) -> Figures:
    inputs.clone(Path(side) / "out", Path(side) / "retry")
    return _retry(local_run(side, "retry", retry_errors=("all",)))


def local_make_night(side: str) -> Figures:
    folder = Path(side)
    videos = pq.read_metadata(folder / "list.parquet").num_rows
    changed = min(1000, videos // 5)
    inputs.write_local_list(folder / "list.parquet", CLIP, folder / "links", videos, changed)
    run = local_run(side)
    inputs.plan_all(run)
    inputs.commit_all(run)
    return {}


def local_night(side: str) -> Figures:
    run = local_run(side)
    inputs.plan_all(run)
    figures: Figures = {}
    with measured(figures):
        publish_snapshot(run.root, run.is_gone)
    return figures


def local_dry_run(side: str) -> Figures:
    return _dry_run(local_run(side, "dry"))


def main() -> None:
    name, *parts = sys.argv[1:]
    measure: Callable[..., Figures] = globals()[name.replace("-", "_")]
    print(json.dumps(measure(*parts)))


if __name__ == "__main__":
    main()
