"""Planning and bookkeeping in proportion: what is held for each video, and what is asked for.

The short form of `benchmarks/scale.py`; no time is asserted.
"""

from __future__ import annotations

import functools
import tracemalloc
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import scale_inputs as inputs
from benchmarks.scale import store
from vfeat.extract.run import ExtractRun
from vfeat.storage.root import Root
from vfeat.tables.snapshot import cannot_tell, is_current, publish_snapshot
from vfeat.tables.status import dataset_status
from vfeat.tables.verify import verify_dataset

SIZES = (20_000, 40_000)
HELD_BYTES = 250  # of Python and numpy for a video; an object with its strings is 500 and more
CHANGED = 100


def run_of(folder: Path, list_name: str = "list.parquet") -> ExtractRun:
    return inputs.job_of(str(folder / list_name), str(folder / "out"), shard_minutes=5.0)


def finish(run: ExtractRun) -> None:
    """Have everything committed and in the index."""
    inputs.touch_shards(run.root)
    inputs.cover(run.root)
    publish_snapshot(run.root, cannot_tell)


def traced(work: Callable[[], object]) -> int:
    """Bytes that were held at most, beyond what was there before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def held_by_steps(folder: Path, videos: int) -> dict[str, int]:
    """Bytes that planning, readers and snapshot hold at most, step by step."""
    folder.mkdir()
    inputs.write_list(folder / "list.parquet", videos)
    inputs.write_list(folder / "next.parquet", videos, CHANGED)
    held = {}
    first, second = run_of(folder), run_of(folder)
    held["plan"] = traced(lambda: inputs.plan_all(first))
    finish(first)
    held["nothing"] = traced(lambda: inputs.plan_all(second))
    held["is_current"] = traced(lambda: is_current(second.root, second.is_gone))
    assert is_current(second.root, second.is_gone)
    held["status"] = traced(lambda: dataset_status(second.root.uri))
    night = run_of(folder, "next.parquet")
    assert len(inputs.plan_all(night)) == 1
    inputs.commit_all(night)
    held["night"] = traced(lambda: publish_snapshot(night.root, night.is_gone))
    assert dataset_status(night.root.uri).videos["gone"] == CHANGED
    again = run_of(folder, "next.parquet")
    assert inputs.plan_all(again) == []
    held["retry"] = traced(lambda: list(again._ranges.retries(("all",))))
    return held


def test_no_step_holds_an_object_for_each_video(tmp_path: Path) -> None:
    few, many = (held_by_steps(tmp_path / str(videos), videos) for videos in SIZES)
    grown = {step: (many[step] - few[step]) / (SIZES[1] - SIZES[0]) for step in few}
    assert {step: each for step, each in grown.items() if each > HELD_BYTES} == {}, grown


def test_verify_holds_no_object_for_each_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfeat.extract.run.PLAN_VIDEOS", 1000)
    monkeypatch.setattr("vfeat.corpus.list_file._BATCH_ROWS", 1000)
    monkeypatch.setattr("vfeat.corpus.pieces._MOST_ROWS", 1000)
    held = []
    for videos in (3000, 9000):
        folder = tmp_path / str(videos)
        folder.mkdir()
        inputs.write_list(folder / "list.parquet", videos)
        run = inputs.job_of(str(folder / "list.parquet"), str(folder / "out"), shard_minutes=60.0)
        assert len(inputs.plan_all(run)) >= videos // 2000
        inputs.commit_all(run, failed=True)
        publish_snapshot(run.root, cannot_tell)
        held.append(traced(functools.partial(deque, verify_dataset(run.root), 0)))
    assert (held[1] - held[0]) / 6000 < HELD_BYTES


def test_requests_are_pages_and_little_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 objects in a store of pages: planned, looked at again, and a small night."""
    videos, pages = 20_000, 20
    with store(tmp_path, videos, 0.0) as (environment, counts):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def asked() -> tuple[int, int]:
            """LISTs of the archive, and all other requests."""
            found = counts()
            listed = found.pop("LIST archive/", 0)
            return listed, sum(found.values())

        def run() -> ExtractRun:
            return inputs.job_of("s3://archive/corpus", "s3://out/data", shard_minutes=5.0)

        assert sum(map(len, inputs.plan_all(run()))) > 0
        listed, others = asked()
        assert pages <= listed <= pages + 10
        assert others < 30
        finish_local = inputs.job_of("s3://archive/corpus", str(tmp_path / "out" / "data"))
        finish(finish_local)
        summary = run().run()
        assert summary.nothing_to_do and summary.totals.planned_videos == 0
        listed, others = asked()
        assert pages <= listed <= pages + 10
        assert others < 60  # of which none for each of 200 shards
        snapshot = Root("s3://out/data")
        inputs.plan_more(finish_local, CHANGED)
        inputs.commit_all(finish_local)
        asked()
        publish_snapshot(snapshot, cannot_tell)
        listed, others = asked()
        assert listed == 0
        assert others < 60
