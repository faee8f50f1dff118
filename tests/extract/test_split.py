"""Videos longer than a unit: split by the child, continued by a plan that every driver derives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import vfeat
from tests.engine.jobs import keys, tiny_job, verified
from vfeat.engine.watch import Watch
from vfeat.extract.run import ExtractRun, run_job
from vfeat.job.spec import ExtractJob
from vfeat.tables.status import dataset_status, open_errors

SMALL = {"clip_seconds": 0.5, "stride_seconds": 0.5, "shard_minutes": 0.001}
NAMES = ("long_low_rate.mp4", "mpeg2_late_start.ts", "one_frame.mp4")


@pytest.fixture
def corpus(own_clips: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(own_clips / name, folder)
    return folder


def split_job(out: Path, corpus: Path, **fields: object) -> ExtractJob:
    return tiny_job(out, corpus, **{**SMALL, **fields})


def plans(out: Path) -> list[str]:
    return sorted(path.stem for path in (out / "plans").glob("*.parquet"))


def embeddings(out: Path) -> dict[tuple[str, int], np.ndarray]:
    rows = vfeat.open(str(out)).to_arrow(["uri", "clip_index", "embedding"]).to_pylist()
    return {(Path(r["uri"]).name, r["clip_index"]): np.array(r["embedding"]) for r in rows}


def test_a_split_video_has_the_rows_of_an_unsplit_one(corpus: Path, tmp_path: Path) -> None:
    whole, split = tmp_path / "whole", tmp_path / "split"
    run_job(tiny_job(whole, corpus, clip_seconds=0.5, stride_seconds=0.5, shard_minutes=60))
    summary = run_job(split_job(split, corpus))
    assert summary.exit_code == 0
    assert [plan for plan in plans(whole) if plan.startswith("f")] == []
    [follow_up] = [plan for plan in plans(split) if plan.startswith("f")]
    assert pq.read_metadata(split / "plans" / f"{follow_up}.parquet").num_rows > 1
    assert keys(whole) == keys(split)
    theirs = embeddings(split)
    for key, vector in embeddings(whole).items():
        assert theirs[key] == pytest.approx(vector, rel=1e-3, abs=1e-4)
    assert verified(split).pending_shards == 0
    assert summary.totals.planned_clips == summary.totals.rows == len(theirs)
    assert summary.totals.shards == summary.totals.shards_done
    status = dataset_status(str(split))
    assert (status.videos, status.rows) == ({"complete": 3}, len(theirs))
    [sequence] = [s for s in vfeat.open(str(split)).sequences() if s.uri.endswith(NAMES[0])]
    assert sequence.clip_index.tolist() == list(range(120))
    assert run_job(split_job(split, corpus)).nothing_to_do


class DiesBeforeFollowUps(ExtractRun):
    """A driver that is killed between the commit of a shard and its follow-up plan."""

    def follow_ups(self, lease: object, outcomes: object) -> object:
        if any(outcome.split for outcome in outcomes):
            raise KeyboardInterrupt
        return iter(())


def test_the_next_run_writes_the_follow_up_that_a_dead_driver_could_not(
    corpus: Path, tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    with pytest.raises(KeyboardInterrupt):
        DiesBeforeFollowUps(split_job(out, corpus), Watch()).run()
    assert not any(plan.startswith("f") for plan in plans(out))
    status = dataset_status(str(out))
    assert status.videos["pending"] >= 1, "half of a video must not look complete"
    assert verified(out).pending_shards > 0
    assert run_job(split_job(out, corpus)).exit_code == 0
    run_job(split_job(fresh, corpus))
    assert keys(out) == keys(fresh)
    assert plans(out) == plans(fresh)
    assert verified(out).pending_shards == 0


def test_the_follow_up_is_the_same_whatever_the_settings_of_the_driver(
    corpus: Path, tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    with pytest.raises(KeyboardInterrupt):
        DiesBeforeFollowUps(split_job(out, corpus), Watch()).run()
    run_job(split_job(out, corpus, shard_minutes=30))
    run_job(split_job(fresh, corpus))
    [name] = [plan for plan in plans(fresh) if plan.startswith("f")]
    mine, theirs = (pq.read_table(folder / "plans" / f"{name}.parquet") for folder in (out, fresh))
    assert mine.equals(theirs)


def test_a_follow_up_plan_that_was_deleted_is_derived_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(split_job(out, corpus))
    before = keys(out)
    [name] = [plan for plan in plans(out) if plan.startswith("f")]
    (out / "plans" / f"{name}.parquet").unlink()
    for file in (out / "features").glob(f"{name}-*.parquet"):
        file.unlink()
    assert run_job(split_job(out, corpus)).exit_code == 0
    assert keys(out) == before
    verified(out)


def test_failed_ranges_of_a_split_video_are_retried_by_their_clips(
    corpus: Path, tmp_path: Path
) -> None:
    (corpus / NAMES[0]).rename(corpus / "heal.mp4")
    out = tmp_path / "out"
    faulty = {"decoder": "tests.engine.faults:faulty"}
    assert run_job(split_job(out, corpus, **faulty)).errors.keys() == {"crashed"}
    ranges = [(e["first_clip"], e["last_clip"]) for e in open_errors(str(out))]
    covered = [clip for first, last in sorted(ranges) for clip in range(first, last + 1)]
    assert covered == list(range(120)) and len(ranges) > 1
    verified(out)
    (corpus / "healed").touch()
    summary = run_job(split_job(out, corpus, retry_errors=["all"], **faulty))
    assert (summary.exit_code, summary.totals.rows) == (0, 120)
    assert open_errors(str(out)) == []
    assert [clip for name, clip in keys(out) if name == "heal.mp4"] == list(range(120))
    assert dataset_status(str(out)).videos == {"complete": 3}
    verified(out)
