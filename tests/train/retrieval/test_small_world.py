"""The whole way on a world of squares: clips and captions in, clips found by sentences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.retrieval.jobs import TINY
from tests.train.retrieval.world import SCENES, write_world

SETTINGS = ["--epochs", "28", "--match-weight", "0.2", "--seed", "2"]
TESTED = 2  # clips of each scene


def vfeat(*arguments: str | Path) -> Any:
    """Run a command as users do; one thread, as such small products are slower in several."""
    done = subprocess.run(
        [sys.executable, "-m", "vfeat", *map(str, arguments), "--json"],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("squares"), each=7, tested=TESTED)


@pytest.fixture(scope="module")
def trained(world: Path) -> dict[str, Any]:
    options = [word for name, value in TINY["model_options"].items()
               for word in ("--model-option", f"{name}={value}")]  # fmt: skip
    fields = [word for name, value in TINY.items() if name != "model_options"
              for word in (f"--{name.replace('_', '-')}", str(value))]  # fmt: skip
    clip = ["--clip-seconds", "2"]
    found: dict[str, Any] = vfeat(
        "train", "retrieval", world, *fields, *options, *clip, *SETTINGS,
        "--out", world.parent / "network",
    )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def features(world: Path, trained: dict[str, Any]) -> Path:
    """What `vfeat extract` stores of the test clips with the trained folder."""
    lines = [line for line in world.read_text().splitlines() if line.endswith(("split", "test"))]
    listed = world.with_name("test.csv")
    listed.write_text("\n".join(lines) + "\n")
    out = world.parent / "features"
    model = ["--model", "videomamba_mm", "--weights", trained["out"]]
    vfeat("extract", listed, *model, "--executor", "inline", "--out", out)
    return out


def test_held_out_clips_are_found_by_their_captions_and_the_reverse(
    trained: dict[str, Any],
) -> None:
    for way in ("text_to_video", "video_to_text"):
        assert trained["metrics"]["val"]["recall"][way]["r1"] >= 0.9
    assert trained["metrics"]["val"]["recall"]["chance"]["r1"] < 0.06
    last = trained["history"][-1]["losses"]
    assert last["matching"] < 0.6 < trained["history"][0]["losses"]["matching"]


def test_sentences_find_combinations_of_words_that_were_never_seen_together(
    world: Path, trained: dict[str, Any], features: Path
) -> None:
    """Among all clips that nothing was trained on; by the stored vectors, as a search does."""
    import vfeat as package
    from vfeat.search.text_query import embed_text

    dataset = package.open(str(features))
    new = [scene for scene in SCENES if scene.is_held_out]
    assert len(new) == 6 and len(dataset.to_arrow()) == TESTED * len(SCENES)
    places = []
    for text_D, scene in zip(
        embed_text(dataset.recipe, [s.caption for s in new], "cpu"), new, strict=True
    ):
        names = [Path(hit.uri).name for hit in dataset.search(np.asarray(text_D), k=len(SCENES))]
        right = [name.startswith(f"{scene.number:03d}_") for name in names]
        places.append(right.index(True) + 1 if any(right) else len(SCENES))
    # A random order has one of a scene's two clips first in one of 40, among five in one of 8.
    assert sum(place == 1 for place in places) >= 3, places
    assert sum(place <= 5 for place in places) >= 5, places


def test_the_command_finds_a_clip_by_its_sentence(features: Path) -> None:
    scene = next(scene for scene in SCENES if not scene.is_held_out)
    found = vfeat("search", features, "--text", scene.caption, "-k", "1", "--device", "cpu")
    assert f"{scene.number:03d}_test" in json.dumps(found)
