"""Features that change or break under a predictions dataset: what is done again, and how."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.classify.classifying import by_name, classify, classify_run, make_head, rows
from tests.engine.commands import run, summary
from tests.engine.jobs import tree, verified
from tests.train.head.generated import random_videos, recipe_of, write_dataset, write_plan
from vfeat.sequences.reader import SequenceReader
from vfeat.storage.root import Root
from vfeat.tables import dataset
from vfeat.tables.plans import leases, read_plan
from vfeat.tables.snapshot import cannot_tell, is_current

WIDTH, CLIPS = 8, 12
NAMES = [f"v{n}.mp4" for n in range(6)]
LATE = {"v1.mp4": [3, 4, 5], "v4.mp4": [0]}  # failed at first


@pytest.fixture
def videos() -> dict[str, np.ndarray]:
    return dict(random_videos(NAMES, lambda name: CLIPS, WIDTH))


@pytest.fixture
def features(videos: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """Six videos in three files; of two of them some clips failed."""
    return write_dataset(tmp_path / "features", videos, WIDTH, failed=LATE, videos_per_shard=2)


@pytest.fixture
def head(features: Path, tmp_path: Path) -> Path:
    return make_head(tmp_path / "head", features, window_s=4.0, hop_s=2.0)


def retry(features: Path, videos: dict[str, np.ndarray]) -> None:
    """What `vfeat extract --retry-errors` leaves when clips 3 to 5 of v1 come at last."""
    recipe = recipe_of(WIDTH)
    write_plan(features, 2, {"v1.mp4": videos["v1.mp4"]}, recipe, only=(3, 5))


def test_clips_that_a_retry_brought_are_classified(
    features: Path, head: Path, videos: dict[str, np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    classify(features, out, head, windows=True)
    before = by_name(out)
    assert before["v1.mp4", 0]["clips"] == CLIPS - 3
    retry(features, videos)
    again = classify(features, out, head, windows=True)
    assert again.exit_code == 0 and again.totals.rows == sum(n == "v1.mp4" for n, _ in before)
    verified(out)
    after = by_name(out)
    assert after.keys() == before.keys()
    assert after["v1.mp4", 0]["clips"] == CLIPS
    assert after["v1.mp4", 0]["logits"] != before["v1.mp4", 0]["logits"]
    others = [key for key in before if key[0] != "v1.mp4"]
    assert all(after[key] == before[key] for key in others)
    # and it is what a run that never saw the first state says
    fresh = tmp_path / "fresh"
    classify(features, fresh, head, windows=True)
    for key, row in by_name(fresh).items():
        np.testing.assert_allclose(row["logits"], after[key]["logits"], rtol=1e-5, atol=1e-6)
    unchanged = tree(out)
    assert classify(features, out, head, windows=True).nothing_to_do
    assert tree(out) == unchanged


def test_a_run_that_dies_before_its_snapshot_is_repaired_by_the_next(
    features: Path,
    head: Path,
    videos: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`videos.parquet` must not point at rows of a file that was replaced."""
    out = tmp_path / "out"
    classify(features, out, head, windows=True)
    retry(features, videos)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vfeat.engine.stage_run.publish_snapshot", dies)
        with pytest.raises(KeyboardInterrupt):
            classify(features, out, head, windows=True)
    assert [name for name in (out / "index").iterdir() if name.name.startswith("stale-")]
    assert not is_current(Root(str(out)), cannot_tell)
    assert classify(features, out, head, windows=True).nothing_to_do
    assert not [name for name in (out / "index").iterdir() if name.name.startswith("stale-")]
    verified(out)
    for video in pq.read_table(out / "videos.parquet").to_pylist():
        (piece,) = video["files"]
        table = pq.read_table(out / piece["file"]).slice(piece["first_row"], piece["rows"])
        assert set(table["video_id"].to_pylist()) == {video["video_id"]}
    unchanged = tree(out)
    assert classify(features, out, head, windows=True).nothing_to_do
    assert tree(out) == unchanged


def test_a_retry_that_brings_nothing_changes_nothing(
    features: Path, head: Path, videos: dict[str, np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    classify(features, out, head)
    unchanged = tree(out)
    recipe = recipe_of(WIDTH)
    only = {"v4.mp4": videos["v4.mp4"]}
    write_plan(features, 2, only, recipe, failed=LATE, only=(0, 0))
    assert classify(features, out, head).nothing_to_do
    assert tree(out) == unchanged


def test_a_video_waits_for_clips_of_its_own_that_are_planned(
    features: Path, videos: dict[str, np.ndarray]
) -> None:
    """A retry settles clips twice; that does not settle the ones nobody has worked."""
    first = next((features / "features").glob("p00001-00000.parquet"))
    first.unlink()  # v0 and v1: planned, not committed
    retry(features, videos)
    refs = SequenceReader(dataset.open(str(features))).refs()
    assert {Path(ref.uri).name for ref in refs} == set(NAMES) - {"v0.mp4", "v1.mp4"}


def flip(file: Path) -> None:
    """Bytes in the middle, where the vectors are; the footer stays."""
    content = bytearray(file.read_bytes())
    for place in np.random.default_rng(3).integers(100, len(content) // 3, 30):
        content[place] ^= 0xFF
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_a_damaged_features_file_costs_its_videos_only(
    damage: Callable[[Path], None], features: Path, head: Path, tmp_path: Path
) -> None:
    file = features / "features" / "p00001-00000.parquet"  # the first: schemas are read there
    whole = file.read_bytes()
    damage(file)
    out = tmp_path / "out"
    done = classify(features, out, head)
    assert done.exit_code == 3 and done.errors == {"storage": 2}
    verified(out)
    assert {name for name, _ in by_name(out)} == set(NAMES[2:])
    # the file is mended: only a retry asks again, and only for the two
    file.write_bytes(whole)
    assert classify(features, out, head).nothing_to_do
    mended = classify(features, out, head, retry_errors=["storage"])
    assert mended.exit_code == 0 and mended.totals.rows == 2
    assert {name for name, _ in by_name(out)} == set(NAMES)
    verified(out)


def test_commands_about_a_predictions_dataset(features: Path, head: Path, tmp_path: Path) -> None:
    cut(features / "features" / "p00001-00000.parquet")
    out = tmp_path / "out"
    command = ["classify", features, "--head", head, "--out", out, "--executor", "inline"]
    done = run(*command, "--json")
    assert done.returncode == 3, done.stderr
    assert summary(done)["errors"] == {"storage": 2}
    status = run("status", out).stdout
    assert "2 failed" in status and "4 complete" in status and "heads pace" in status
    check = run("verify", out)
    assert check.returncode == 0 and "4, one for each prediction" in check.stdout
    [first, second] = json.loads(run("errors", out, "--json").stdout)
    assert first["uri"] != second["uri"]
    assert all("p00001-00000.parquet" in e["message"] for e in (first, second))
    assert "vfeat classify ... --retry-errors all" in run("errors", out).stdout


def test_a_file_that_breaks_later_takes_no_prediction_away(
    features: Path, head: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    classify(features, out, head)
    unchanged = tree(out)
    cut(features / "features" / "p00001-00001.parquet")
    assert classify(features, out, head).nothing_to_do
    assert tree(out) == unchanged


def test_rows_that_moved_since_the_plan_are_not_taken_for_anothers(
    features: Path, head: Path, videos: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """A file deleted and redone may hold other rows than those a plan of predictions names."""
    out = tmp_path / "out"
    job = classify_run(features, out, head)
    job.interrupted = True  # everything is planned, nothing is worked
    job.run()
    file = features / "features" / "p00001-00000.parquet"
    fewer = write_dataset(
        tmp_path / "fewer", {n: videos[n] for n in NAMES[:2]}, WIDTH,
        failed={"v0.mp4": [1, 2], "v1.mp4": [0, 7]},
    )  # fmt: skip
    file.write_bytes((fewer / "features" / file.name).read_bytes())
    done = classify(features, out, head)
    assert done.exit_code == 3 and done.errors == {"storage": 2}
    assert {name for name, _ in by_name(out)} == set(NAMES[2:])
    mended = classify(features, out, head, retry_errors=["all"])
    assert mended.exit_code == 0 and len(rows(out)) == len(NAMES)
    verified(out)


def test_a_shard_worked_unit_by_unit_is_the_same_file(
    features: Path, head: Path, tmp_path: Path
) -> None:
    """What the engine does with a shard that has killed workers: each unit alone, then all."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    classify(features, whole, head, windows=True)
    job = classify_run(features, parts, head, windows=True)
    job.check()
    [plan] = job.plan()
    worker = job.worker_spec().build(1)
    for lease in leases(plan, read_plan(job.root, plan), ()):
        alone = [worker.run(replace(lease, alone=n)).result for n in range(len(lease.units))]
        assert not list(parts.glob("predictions/*"))  # a unit by itself publishes nothing
        assert job.publish(lease.shard, alone)
        assert not job.publish(lease.shard, alone)  # the first commit stands
    job.close()
    verified(parts)
    assert rows(parts) == rows(whole)
