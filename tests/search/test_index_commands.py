"""`vfeat index`, and `vfeat search` with it, on real videos: what they print and leave out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import vfeat
from tests.engine.commands import run
from tests.engine.jobs import tiny_job
from tests.search.test_search import extract

NAMES = ("cfr25_bframes.mp4", "vfr.mp4", "vp9.webm")


def job(folder: Path) -> Any:
    return tiny_job(folder / "out", folder / "corpus", clip_seconds=0.5, stride_seconds=0.05)


@pytest.fixture(scope="module")
def place(own_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus` and `out`: two videos, in an index."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "corpus").mkdir()
    for name in NAMES[:2]:
        shutil.copy(own_clips / name, folder / "corpus" / name)
    extract(job(folder))
    result = run("index", folder / "out", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["clips"] == report["added"] > 0 and report["recall"] >= 0.95
    return folder


def searched(*arguments: str | Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    result = run("search", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    return found["moments"], found["searched"]


def test_a_search_uses_the_index_and_prints_so(place: Path) -> None:
    like = ("--like", "vfr.mp4@0.6", "-k", "5")
    moments, how = searched(place / "out", *like)
    exact, exactly = searched(place / "out", *like, "--exact")
    assert moments[0]["uri"] == exact[0]["uri"]
    assert moments[0]["score"] == pytest.approx(exact[0]["score"], abs=1e-6)
    assert how["indexed_clips"] == exactly["exact_clips"] > 0
    assert how["exact_clips"] == exactly["indexed_clips"] == 0
    assert how["recall_at_10"] >= 0.95 and exactly["recall_at_10"] is None
    assert "clips with the index (recall@10 " in run("search", place / "out", *like).stdout
    assert "exactly." in run("search", place / "out", *like, "--exact").stdout


def test_a_condition_is_searched_exactly(place: Path) -> None:
    moments, how = searched(
        place / "out", "--like", "vfr.mp4@0.6", "--where", "uri like '%bframes%'", "-k", "3"
    )
    assert moments and all("bframes" in moment["uri"] for moment in moments)
    assert how["indexed_clips"] == 0 and how["notice"] is None


def test_new_videos_are_found_and_removed_ones_are_not(
    place: Path, own_clips: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(place / "out", tmp_path / "out"))
    removed = vfeat.open(str(out)).clip_at(NAMES[0], 0.3).vector_D
    before = len(vfeat.open(str(out)).search(removed, 10_000))
    # In the corpus that the plan was made of, so that the video is missed there.
    (place / "corpus" / NAMES[0]).unlink()
    shutil.copy(own_clips / NAMES[2], place / "corpus" / NAMES[2])
    extract(tiny_job(out, place / "corpus", clip_seconds=0.5, stride_seconds=0.05))
    answer = vfeat.open(str(out)).answer(removed[None], 10_000)
    assert answer.indexed_clips > 0 and answer.exact_clips > 0
    assert len(answer.hits[0]) < before + answer.exact_clips
    assert not any(hit.uri.endswith(NAMES[0]) for hit in answer.hits[0])
    assert {hit.uri.rpartition("/")[2] for hit in answer.hits[0]} == set(NAMES[1:])
    _, how = searched(out, "--like", f"{NAMES[2]}@0.2")
    assert how["exact_clips"] == answer.exact_clips
    text = run("search", out, "--like", f"{NAMES[2]}@0.2").stdout
    assert "clips that are newer than it exactly" in " ".join(text.split())
    grown = run("index", out)
    assert f"{answer.exact_clips} clips added" in " ".join(grown.stdout.split()), grown.stderr
    assert not any(
        hit.uri.endswith(NAMES[0]) for hit in vfeat.open(str(out)).search(removed, 10_000)
    )
    assert "nothing to add" in " ".join(run("index", out).stdout.split())


def test_without_faiss_an_index_is_one_sentence_and_search_works(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['faiss'] = None\n")
    repository = str(Path(__file__).parents[2])
    import_path = {"PYTHONPATH": f"{tmp_path}:{repository}"}
    refused = run("index", place / "out", "--rebuild", **import_path)
    assert refused.returncode == 4
    assert "pip install 'vfeat[search]'" in refused.stderr and "Traceback" not in refused.stderr
    for more in ((), ("--exact",)):
        result = run("search", place / "out", "--like", "vfr.mp4@0.6", *more, **import_path)
        assert result.returncode == 0, result.stderr
        assert "vfr.mp4" in result.stdout


def test_an_index_of_nothing_is_a_sentence(tmp_path: Path) -> None:
    result = run("index", tmp_path)
    assert result.returncode == 2 and "not a vfeat dataset" in result.stderr
