"""A dataset of an earlier commit is resumed, read, verified and classified from as it stands."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import vfeat
from tests.classify.classifying import classify, rows
from tests.engine.commands import run
from tests.engine.jobs import keys, tiny_job, tree, verified
from vfeat.extract.run import run_job
from vfeat.storage.root import Root
from vfeat.tables.footer import OUTCOMES_KEY, dump_outcomes, load_outcomes
from vfeat.tables.shown import shown_rows
from vfeat.tables.snapshot import cannot_tell, is_current, publish_snapshot
from vfeat.tables.status import dataset_status, open_errors
from vfeat.tables.verify import verify_dataset

MADE = Path(__file__).parents[1] / "datasets" / "add7d5c"
FOLDER = Path("/tmp/vfeat-old")  # where it was made: plans and rows hold absolute paths
MTIME_S = 1_700_000_000
CLIPS = ("one_frame", "vp9", "odd_size", "random_bytes", "truncated_faststart")


@pytest.fixture
def old(own_clips: Path) -> Iterator[Path]:
    """The folder as it was; one test of this machine at a time, since its name is fixed."""
    with Path(f"{FOLDER}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(MADE, FOLDER)
        (FOLDER / "clips").mkdir()
        for name in CLIPS:
            (found,) = own_clips.glob(f"{name}.*")
            copy = shutil.copy(found, FOLDER / "clips")
            os.utime(copy, (MTIME_S, MTIME_S))
        yield FOLDER
        shutil.rmtree(FOLDER)


def resume(old: Path, **fields: Any) -> int:
    return run_job(tiny_job(old / "features", old / "list.csv", **fields)).exit_code


def videos(out: Path) -> dict[str, dict[str, Any]]:
    """Rows of `videos.parquet` by the name of the video's file."""
    table = pq.read_table(out / "videos.parquet").to_pylist()
    return {Path(row["uri"]).stem: row for row in table}


def failed_clips(out: Path) -> list[tuple[Any, ...]]:
    names = ("uri", "first_clip", "last_clip", "error_class")
    return [tuple(error[name] for name in names) for error in open_errors(str(out))]


def verify_counts(out: Path) -> tuple[int, int, int]:
    *_, report = verify_dataset(Root(str(out)))
    assert report.problems == []
    return report.rows, report.error_clips, report.pending_clips


def test_it_is_read_without_a_resume(old: Path) -> None:
    features = vfeat.open(str(old / "features"))
    assert features.recipe.weights_digest == "random:0"
    found = {Path(v.uri).stem: v.clip_index.tolist() for v in features.sequences()}
    assert found == {"one_frame": [0], "odd_size": [0], "truncated_faststart": [0, 1]}
    assert verify_counts(old / "features") == (4, 3, 3)
    assert verify_counts(old / "predictions")[2] == 9
    status = dataset_status(str(old / "features"))
    assert (status.shards, status.shards_done, status.rows) == (5, 4, 4)
    assert status.videos == {"complete": 2, "partial": 1, "failed": 1, "pending": 1}
    shown = {Path(row.uri).stem for row in shown_rows(str(old / "features"), 99)}
    assert shown == {"one_frame", "odd_size", "truncated_faststart"}
    assert {row.head for row in shown_rows(str(old / "predictions"), 99)} == {"pace"}
    errors = open_errors(str(old / "features"))
    assert {(Path(e["uri"]).stem, e["error_class"]) for e in errors} == {
        ("random_bytes", "unreadable"), ("truncated_faststart", "undecodable"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["features", "predictions"])
def test_it_gets_an_index(old: Path, name: str) -> None:
    root = Root(str(old / name))
    before = dataset_status(root.uri)
    assert not is_current(root, cannot_tell)
    publish_snapshot(root, cannot_tell)
    assert is_current(root, cannot_tell)
    assert dataset_status(root.uri) == before
    assert verify_counts(old / name)
    rebuilt = pq.read_table(old / name / "videos.parquet")
    (old / name / "videos.parquet").unlink()
    publish_snapshot(root, cannot_tell)
    assert pq.read_table(old / name / "videos.parquet") == rebuilt


@pytest.mark.parametrize("command", ["status", "verify", "errors", "show"])
@pytest.mark.parametrize("name", ["features", "predictions"])
def test_the_commands_read_it(old: Path, command: str, name: str) -> None:
    before = tree(old)
    result = run(command, old / name)
    assert result.returncode == (3 if command == "verify" else 0), result.stderr
    assert result.stdout
    assert tree(old) == before


def test_its_footers_are_written_as_they_were(old: Path) -> None:
    files = [*old.glob("features/features/*"), *old.glob("predictions/predictions/*")]
    assert len(files) == 5
    for file in files:
        stored = pq.read_metadata(file).metadata[OUTCOMES_KEY]
        assert dump_outcomes(load_outcomes(stored)) == stored


def test_extraction_goes_on_in_it(old: Path) -> None:
    before = tree(old / "features" / "features")
    assert resume(old) == 3
    after = tree(old / "features" / "features")
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"p00001-00001.parquet"}
    assert verified(old / "features").rows == 7 == len(keys(old / "features"))
    names = "features/p00001-00001.parquet"
    redone, made = (pq.read_table(old / part / names) for part in ("features", "undone"))
    assert redone.schema.equals(made.schema)
    for column in set(made.column_names) - {"embedding", "labels"}:
        assert redone.column(column).equals(made.column(column)), column
    vectors = [np.stack(table.column("embedding").to_pylist()) for table in (redone, made)]
    np.testing.assert_allclose(*vectors, rtol=1e-3, atol=1e-4)
    found = videos(old / "features")
    assert [found[name]["scene"] for name in CLIPS] == [1, 2, 3, 4, 5]
    assert [found[name]["note"] for name in CLIPS] == ["still", "pan", "", "broken", "cut short"]
    assert found["vp9"]["etag"] == f"9388-{MTIME_S}000000000" and found["vp9"]["size_bytes"] == 9388
    assert resume(old) == 0
    assert tree(old / "features" / "features") == after


def test_its_errors_are_tried_again(old: Path) -> None:
    resume(old)
    before = failed_clips(old / "features")
    assert resume(old, retry_errors=("all",)) == 3
    assert verify_counts(old / "features") == (7, 6, 0)  # of both attempts
    assert (old / "features" / "plans" / "p00002.parquet").exists()
    assert failed_clips(old / "features") == before


def test_classification_goes_on_in_its_predictions(old: Path) -> None:
    resume(old)
    flags = {"windows": True, "window_seconds": 1}
    out = old / "predictions"
    assert classify(old / "features", out, old / "head", **flags).exit_code == 0
    assert verified(out).pending_clips == 0
    assert {p.name for p in out.glob("plans/*")} == {"p00001.parquet", "p00002.parquet"}
    name = "predictions/p00002-00000.parquet"
    redone, made = (pq.read_table(old / part / name) for part in ("predictions", "undone"))
    assert redone.schema.equals(made.schema)
    for column in set(made.column_names) - {"logits", "labels"}:
        assert redone.column(column).equals(made.column(column)), column
    for ours, theirs in zip(redone["logits"].to_pylist(), made["logits"].to_pylist(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    assert len(rows(out)) == 11
    # Counts of rows and fingerprints stood here.
    assert {(row["size_bytes"], row["etag"]) for row in videos(out).values()} == {(0, "")}


def test_a_head_of_today_reads_its_features(old: Path) -> None:
    out = old / "new"
    assert classify(old / "features", out, old / "head").exit_code == 0
    assert len(rows(out)) == 3
    plan = pq.read_table(out / "plans" / "p00001.parquet")
    before = pq.read_schema(old / "predictions" / "plans" / "p00001.parquet")
    assert set(before.names) <= set(plan.column_names)
    assert plan["size_bytes"].to_pylist() == [0] * 3 and plan["etag"].to_pylist() == [""] * 3
