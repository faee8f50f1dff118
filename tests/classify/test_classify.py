"""Stage two on the engine: one row for each video and head, whatever happens between runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import vfeat
from tests.classify.classifying import CLASSES, classify, make_head, rows
from tests.engine.commands import TINY_FLAGS, run, summary
from tests.engine.jobs import tiny_job, tree, verified
from vfeat.errors import JobError
from vfeat.extract.run import run_job
from vfeat.sequences.head import load_head, load_head_model
from vfeat.sequences.reader import SequenceReader


@pytest.fixture
def features(own_clips: Path, tmp_path: Path) -> Path:
    """Three videos, one of them with a clip missing at its end."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("cfr25_bframes.mp4", "vp9.webm", "truncated_faststart.mp4"):
        shutil.copy(own_clips / name, corpus)
    out = tmp_path / "features"
    run_job(tiny_job(out, corpus, clip_seconds=0.5))
    return out


def test_a_row_for_each_video_equals_the_head_on_its_sequence(
    features: Path, tmp_path: Path
) -> None:
    head = make_head(tmp_path / "head", features)
    out = tmp_path / "out"
    assert classify(features, out, head).exit_code == 0
    verified(out)
    found = rows(out)
    assert len(found) == 3 == len({row["video_id"] for row in found})
    model = load_head_model(load_head(str(head)))
    reader = SequenceReader(vfeat.open(str(features)))
    for ref in reader.refs():
        [row] = [row for row in found if row["video_id"] == ref.video_id]
        sequence = reader.read(ref)
        with torch.inference_mode():
            logits = model(
                torch.from_numpy(sequence.values_LD)[None], torch.from_numpy(sequence.mask_L)[None]
            )[0]
        np.testing.assert_allclose(row["logits"], logits.numpy(), rtol=1e-4, atol=1e-5)
        scores = [label["score"] for label in row["labels"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1.0, abs=1e-5)
        assert row["labels"][0]["label"] == CLASSES[int(logits.argmax())]
        assert row["start_s"] == 0.0 and row["window_index"] is None


def test_windows_have_rows_and_the_video_is_their_mean(features: Path, tmp_path: Path) -> None:
    head = make_head(tmp_path / "head", features, window_s=2.0, hop_s=1.0)
    out = tmp_path / "out"
    classify(features, out, head, windows=True)
    verified(out)
    for video_id in {row["video_id"] for row in rows(out)}:
        mine = [row for row in rows(out) if row["video_id"] == video_id]
        whole, windows = mine[0], mine[1:]
        assert whole["window_index"] is None
        assert [w["window_index"] for w in windows] == list(range(len(windows)))
        assert [w["start_s"] for w in windows] == [float(k) for k in range(len(windows))]
        np.testing.assert_allclose(
            whole["logits"], np.mean([w["logits"] for w in windows], axis=0), rtol=1e-5, atol=1e-6
        )


def test_embedding_on_request_is_what_the_last_layer_sees(features: Path, tmp_path: Path) -> None:
    heads = [make_head(tmp_path / "head", features)]
    heads += [make_head(tmp_path / "windows", features, "by window", window_s=2.0, hop_s=1.0)]
    out = tmp_path / "out"
    classify(features, out, *heads, embedding=True, windows=True)
    verified(out)
    found = rows(out)
    models = {h.task: load_head_model(h) for h in map(load_head, map(str, heads))}
    reader = SequenceReader(vfeat.open(str(features)))
    for ref in reader.refs():
        mine = [r for r in found if r["video_id"] == ref.video_id]
        sequence = reader.read(ref)
        [whole] = [r for r in mine if r["head"] == "pace" and r["window_index"] is None]
        with torch.inference_mode():
            expected = models["pace"].forward_features(
                torch.from_numpy(sequence.values_LD)[None], torch.from_numpy(sequence.mask_L)[None]
            )[0]
        np.testing.assert_allclose(whole["embedding"], expected.numpy(), rtol=1e-4, atol=1e-5)
        assert whole["clips"] == ref.rows
        mean, *windows = [r for r in mine if r["head"] == "by window"]
        vectors = [w["embedding"] for w in windows]
        np.testing.assert_allclose(mean["embedding"], np.mean(vectors, 0), rtol=1e-5, atol=1e-6)
        assert len(windows) > 1
    assert pq.read_schema(next((out / "predictions").iterdir())).field(
        "embedding"
    ).type == pa.list_(pa.float32())


def test_without_the_request_there_is_no_embedding(features: Path, tmp_path: Path) -> None:
    head = make_head(tmp_path / "head", features)
    out = tmp_path / "out"
    classify(features, out, head)
    assert "embedding" not in rows(out)[0]
    with pytest.raises(JobError, match="embedding: the dataset has False, this job True"):
        classify(features, out, head, embedding=True)


def test_several_heads_share_one_pass_and_are_told_apart(features: Path, tmp_path: Path) -> None:
    heads = [make_head(tmp_path / task, features, task) for task in ("pace", "mood and light")]
    out = tmp_path / "out"
    classify(features, out, *heads)
    found = duckdb.sql(
        f"SELECT head, count(*), count(DISTINCT video_id) FROM '{out}/predictions/*.parquet' "
        "GROUP BY head ORDER BY head"
    ).fetchall()
    assert found == [("mood and light", 3, 3), ("pace", 3, 3)]
    with pytest.raises(JobError, match="two heads are both called 'pace'"):
        classify(features, tmp_path / "twice", heads[0], heads[0])


def test_new_videos_become_a_delta_and_nothing_else_is_written(
    features: Path, own_clips: Path, tmp_path: Path
) -> None:
    head = make_head(tmp_path / "head", features)
    out = tmp_path / "out"
    classify(features, out, head)
    before = tree(out)
    assert classify(features, out, head).nothing_to_do
    assert tree(out) == before
    shutil.copy(own_clips / "vfr.mp4", tmp_path / "corpus")
    run_job(tiny_job(features, tmp_path / "corpus", clip_seconds=0.5))
    again = classify(features, out, head)
    assert again.plans == ("p00002",) and again.totals.rows == 1
    verified(out)
    assert len(rows(out)) == 4


def test_nan_in_features_costs_its_video_only(features: Path, tmp_path: Path) -> None:
    head = make_head(tmp_path / "head", features)
    [file] = (features / "features").glob("*.parquet")
    table = pq.read_table(file)
    vectors = np.stack([np.asarray(v, np.float32) for v in table.column("embedding").to_pylist()])
    vectors[0, 3] = np.nan
    spoilt = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 16)
    place = table.schema.get_field_index("embedding")
    pq.write_table(table.set_column(place, table.schema.field(place), spoilt), file)
    out = tmp_path / "out"
    result = classify(features, out, head)
    assert result.exit_code == 3 and result.errors == {"unreadable": 1}
    [error] = pq.read_table(out / "errors.parquet").to_pylist()
    assert "1 of its stored feature vectors hold NaN" in error["message"]
    assert len(rows(out)) == 2
    verified(out)


def test_features_of_another_recipe_are_refused(
    features: Path, own_clips: Path, tmp_path: Path
) -> None:
    head = make_head(tmp_path / "head", features)
    other = tmp_path / "other"
    run_job(tiny_job(other, own_clips / "vp9.webm", clip_seconds=1.0))
    with pytest.raises(JobError, match=r"clip\.clip_s"):
        classify(other, tmp_path / "out", head)
    with pytest.raises(JobError, match="is not a head"):
        classify(features, tmp_path / "out", tmp_path)
    with pytest.raises(JobError, match="not a vfeat dataset"):
        classify(tmp_path, tmp_path / "out", head)
    assert not (tmp_path / "out").exists()


def test_on_ray_by_the_command_line(features: Path, tmp_path: Path) -> None:
    head = make_head(tmp_path / "head", features)
    out = tmp_path / "out"
    plan = run("classify", features, "--head", head, "--out", out, "--dry-run", "--json")
    assert json.loads(plan.stdout)["clips"] == 3 and not out.exists()
    result = run("classify", features, "--head", head, "--out", out, "--device", "cpu", "--json")
    assert result.returncode == 0, result.stderr
    told = summary(result)
    assert told["totals"]["rows"] == 3
    assert 0 < told["read_s"] + told["encode_s"] + told["write_s"] <= 2 * told["run_s"]
    assert told["bottleneck"]["resource"] in ("storage", "model", "write")
    assert told["bottleneck"]["decoders"] == 0
    status = run("status", out, COLUMNS="300").stdout
    assert "heads pace" in status
    assert told["bottleneck"]["sentence"] in status and told["bottleneck"]["advice"] in status
    assert run("verify", out).returncode == 0
    wrong = run("extract", tmp_path / "corpus", "--out", out, *TINY_FLAGS)
    assert wrong.returncode == 2 and "vfeat-predictions" in wrong.stderr
    assert os.listdir(out / "predictions")


def test_a_window_inside_a_gap_is_empty_and_the_video_is_not_lost(
    own_clips: Path, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    run_job(tiny_job(features, own_clips / "vfr_gap.mp4", clip_seconds=0.5))
    head = make_head(tmp_path / "head", features, window_s=1.0, hop_s=1.0)
    out = tmp_path / "out"
    assert classify(features, out, head, windows=True).exit_code == 0
    report = verified(out)
    assert report.empty_clips > 0
    [whole, *windows] = rows(out)
    assert whole["window_index"] is None and len(windows) + 1 == report.rows
