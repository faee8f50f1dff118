"""`vfeat extract --sampling shots`, end to end."""

from __future__ import annotations

import importlib.util
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import vfeat
from tests.engine.jobs import keys, tiny_job, verified
from tests.extract.test_split import DiesBeforeFollowUps, plans
from tests.media.test_shots import film
from vfeat.cli.app import app
from vfeat.engine.watch import Watch
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.extract.query import embed_query
from vfeat.extract.run import run_job
from vfeat.job.spec import ExtractJob
from vfeat.storage.root import Root
from vfeat.tables.about import read_recipe
from vfeat.tables.parquet import read_table
from vfeat.tables.shots import publish_shots
from vfeat.tables.snapshot import rebuild_index
from vfeat.tables.status import dataset_status

FIELDS: dict[str, Any] = {"sampling": "shots", "clip_seconds": 0.5, "min_shot_seconds": 0.2}
LENGTHS = {"a.mp4": [30, 26, 41, 30], "b.mp4": [100], "c.mp4": [9, 40, 8, 60, 25, 33, 50, 20]}
GRID = (
    "SELECT video_id, clip_index, start_s, end_s, shot_index, shot_start_s, shot_end_s "
    "FROM '{}/features/*.parquet' ORDER BY 1, 2"
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name, lengths in LENGTHS.items():
        film(folder / name, lengths)
    return folder


def shots_job(out: Path, *sources: Path, **fields: Any) -> ExtractJob:
    return tiny_job(out, *sources, **{**FIELDS, **fields})


def grid(out: Path) -> list[tuple[Any, ...]]:
    """Every clip with its times and its shot, read without vfeat."""
    return duckdb.sql(GRID.format(out)).fetchall()


def shots(out: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(out / "shots.parquet").sort_by(
        [("uri", "ascending"), ("shot_index", "ascending")]
    )
    return rows.to_pylist()


def test_clips_lie_on_shots_and_the_shots_are_a_table(films: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    shutil.copytree(films, corpus)
    (corpus / "broken.mp4").write_bytes(b"<html>no video</html>" * 99)
    options = ["--size", "32", "--num-frames", "4", "--executor", "inline", "--device", "cpu"]
    model = ["--model", "videomamba", "--weights", "random"]
    small = ["--model-option", "embed_dim=16", "--model-option", "depth=1"]
    lay = ["--sampling", "shots", "--clip-seconds", "0.5", "--min-shot-seconds", "0.2"]
    command = ["extract", str(corpus), "--out", str(out), *model, *small, *options, *lay]
    ran = CliRunner().invoke(app, [*command, "--json"])
    assert ran.exit_code == 3, ran.output
    assert json.loads(ran.stdout)["errors"] == {"unreadable": 1}
    [error] = pq.read_table(out / "errors.parquet").to_pylist()
    assert (Path(error["uri"]).name, error["last_clip"]) == ("broken.mp4", 0)

    true = {}
    for name, lengths in LENGTHS.items():
        edges = [0.0]
        for length in lengths:
            edges.append(round(edges[-1] + length / 25, 2))
        true[name] = list(pairwise(edges))
    found: dict[str, list[tuple[float, float]]] = {}
    for row in shots(out):
        assert row["shot_index"] == len(found.setdefault(Path(row["uri"]).name, []))
        span = round(row["start_s"], 6), round(row["end_s"], 6)
        found[Path(row["uri"]).name].append(span)
    assert found == true

    joined = duckdb.sql(
        f"SELECT count(*) FROM '{out}/features/*.parquet' f JOIN '{out}/shots.parquet' s USING "
        "(video_id, shot_index) WHERE clip_index BETWEEN first_clip AND last_clip AND "
        "shot_start_s = s.start_s AND shot_end_s = s.end_s AND f.start_s >= s.start_s AND "
        "f.end_s <= s.end_s"
    ).fetchall()
    assert joined == [(len(grid(out)),)]
    report = verified(out)
    assert report.rows == sum(row["last_clip"] - row["first_clip"] + 1 for row in shots(out))
    again = CliRunner().invoke(app, [*command, "--json"])
    assert again.exit_code == 0 and json.loads(again.stdout)["totals"]["rows"] == 0
    dry = CliRunner().invoke(app, [*command[:3], str(tmp_path / "dry"), *command[4:], "--dry-run"])
    assert dry.exit_code == 0 and not (tmp_path / "dry").exists()


def test_a_split_and_resumed_video_has_the_grid_of_an_unsplit_one(
    films: Path, tmp_path: Path
) -> None:
    whole, split, resumed = (tmp_path / name for name in ("whole", "split", "resumed"))
    small = {"shard_minutes": 0.001}
    run_job(shots_job(whole, films, shard_minutes=60))
    run_job(shots_job(split, films, **small))
    with pytest.raises(KeyboardInterrupt):
        DiesBeforeFollowUps(shots_job(resumed, films, **small), Watch()).run()
    assert dataset_status(str(resumed)).videos.get("pending", 0) >= 1
    assert run_job(shots_job(resumed, films, **small)).exit_code == 0
    assert not any(plan.startswith("f") for plan in plans(whole))
    assert any(plan.startswith("f") for plan in plans(split))
    assert grid(whole) == grid(split) == grid(resumed) != []
    assert shots(whole) == shots(split) == shots(resumed)
    for out in (whole, split, resumed):
        verified(out)


def test_failed_ranges_are_done_again_on_the_same_grid(films: Path, tmp_path: Path) -> None:
    corpus, out, fresh = (tmp_path / name for name in ("corpus", "out", "fresh"))
    corpus.mkdir()
    shutil.copy(films / "c.mp4", corpus / "heal.mp4")
    faulty = {"decoder": "tests.engine.faults:faulty", "shard_minutes": 0.001}
    assert run_job(shots_job(out, corpus, **faulty)).errors.keys() == {"crashed"}
    assert keys(out) == [] and len(shots(out)) == len(LENGTHS["c.mp4"])
    (corpus / "healed").touch()
    assert run_job(shots_job(out, corpus, retry_errors=["all"], **faulty)).exit_code == 0
    run_job(shots_job(fresh, corpus, **faulty))
    assert grid(out) == grid(fresh) != []
    assert shots(out) == shots(fresh)
    verified(out)


def test_the_table_grows_with_the_dataset_and_can_be_made_anew(films: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    shutil.copy(films / "a.mp4", corpus)
    run_job(shots_job(out, corpus))
    assert len(shots(out)) == 4
    shutil.copy(films / "c.mp4", corpus)
    run_job(shots_job(out, corpus))
    assert len(shots(out)) == 12
    root = Root(str(out))
    clip = read_recipe(root).clip
    assert publish_shots(root, clip) == 0, "no file is newer than the table"
    before = shots(out)
    assert publish_shots(root, clip, anew=True) == len(list((out / "features").iterdir()))
    assert shots(out) == before and len(before) == 12
    (out / "shots.parquet").unlink()
    assert not run_job(shots_job(out, corpus)).totals.rows
    assert shots(out) == before
    (out / "shots.parquet").write_bytes(b"damaged")
    rebuild_index(root)
    ran = CliRunner().invoke(app, ["reindex", str(out)])
    assert ran.exit_code == 0 and shots(out) == before


def test_another_detector_is_another_recipe(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(shots_job(out, films / "b.mp4"))
    with pytest.raises(JobError, match=r"clip\.shots\.detector: the dataset has 'content'"):
        run_job(shots_job(out, films / "b.mp4", shot_detector="adaptive"))
    with pytest.raises(JobError, match=r"clip\.shots\.min_s: the dataset has 0\.2, this job 0\.6"):
        run_job(shots_job(out, films / "b.mp4", min_shot_seconds=0.6))
    recipe = read_recipe(Root(str(out)))
    assert recipe.clip.shots is not None and recipe.clip.shots.version.startswith("scenedetect ")


def test_a_missing_detector_is_one_sentence_before_any_work(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "scenedetect" else find(name)
    )
    command = ["extract", str(films), "--out", str(tmp_path / "out"), "--sampling", "shots"]
    ran = CliRunner().invoke(app, [*command, "--executor", "inline"])
    assert isinstance(ran.exception, EnvironmentMissing) and ran.exception.exit_code == 4
    [line] = ran.exception.lines
    assert line.endswith("needs the package 'scenedetect': pip install 'vfeat[shots]'")
    assert not (tmp_path / "out").exists()


def test_options_of_shots_without_shots_are_refused(films: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="shot_threshold is for sampling: shots"):
        tiny_job(tmp_path / "out", films, shot_threshold=30)


def test_a_cluster_lays_the_same_grid(films: Path, tmp_path: Path) -> None:
    inline, ray = tmp_path / "inline", tmp_path / "ray"
    run_job(shots_job(inline, films))
    assert run_job(shots_job(ray, films, executor="ray")).exit_code == 0
    assert grid(inline) == grid(ray) != []
    assert shots(inline) == shots(ray)
    verified(ray)


def test_shots_from_a_bucket_to_a_bucket_are_those_of_a_folder(
    films: Path, bucket: str, tmp_path: Path
) -> None:
    source, local, remote = Root(f"{bucket}/in"), tmp_path / "local", f"{bucket}/out"
    run_job(shots_job(local, films))
    for name in sorted(LENGTHS):  # a run a video: the table grows by what is new
        source.create_file(name, films / name)
        assert run_job(tiny_job(remote, source.uri, **FIELDS)).exit_code == 0
    columns = ["shot_index", "start_s", "end_s", "first_clip", "last_clip"]

    def content(table: pa.Table) -> list[tuple[Any, ...]]:
        names = [Path(uri).name for uri in table.column("uri").to_pylist()]
        return sorted(zip(names, *(table.column(c).to_pylist() for c in columns), strict=True))

    found = content(read_table(Root(remote), "shots.parquet"))
    assert found == content(pq.read_table(local / "shots.parquet"))
    assert verified(remote).rows == len(grid(local))


def test_a_query_is_the_clip_around_its_moment(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_job(shots_job(out, films / "a.mp4"))
    rows = vfeat.open(str(out)).to_arrow(["clip_index", "start_s", "end_s", "embedding"])
    recipe = read_recipe(Root(str(out)))
    for at_s in (0.1, 1.15, 1.25, 3.0, 4.9):
        vector = embed_query(str(films / "a.mp4"), recipe, at_s, "cpu")
        near = min(
            (row for row in rows.to_pylist() if row["start_s"] <= at_s < row["end_s"]),
            key=lambda row: abs(row["start_s"] + row["end_s"] - 2 * at_s),
        )
        stored = np.array(near["embedding"]) / np.linalg.norm(near["embedding"])
        assert vector @ stored == pytest.approx(1, abs=1e-4)
