"""Distillation and masked pre-training: the losses, their gradients, what is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.models.conftest import SMALL, Golden
from tests.models.test_golden import FORWARD, relative
from tests.models.vits import save_vit
from tests.train.encoder.students import batch, clips, config, save_teacher
from vfeat.errors import JobError
from vfeat.job.train_encoder import MaskKind
from vfeat.models import create_model, save_model
from vfeat.models.factory import create_masked, create_student
from vfeat.models.masked import MaskedVideoMamba
from vfeat.train.encoder.objectives.base import TrainBatch, alignment_loss
from vfeat.train.encoder.objectives.distillation import Distillation
from vfeat.train.encoder.objectives.factory import load_teacher
from vfeat.train.encoder.objectives.masked import MaskedPretraining
from vfeat.train.encoder.objectives.teacher import Teacher


def pretraining(
    teacher: Teacher, kind: MaskKind = "tube", ratio: float = 0.5, layers: int = 1
) -> MaskedPretraining:
    student = create_masked(
        "videomamba",
        teacher.width,
        weights="random",
        return_layers=layers,
        last_layer="normalised",
        **SMALL,
    )
    return MaskedPretraining(student, teacher, kind, ratio)


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return load_teacher("videomamba", save_teacher(tmp_path / "teacher"), config())


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_official_losses(weight: float, tmp_path: Path) -> None:
    golden = Golden.read("self_distillation")
    weights = str(golden.folder / "teacher.pth")
    save_model(create_model("videomamba", weights=weights, **golden.config["teacher"]), tmp_path)
    student = create_student("videomamba", weights=golden.weights, **golden.config["student"])
    teacher = load_teacher("videomamba", str(tmp_path), student.config)
    objective = Distillation(student, teacher, weight, label_smoothing=0.0)
    target = F.one_hot(golden.io["target"], student.config.num_classes).float()
    losses = objective(TrainBatch(golden.io["input"], target)).by_name
    for name in ("classification", "distillation"):
        assert relative(losses[name], golden.io[f"loss.{name}"]) < FORWARD
    expected = golden.io["loss.classification"] + weight * golden.io["loss.distillation"]
    assert relative(losses["loss"], expected) < FORWARD


def test_distillation_moves_towards_the_teacher(teacher: Teacher) -> None:
    student = create_student("videomamba", teacher.width, weights="random", **SMALL)
    objective = Distillation(student, teacher, 1.0, 0.0).train()
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-3)
    before = [p.clone() for p in teacher.parameters()]
    curve = []
    for _ in range(15):
        losses = objective(batch(clips())).by_name
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        curve.append(float(losses["distillation"].detach()))
    assert curve[-1] < 0.7 * curve[0]
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))
    assert len(objective.state_dict()) == len(student.state_dict()) + len(teacher.state_dict())


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["tube", "random"])
def test_masked_pretraining_reaches_every_parameter(
    teacher: Teacher, kind: MaskKind, layers: int
) -> None:
    objective = pretraining(teacher, kind, layers=layers)
    losses = objective(batch(clips())).by_name
    assert 0 < float(losses["loss"].detach()) < 4
    losses["loss"].backward()
    for name, parameter in objective.model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_loss_is_over_the_visible_tokens(teacher: Teacher) -> None:
    """With nothing hidden: the mean over all tokens, by hand."""
    objective, video = pretraining(teacher, ratio=0.0).eval(), clips()
    nothing = torch.zeros(2, config().num_tokens, dtype=torch.bool)
    found, wanted = objective.model(video, nothing)[0], teacher(video).tokens_BLC
    expected = (found - wanted).square().sum(-1).mean()  # of unit vectors: 2 - 2·cosine
    torch.testing.assert_close(objective(batch(video)).by_name["loss"], expected)


def test_labels_are_not_read(teacher: Teacher) -> None:
    objective = pretraining(teacher).eval()
    losses = []
    for seed in (0, 1):
        torch.manual_seed(7)
        losses.append(objective(batch(clips(4), seed=seed)).by_name["loss"])
    assert torch.equal(*losses)


def test_masks_are_drawn_from_the_random_state(teacher: Teacher) -> None:
    objective, given = pretraining(teacher), batch(clips(4))
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(float(objective(given).by_name["loss"].detach()))
    assert losses[0] == losses[1] != losses[2]


def test_attention_masks_follow_a_vits_attention(tmp_path: Path) -> None:
    save_vit(tmp_path, patch_size=16, image_size=32)
    seeing = load_teacher(f"vit:{tmp_path}", None, config(), attends=True)
    objective = pretraining(seeing, "attention")
    objective(batch(clips())).by_name["loss"].backward()
    blind = load_teacher(f"vit:{tmp_path}", None, config())
    with pytest.raises(JobError, match="gives its attention"):
        pretraining(blind, "attention")(batch(clips()))


def test_alignment_is_nothing_for_the_same_and_four_for_the_opposite() -> None:
    tokens = F.normalize(torch.randn(2, 3, 5, 7), dim=-1)
    assert float(alignment_loss(tokens, tokens)) == pytest.approx(0, abs=1e-6)
    assert float(alignment_loss(tokens, -tokens)) == pytest.approx(4, abs=1e-6)
    assert float(alignment_loss(torch.stack([tokens, -tokens]), tokens)) == pytest.approx(2)


def test_the_pretrained_trunk_is_what_is_saved(teacher: Teacher, tmp_path: Path) -> None:
    model = pretraining(teacher).model
    assert isinstance(model, MaskedVideoMamba)
    save_model(model, tmp_path)
    again = create_model("videomamba", weights=str(tmp_path))
    assert torch.equal(again.layers[0].mixer.in_proj.weight, model.layers[0].mixer.in_proj.weight)
