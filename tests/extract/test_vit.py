"""`--model vit:...`: rows are what the transformers library gives for the same frames."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

import vfeat
from tests.engine.jobs import tiny_job, tree, verified
from tests.models.vits import PIXELS, save_vit
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.extract.model_outline import outline
from vfeat.extract.run import run_job
from vfeat.job.spec import ExtractJob

VIDEO = "cfr25_bframes.mp4"  # 150 frames of 320 x 180 pixels, 25 a second
F32 = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A classifier of three classes, and the library's own object."""
    folder = tmp_path_factory.mktemp("vit") / "classifier"
    names = {0: "cat", 1: "dog", 2: "owl"}
    model = save_vit(
        folder, "ViTForImageClassification",
        id2label=names, label2id={name: index for index, name in names.items()},
    )  # fmt: skip
    return folder, model


def vit_job(out: Path, folder: Path, *sources: Path, **fields: Any) -> ExtractJob:
    """A frame a second, and no options of VideoMamba's."""
    own = {"model": f"vit:{folder}", "weights": None, "model_options": {}, "size": None}
    return tiny_job(out, *sources, **{**own, "num_frames": 1, **fields})


def frames(path: Path, numbers: list[int]) -> torch.Tensor:
    """Frames by their number, as the checkpoint takes them; FCSS, float32."""
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    pictures = [cv2.resize(decoded[n], (56, 32), interpolation=cv2.INTER_LINEAR) for n in numbers]
    pixels_FSSC = np.stack([picture[:, 12:44] for picture in pictures]).astype(np.float64) / 255
    normal = (pixels_FSSC - PIXELS["image_mean"]) / PIXELS["image_std"]
    return torch.from_numpy(normal.astype(np.float32)).permute(0, 3, 1, 2)


def vectors(out: Path, column: str) -> F32:
    """A vector column of all rows, in order."""
    rows = vfeat.open(str(out)).to_arrow().sort_by("clip_index").to_pylist()
    return np.array([row[column] for row in rows], np.float32)


@pytest.mark.parametrize("tokens", ["none", "frame", "patch"])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_rows_are_the_librarys_own(
    num_frames: int, tokens: str, checkpoint: tuple[Path, Any], own_clips: Path, tmp_path: Path
) -> None:
    folder, model = checkpoint
    job = vit_job(tmp_path, folder, own_clips / VIDEO, num_frames=num_frames, tokens=tokens)
    run_job(job)
    verified(tmp_path)
    offsets = {1: [12], 3: [4, 12, 20]}[num_frames]  # on display at the centres of equal parts
    numbers = [25 * clip + offset for clip in range(6) for offset in offsets]
    with torch.inference_mode():
        tokens_FND = model.vit(frames(own_clips / VIDEO, numbers)).last_hidden_state
    classes_BTD = tokens_FND[:, 0].view(6, num_frames, 32)
    wanted = {"embedding": classes_BTD.mean(1)}
    if tokens == "frame":
        wanted["frame_tokens"] = classes_BTD
    if tokens == "patch":
        wanted["patch_tokens"] = tokens_FND.view(6, num_frames * 17, 32)
    for column, values in wanted.items():
        np.testing.assert_allclose(
            vectors(tmp_path, column), values, rtol=1e-5, atol=1e-5 * float(values.abs().max())
        )
    shape = outline(job).shape
    assert (shape.dim, shape.steps, shape.patches) == (32, num_frames, 17)


def test_labels_are_the_checkpoints_own(
    checkpoint: tuple[Path, Any], own_clips: Path, tmp_path: Path
) -> None:
    folder, model = checkpoint
    run_job(vit_job(tmp_path, folder, own_clips / VIDEO, num_frames=3, top_k=2))
    numbers = [25 * clip + offset for clip in range(6) for offset in (4, 12, 20)]
    with torch.inference_mode():
        logits_FK = model(frames(own_clips / VIDEO, numbers)).logits
    scores_BK = logits_FK.softmax(-1).view(6, 3, 3).mean(1)
    rows = vfeat.open(str(tmp_path)).to_arrow().sort_by("clip_index").to_pylist()
    for row, scores in zip(rows, scores_BK, strict=True):
        best = scores.topk(2)
        names = [("cat", "dog", "owl")[index] for index in best.indices]
        assert [label["label"] for label in row["labels"]] == names
        given = [label["score"] for label in row["labels"]]
        assert given == pytest.approx(best.values.tolist(), rel=1e-5)


def test_without_a_head_there_are_no_labels(own_clips: Path, tmp_path: Path) -> None:
    save_vit(tmp_path / "dinov2", "Dinov2Model")
    run_job(vit_job(tmp_path / "out", tmp_path / "dinov2", own_clips / "one_frame.mp4"))
    (row,) = vfeat.open(str(tmp_path / "out")).to_arrow().to_pylist()
    assert row["labels"] == []


def test_without_a_class_token_a_frame_is_its_mean(own_clips: Path, tmp_path: Path) -> None:
    model = save_vit(tmp_path / "siglip", "SiglipVisionModel")
    run_job(vit_job(tmp_path / "out", tmp_path / "siglip", own_clips / VIDEO, tokens="frame"))
    with torch.inference_mode():
        numbers = [25 * clip + 12 for clip in range(6)]
        tokens_FND = model(frames(own_clips / VIDEO, numbers)).last_hidden_state
    np.testing.assert_allclose(
        vectors(tmp_path / "out", "frame_tokens")[:, 0], tokens_FND.mean(1), rtol=1e-4, atol=1e-5
    )


def test_bfloat16_crops_and_another_size(
    checkpoint: tuple[Path, Any], own_clips: Path, tmp_path: Path
) -> None:
    folder, _ = checkpoint
    video = own_clips / VIDEO
    exact, half = tmp_path / "exact", tmp_path / "half"
    run_job(vit_job(exact, folder, video, size=48, tokens="patch"))
    run_job(vit_job(half, folder, video, size=48, tokens="patch", dtype="bfloat16"))
    assert vectors(exact, "patch_tokens").shape == (6, 37, 32)
    np.testing.assert_allclose(
        vectors(half, "patch_tokens"), vectors(exact, "patch_tokens"), rtol=0.05, atol=0.1
    )
    run_job(vit_job(tmp_path / "three", folder, video, crops=3))
    assert vectors(tmp_path / "three", "embedding").shape == (6, 32)


def test_the_same_checkpoint_elsewhere_is_the_same_recipe(
    checkpoint: tuple[Path, Any], own_clips: Path, tmp_path: Path
) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    run_job(vit_job(out, checkpoint[0], own_clips / VIDEO))
    before = tree(out)
    shutil.copytree(checkpoint[0], moved)
    for folder in (checkpoint[0], moved):
        assert run_job(vit_job(out, folder, own_clips / VIDEO)).nothing_to_do
    assert tree(out) == before
    recipe = json.loads((out / "dataset.json").read_text())["recipe"]
    assert recipe["model"] == {"name": "vit", "weights": str(checkpoint[0]), "config": {}}
    assert recipe["frame"]["size"] == 32
    assert recipe["frame"]["mean"] == PIXELS["image_mean"]


def test_another_checkpoint_is_refused(
    checkpoint: tuple[Path, Any], own_clips: Path, tmp_path: Path
) -> None:
    run_job(vit_job(tmp_path / "out", checkpoint[0], own_clips / VIDEO))
    other = save_vit(tmp_path / "other", "ViTForImageClassification", seed=1, num_labels=3)
    assert other.config.hidden_size == 32
    with pytest.raises(JobError, match="weights_digest: the dataset has") as caught:
        run_job(vit_job(tmp_path / "out", tmp_path / "other", own_clips / VIDEO))
    assert caught.value.exit_code == 2
    pixels = {**PIXELS, "image_mean": [0.1, 0.1, 0.1]}
    shutil.copytree(checkpoint[0], tmp_path / "darker")
    (tmp_path / "darker/preprocessor_config.json").write_text(json.dumps(pixels))
    with pytest.raises(JobError, match=r"frame\.mean: the dataset has"):
        run_job(vit_job(tmp_path / "out", tmp_path / "darker", own_clips / VIDEO))


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"weights": "random"}, JobError, "leave out --weights"),
        ({"model_options": {"depth": 1}}, JobError, "leave out --model-option"),
        ({"size": 33}, JobError, "must be a multiple"),
        ({"model": "vit:./no_such_folder"}, EnvironmentMissing, "no folder './no_such_folder'"),
        ({"model": "vit"}, JobError, "no model 'vit'.*vit:FOLDER"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    fields: dict[str, Any],
    error: type[Exception],
    sentence: str,
    checkpoint: tuple[Path, Any],
    own_clips: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=sentence):
        run_job(vit_job(tmp_path / "out", checkpoint[0], own_clips / VIDEO, **fields))
    assert not (tmp_path / "out").exists()
