"""`vfeat search` over real datasets: what it finds, and in which words it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pytest

import vfeat
from tests.engine.commands import run
from tests.engine.jobs import tiny_job
from vfeat.engine.watch import Watch
from vfeat.errors import JobError
from vfeat.extract.run import ExtractRun

NAMES = ("cfr25_bframes.mp4", "vfr.mp4", "vp9.webm")


def extract(job: Any) -> None:
    stage = ExtractRun(job, Watch())
    try:
        assert stage.run().exit_code == 0
    finally:
        stage.close()


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = Path(__file__).parents[1] / "clips"
    folder = tmp_path_factory.mktemp("search") / request.param
    sources = [clips / name for name in NAMES]
    extract(tiny_job(folder, *sources, dtype=request.param, shard_minutes=1e-4, clip_seconds=0.5))
    return folder


def brute_force(out: Path, query: np.ndarray) -> list[tuple[str, int, float]]:
    """All rows by their cosine in float64, read without vfeat."""
    rows = pads.dataset(out / "features", format="parquet").to_table().to_pylist()
    stored = np.array([row["embedding"] for row in rows], np.float64)
    scores = stored @ query / np.linalg.norm(stored, axis=1) / np.linalg.norm(query)
    order = np.argsort(-scores, kind="stable")
    return [(rows[i]["uri"], rows[i]["clip_index"], float(scores[i])) for i in order]


def test_hits_are_those_of_brute_force(out: Path) -> None:
    query = np.random.default_rng(5).normal(size=16)
    expected = brute_force(out, query)
    hits = vfeat.open(str(out)).search(query, k=7)
    assert len(hits) == 7
    assert [hit.score for hit in hits] == pytest.approx([s for *_, s in expected[:7]], abs=1e-6)
    assert {(h.uri, h.clip_index) for h in hits} == {(u, c) for u, c, _ in expected[:7]}


def test_more_hits_than_rows_are_all_rows(out: Path) -> None:
    hits = vfeat.open(str(out)).search(np.ones(16), k=10_000)
    assert len(hits) == len(brute_force(out, np.ones(16)))


def test_many_queries_find_what_each_finds_alone(out: Path) -> None:
    dataset = vfeat.open(str(out))
    queries = np.random.default_rng(6).normal(size=(9, 16))
    together = dataset.search_many(queries, k=4)
    for query, hits in zip(queries, together, strict=True):
        alone = dataset.search(query, k=4)
        assert [(h.uri, h.clip_index) for h in hits] == [(h.uri, h.clip_index) for h in alone]


def test_a_condition_leaves_the_best_of_what_holds_it(out: Path) -> None:
    query = np.random.default_rng(7).normal(size=16)
    hits = vfeat.open(str(out)).search(query, 5, "uri like '%.webm' and start_s >= 0.5")
    expected = [e for e in brute_force(out, query) if e[0].endswith(".webm") and e[1] >= 1][:5]
    assert [(h.uri, h.clip_index) for h in hits] == [(u, c) for u, c, _ in expected]
    assert all(hit.start_s >= 0.5 for hit in hits)


def test_like_finds_the_clip_itself_first(out: Path) -> None:
    result = run("search", out, "--like", "vfr.mp4@0.6", "-k", "3", "--json")
    assert result.returncode == 0, result.stderr
    best = json.loads(result.stdout)["moments"][0]
    assert best["uri"].endswith("vfr.mp4") and best["start_s"] <= 0.6 < best["end_s"]
    assert best["score"] == pytest.approx(1, abs=1e-5)
    table = run("search", out, "--like", "vfr.mp4@0.6")
    assert "vfr.mp4" in table.stdout and "score" in table.stdout


def test_a_file_goes_through_the_recipe_of_the_dataset(out: Path, own_clips: Path) -> None:
    """The stored vector of a clip is found by the file that it was made of."""
    result = run(
        "search", out, "--clip", own_clips / "vfr.mp4", "--at", "0.6", "-k", "1", "--json"
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    [best] = json.loads(result.stdout)["moments"]
    assert best["uri"].endswith("vfr.mp4") and best["start_s"] <= 0.6 < best["end_s"]
    assert best["score"] == pytest.approx(1, abs=1e-3 if out.name == "bfloat16" else 1e-5)


def test_a_whole_file_is_the_mean_of_its_clips(out: Path, own_clips: Path) -> None:
    result = run("search", out, "--clip", own_clips / "vp9.webm", "-k", "50", "--json")
    assert result.returncode == 0, result.stderr
    rows = pads.dataset(out / "features", format="parquet").to_table().to_pylist()
    own = np.array([r["embedding"] for r in rows if r["uri"].endswith("vp9.webm")], np.float64)
    mean = (own / np.linalg.norm(own, axis=1)[:, None]).mean(axis=0)
    best = json.loads(result.stdout)["moments"][0]
    assert best["score"] == pytest.approx(brute_force(out, mean)[0][2], abs=1e-3)


@pytest.mark.parametrize("out", ["float32"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of --clip FILE, --like"),
        (("--clip", "x.mp4", "--like", "y@1"), "give one of --clip FILE, --like"),
        (("--like", "y@1", "--at", "3"), "--at belongs to --clip"),
        (("--like", "nonesuch.mp4@1"), "no video of"),
        (("--like", "vfr.mp4@99999"), "covers 99999 s"),
        (("--like", "vfr.mp4"), "VIDEO@SECONDS"),
        (("--like", "vfr.mp4@0.6", "--where", "colour = 1"), "The columns are"),
        (("--clip", "nonesuch.mp4"), "nonesuch.mp4"),
    ],
)
def test_refusals_are_one_sentence(out: Path, arguments: tuple[str, ...], words: str) -> None:
    result = run("search", out, *arguments)
    assert result.returncode == 2, result.stderr
    assert words in result.stderr and "Traceback" not in result.stderr


def test_a_query_of_another_width_is_refused(out: Path) -> None:
    with pytest.raises(JobError, match="16"):
        vfeat.open(str(out)).search(np.ones(17))


def test_weights_that_changed_are_refused(own_clips: Path, tmp_path: Path) -> None:
    """A query that another model encodes would be compared with nothing of its kind."""
    import torch

    from vfeat.models import create_model

    config = {"img_size": 32, "num_frames": 4, "embed_dim": 16, "depth": 1, "num_classes": 3}
    weights, out = tmp_path / "weights.pth", tmp_path / "out"
    torch.save({"model": create_model("videomamba", **config).state_dict()}, weights)
    extract(tiny_job(out, own_clips / NAMES[0], weights=str(weights)))
    query = ("search", out, "--clip", own_clips / NAMES[0], "--at", "0.1", "-k", "1", "--json")
    assert json.loads(run(*query).stdout)["moments"][0]["score"] == pytest.approx(1, abs=1e-5)
    torch.save({"model": create_model("videomamba", **config).state_dict()}, weights)
    result = run(*query)
    assert result.returncode == 4, result.stderr
    assert str(weights) in result.stderr and "Traceback" not in result.stderr


def test_rows_of_removed_videos_are_not_found(own_clips: Path, tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    for name in NAMES[:2]:
        shutil.copy(own_clips / name, corpus / name)
    extract(tiny_job(out, corpus))
    query = vfeat.open(str(out)).clip_at(NAMES[0], 0.1).vector_D
    assert vfeat.open(str(out)).search(query, 1)[0].uri.endswith(NAMES[0])
    (corpus / NAMES[0]).unlink()
    extract(tiny_job(out, corpus))
    found = vfeat.open(str(out)).search(query, 100)
    assert found and all(hit.uri.endswith(NAMES[1]) for hit in found)
