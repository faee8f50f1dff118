"""Words about the camera, which need no download, on videos and datasets as users make them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vfeat
from vfeat.errors import JobError
from vfeat.models.packaged import BOX
from vfeat.models.retrieval.packaged_words import words_for
from vfeat.models.retrieval.stored_words import load_text_tower
from vfeat.models.weights import weights_digest
from vfeat.search.text_query import embed_text

CLIPS = Path(__file__).parents[2] / "jobs" / "demo_clips"
FOUND = {
    "the camera pans slowly to the right": {"pan_right.mp4", "hard_cut.mp4"},
    "zoom in": {"zoom_in.mp4"},
    "a hard cut to another scene": {"fast_cut.mp4", "hard_cut.mp4"},
    "one shot dissolves into the next": {"dissolve.mp4", "slideshow.mp4"},
    "hand-held, shaky footage": {"handheld.mp4"},
    "nothing moves": {"bouncing_ball.mp4", "passer_by.mp4"},
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfeat", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `vfeat extract` writes without naming a model."""
    out = tmp_path_factory.mktemp("words") / "features"
    done = run("extract", CLIPS, "--executor", "inline", "--no-flips", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_words_find_the_videos_that_show_them(features: Path) -> None:
    dataset = vfeat.open(str(features))
    vectors = embed_text(dataset.recipe, list(FOUND), "cpu")
    assert vectors.shape == (len(FOUND), 128) and vectors.dtype == np.float32
    for vector_D, (sentence, videos) in zip(vectors, FOUND.items(), strict=True):
        hit = dataset.search(vector_D, k=1)[0]
        assert Path(hit.uri).name in videos, (sentence, hit.uri)


def test_the_command_finds_them_too(features: Path) -> None:
    words = "zoom in on a zebra"
    done = run("search", features, "--text", words, "-k", "1", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert "not learnt them: zebra" in done.stderr
    assert "zoom_in.mp4" in done.stdout and "pan_right.mp4" not in done.stdout


def test_opposite_directions_are_told_apart(features: Path) -> None:
    dataset = vfeat.open(str(features))
    left, right, again = embed_text(dataset.recipe, ["pan left", "pan right", "Pan LEFT!"], "cpu")
    np.testing.assert_allclose(left, again, atol=1e-6)
    rows = dataset.to_arrow(["uri", "start_s", "embedding"]).to_pylist()
    [first] = [r for r in rows if r["uri"].endswith("pan_right.mp4") and r["start_s"] == 0]
    clip = np.array(first["embedding"]) / np.linalg.norm(first["embedding"])
    assert clip @ right > clip @ left + 0.1


def test_words_about_anything_else_are_refused(features: Path) -> None:
    done = run("search", features, "--text", "a dog on the beach", "--device", "cpu")
    assert done.returncode == 2 and "no word about the camera's motion" in done.stderr
    recipe = vfeat.open(str(features)).recipe
    with pytest.raises(JobError, match="no word about the camera's motion"):
        embed_text(recipe, ["the clip with the camera"], "cpu")
    done = run("search", features, "--text", "pan left", "--rerank", "3", "--device", "cpu")
    assert done.returncode == 2 and "no matching head" in done.stderr


def test_they_belong_to_one_set_of_weights() -> None:
    digest = weights_digest("box:videomamba_motion")
    assert words_for(digest) == "box:camera_words"
    assert words_for("random:0") is None
    assert load_text_tower("box:camera_words").config.finds == digest


def test_they_are_small_and_described() -> None:
    folder = BOX / "camera_words"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "card.md", "config.json", "metrics.json", "model.safetensors", "tokenizer.json"
    }  # fmt: skip
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000
    listed: list[dict[str, Any]] = json.loads(run("models", "--json").stdout)
    assert "camera_words" in [entry["name"] for entry in listed]


def test_the_card_has_the_measured_figures() -> None:
    metrics = json.loads((BOX / "camera_words" / "metrics.json").read_text())
    card = (BOX / "camera_words" / "card.md").read_text()
    for scores in (metrics["generated"], metrics["over frozen footage"]):
        for name in ("a label", "a label, other phrases"):
            assert f"{100 * scores[name]['r5']:.1f} %" in card
            assert f"{100 * scores[name]['precision10']:.1f} %" in card
