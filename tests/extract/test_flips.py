"""Labels from a clip and its flips, shown with videos that are mirrored or played backwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import vfeat
from tests.engine.jobs import tiny_job, verified
from tests.extract.test_class_labels import CONFIG
from vfeat.errors import JobError
from vfeat.extract.model_outline import outline
from vfeat.extract.prepare import make_recipe
from vfeat.extract.run import run_job
from vfeat.models import create_model, save_model
from vfeat.sequences.head import _vectors_only

NAMES = ("left", "still", "right", "up")
FLIPS = {"horizontal": [2, 1, 0, 3], "reverse": [2, 1, 0, 3], "vertical": [0, 1, 2, 3]}
AXES = {"horizontal": 2, "vertical": 1, "reverse": 0}  # of THWC
FOUR_FRAMES = {"num_frames": 4, "clip_seconds": 1.0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a training with `test_flips` leaves it; scores differ much."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(2)
    model = create_model("videomamba", num_classes=len(NAMES), **CONFIG)
    torch.nn.init.normal_(model.head.weight)
    save_model(model, folder)
    (folder / "labels.json").write_text(json.dumps(NAMES))
    (folder / "train.json").write_text(json.dumps({"flips": FLIPS}))
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Noise of a second at four frames a second without loss, and the same flipped."""
    folder = tmp_path_factory.mktemp("videos")
    frames = np.random.default_rng(8).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    paths = {"as_is": folder / "as_is.mkv"}
    write_lossless(paths["as_is"], frames)
    for flip, axis in AXES.items():
        paths[flip] = folder / f"{flip}.mkv"
        write_lossless(paths[flip], np.flip(frames, axis))
    return paths


def write_lossless(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=4)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.copy(), format="rgb24")))
        container.mux(stream.encode())


def said(out: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scores in the order of NAMES, and the embedding, by the file's name."""
    found = {}
    for row in vfeat.open(str(out)).to_arrow().to_pylist():
        scores = {label["label"]: label["score"] for label in row["labels"]}
        vector = np.array(row["embedding"], np.float32)
        found[Path(row["uri"]).stem] = np.array([scores[name] for name in NAMES]), vector
    return found


def extracted(out: Path, weights: Path, *videos: Path, **fields: Any) -> Any:
    """Run, verify, and return what it says."""
    run_job(tiny_job(out, *videos, weights=str(weights), model_options={}, **FOUR_FRAMES, **fields))
    verified(out)
    return said(out)


def test_scores_are_the_mean_over_the_flips(
    weights: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    alone = extracted(tmp_path / "alone", weights, *videos.values(), flips=False)
    found = extracted(tmp_path / "flips", weights, *videos.values())
    parts = [alone["as_is"][0], *(alone[flip][0][FLIPS[flip]] for flip in FLIPS)]
    np.testing.assert_allclose(found["as_is"][0], np.mean(parts, axis=0), atol=1e-5)
    assert np.ptp(parts, axis=0).max() > 0.05  # else nothing is shown
    for name in videos:  # the vector is that of the clip as it is
        np.testing.assert_array_equal(found[name][1], alone[name][1])


def test_tokens_are_those_of_the_clip_as_it_is(
    weights: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    tables = []
    for flips in (None, False):
        out = tmp_path / str(flips)
        extracted(out, weights, videos["as_is"], flips=flips, tokens="patch")
        tables.append(vfeat.open(str(out)).to_arrow())
    one, other = tables
    assert one["patch_tokens"].equals(other["patch_tokens"])
    assert not one["labels"].equals(other["labels"])


def test_a_dataset_is_of_one_kind_and_heads_read_both(
    weights: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    extracted(tmp_path, weights, videos["as_is"])
    with pytest.raises(JobError, match=r"flips\.horizontal: the dataset has \[2, 1, 0, 3\]"):
        extracted(tmp_path, weights, videos["as_is"], flips=False)
    job = tiny_job(tmp_path, tmp_path, weights=str(weights), model_options={}, **FOUR_FRAMES)
    jobs = [job.model_copy(update={"flips": flips}) for flips in (None, False)]
    recipes = [make_recipe(one, outline(one)) for one in jobs]
    assert recipes[0] != recipes[1]
    assert _vectors_only(recipes[0]) == _vectors_only(recipes[1])


@pytest.mark.parametrize(
    ("train", "fields", "sentence"),
    [
        ({}, {"flips": True}, "--flips: nothing is known of flips"),
        ({"flips": {"diagonal": [0, 1]}}, {}, r"train\.json: flips\.diagonal is not one of"),
        ({"flips": {"vertical": 3}}, {}, r"train\.json: flips\.vertical is not one of"),
        ({"flips": {"vertical": [[0], "1"]}}, {}, r"train\.json: flips\.vertical is not one of"),
        ({"flips": {"vertical": [0, 0]}}, {}, r"train\.json: flips\.vertical is not one of"),
        ({"flips": {"vertical": [1, 0]}}, {}, r"flips\.vertical is of 2 classes, the head of 4"),
    ],
)
def test_flips_that_cannot_be(
    weights: Path, tmp_path: Path, train: dict[str, Any], fields: dict[str, Any], sentence: str
) -> None:
    for name in ("config.json", "model.safetensors", "labels.json"):
        (tmp_path / name).write_bytes((weights / name).read_bytes())
    (tmp_path / "train.json").write_text(json.dumps(train))
    job = tiny_job(tmp_path / "out", tmp_path, weights=str(tmp_path), model_options={}, **fields)
    with pytest.raises(JobError, match=sentence):
        make_recipe(job, outline(job))
