"""A training of words: the same however it was cut, and refused where it cannot be right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.encoder.jobs import StopAfter
from tests.train.retrieval.jobs import WORDS, tiny_job
from tests.train.retrieval.world import SCENES, write_world
from vfeat.errors import Interrupted, JobError
from vfeat.models.retrieval.stored_words import load_text_tower
from vfeat.report.training import read_training
from vfeat.storage.root import Root
from vfeat.train.retrieval.dry_run import outline
from vfeat.train.retrieval.run import train_retrieval

FIELDS: dict[str, Any] = {
    "epochs": 3, "batch_size": 6, "mlm_weight": 0.5, "jitter": 0.2, "random_crop": 0.2, "seed": 3,
    "vision_mask_ratio": 0.25,
}  # fmt: skip
FROZEN: dict[str, Any] = {
    "model": "videomamba", "weights": "random", "freeze_vision": True, "epochs": 3,
    "batch_size": 6, "model_options": {**WORDS, "embed_dim": 32, "depth": 2, "patch_size": 8},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Such small products are slower in several threads, on a machine that does other work too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("squares"), 4, SCENES[:6])


@pytest.fixture(scope="module")
def whole(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A training that nobody stopped."""
    return train_retrieval(tiny_job(clips, tmp_path_factory.mktemp("whole"), **FIELDS))


def numbers(result: dict[str, Any]) -> list[Any]:
    assert result["finished"]
    lines = [(line["losses"], line["val"], line["lr"]) for line in result["history"]]
    return [*lines, result["metrics"], result["best_epoch"]]


@pytest.mark.parametrize("steps", [1, 4, 7])  # an epoch has four
def test_going_on_after_any_step(
    clips: Path, whole: dict[str, Any], tmp_path: Path, steps: int
) -> None:
    job = tiny_job(clips, tmp_path / "out", **FIELDS)
    with pytest.raises(Interrupted, match=r"checkpoint is kept|stopped after"):
        train_retrieval(job, StopAfter(steps))
    assert numbers(train_retrieval(job)) == numbers(whole)
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_words_alone_go_on_after_a_stop(clips: Path, tmp_path: Path) -> None:
    uncut = train_retrieval(tiny_job(clips, tmp_path / "uncut", **FROZEN))
    job = tiny_job(clips, tmp_path / "cut", **FROZEN)
    with pytest.raises(Interrupted):
        train_retrieval(job, StopAfter(5))
    assert numbers(train_retrieval(job)) == numbers(uncut)
    assert not (tmp_path / "cut" / "frozen.npz").exists()
    tower = load_text_tower(str(tmp_path / "cut"))
    assert tower.config.joint_dim == 32 and tower.config.finds == "random:0"
    assert not [key for key in tower.state_dict() if "crossattention" in key]


def test_every_loss_is_recorded(whole: dict[str, Any]) -> None:
    for line in whole["history"]:
        losses = line["losses"]
        total = losses["contrastive"] + losses["matching"] + 0.5 * losses["hidden_words"]
        assert losses["loss"] == pytest.approx(total, rel=1e-5)
        assert 0.001 <= losses["temperature"] <= 0.5
        assert set(line["val"]["recall"]) == {"text_to_video", "video_to_text", "chance"}


def test_a_report_draws_its_curves(whole: dict[str, Any]) -> None:
    found = read_training(Root(whole["out"]), "words")
    assert found.is_finished and found.epochs == 3
    assert {"training contrastive", "training matching"} <= {curve.name for curve in found.losses}
    assert found.scores and [split.split for split in found.splits] == ["val", "test"]


def test_a_dry_run_writes_nothing(clips: Path, tmp_path: Path) -> None:
    found = outline(tiny_job(clips, tmp_path / "out", **FIELDS))
    assert found.clips == {"train": 20, "val": 5, "test": 6}
    assert found.captions == 6 and found.steps == 12 and found.parameters > 100_000
    assert not (tmp_path / "out").exists()


def test_rows_of_one_caption_are_refused(clips: Path, tmp_path: Path) -> None:
    lines = clips.read_text().splitlines()
    same = [line.split(",")[0] + ",a red square,train" for line in lines[1:]]
    path = clips.with_name("same.csv")
    path.write_text("\n".join([lines[0], *same]) + "\n")
    with pytest.raises(JobError, match="at least two different captions"):
        train_retrieval(tiny_job(path, tmp_path))


def test_rows_without_a_caption_are_named(clips: Path, tmp_path: Path) -> None:
    lines = clips.read_text().splitlines()
    lines[2] = lines[2].split(",")[0] + ",  ,train"
    path = clips.with_name("bare.csv")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(JobError, match=r"1 rows have no caption: rows 2"):
        train_retrieval(tiny_job(path, tmp_path))
    path.write_text("uri,label\n" + lines[1].split(",")[0] + ",a\n")
    with pytest.raises(JobError, match=r"column named caption; found: uri, label"):
        train_retrieval(tiny_job(path, tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workers": 2}, "runs in one process"),
        ({"freeze_vision": True}, "give weights"),
        ({**FROZEN, "match_weight": 1.0}, "trains words alone"),
        ({**FROZEN, "jitter": 0.5}, "embeds each clip once"),
        ({"min_lr": 1.0}, "min_lr 1 is above lr"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        tiny_job("clips.csv", "out", **fields)


def test_a_model_without_words_is_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"has no text side.*--freeze-vision"):
        train_retrieval(tiny_job(clips, tmp_path, model="videomamba_tiny", model_options={}))
    with pytest.raises(JobError, match="expected bert, captions, or the path of a tokenizer"):
        train_retrieval(tiny_job(clips, tmp_path, vocabulary="words.txt"))


def test_other_captions_in_the_same_folder_are_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_retrieval(tiny_job(clips, tmp_path, **FIELDS), StopAfter(1))
    path = clips.with_name("other.csv")
    path.write_text(clips.read_text().replace("stands still", "waits"))
    with pytest.raises(JobError, match=r"captions: there"):
        train_retrieval(tiny_job(path, tmp_path, **FIELDS))


def test_words_begin_beside_weights_of_clips_alone(
    clips: Path, whole: dict[str, Any], tmp_path: Path
) -> None:
    """The video side of a dual encoder takes a VideoMamba's trunk as it is."""
    from vfeat.models import create_model, save_model
    from vfeat.train.retrieval.network import make_dual, settle

    size = {"embed_dim": 64, "depth": 2, "patch_size": 16, "tubelet_size": 2, "img_size": 32}
    trunk = create_model("videomamba", weights="random", num_frames=8, num_classes=5, **size)
    save_model(trunk, tmp_path)
    job = settle(tiny_job(clips, tmp_path / "out", weights=str(tmp_path)))
    side = make_dual(job, 40).vision_encoder.state_dict()
    for key, tensor in trunk.state_dict().items():
        if key.startswith(("layers.", "patch_embed.", "pos_embed", "temporal")):
            assert torch.equal(side[key], tensor), key
    assert torch.equal(side["norm.weight"], trunk.norm_f.weight)
    # Weights of clips and words go on as they are.
    again = make_dual(settle(tiny_job(clips, tmp_path, weights=whole["out"])), _words(whole))
    assert again.text_proj.weight.std() > 0


def _words(result: dict[str, Any]) -> int:
    return int(json.loads((Path(result["out"]) / "config.json").read_text())["vocabulary"])
