"""The distillation student equals the official code, and its projection comes and goes."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.models.conftest import SMALL, Golden
from tests.models.test_golden import FORWARD, GRADIENT, relative
from vfeat.models import create_model, save_model
from vfeat.models.distilled import Student
from vfeat.models.factory import create_student

WIDTH = 24


@pytest.fixture
def golden(kernel: str) -> Golden:
    return Golden.read("self_distillation")


@pytest.fixture
def student(golden: Golden) -> Student:
    return create_student("videomamba", weights=golden.weights, **golden.config["student"])


@pytest.fixture
def fresh() -> Student:
    return create_student("videomamba", WIDTH, weights="random", **SMALL)


def test_the_official_outputs_losses_and_gradients(golden: Golden, student: Student) -> None:
    logits, features = student.forward_student(golden.io["input"])
    assert relative(logits, golden.io["student.logits"]) < FORWARD
    assert relative(features, golden.io["student.features"]) < FORWARD
    classification = F.cross_entropy(logits, golden.io["target"])
    distillation = (2 - 2 * (features * golden.io["teacher.features"]).sum(-1)).mean()
    assert relative(classification, golden.io["loss.classification"]) < FORWARD
    assert relative(distillation, golden.io["loss.distillation"]) < FORWARD
    (classification + distillation).backward()
    parameters = dict(student.named_parameters())
    for key in (key for key in golden.io if key.startswith("grad.")):
        gradient = parameters[key.removeprefix("grad.")].grad
        assert gradient is not None
        assert relative(gradient, golden.io[key]) < GRADIENT, key


def test_the_official_teacher(golden: Golden) -> None:
    weights = str(golden.folder / "teacher.pth")
    teacher = create_model("videomamba", weights=weights, **golden.config["teacher"])
    features = F.normalize(teacher.forward_tokens(golden.io["input"]), dim=-1)
    assert relative(features, golden.io["teacher.features"]) < FORWARD


def test_names_are_the_official_ones(golden: Golden, student: Student) -> None:
    published = torch.load(golden.weights, weights_only=True)["model"]
    assert student.state_dict().keys() == published.keys()


def test_logits_are_those_of_the_plain_model(fresh: Student) -> None:
    video = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    logits, features = fresh.forward_student(video)
    torch.testing.assert_close(logits, fresh(video), rtol=1e-5, atol=1e-6)
    assert features.shape == (2, fresh.config.num_tokens, WIDTH)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(features.shape[:2]))


def test_a_trained_student_is_a_plain_model_for_everybody_else(
    fresh: Student, tmp_path: Path
) -> None:
    save_model(fresh, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = create_model("videomamba", weights=str(tmp_path))
    expected = {k: t for k, t in fresh.state_dict().items() if "distill" not in k}
    assert plain.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[k]) for k, t in plain.state_dict().items())
    assert type(plain.config) is not type(fresh.config)


@pytest.mark.parametrize("width", [WIDTH, WIDTH + 1])
def test_a_projection_is_kept_for_a_teacher_of_the_same_width(
    fresh: Student, tmp_path: Path, width: int
) -> None:
    save_model(fresh, tmp_path)
    torch.manual_seed(7)
    again = create_student("videomamba", width, weights=str(tmp_path))
    found, old = again.distill_head[1].weight, fresh.distill_head[1].weight
    assert found.shape == (width, SMALL["embed_dim"])
    assert torch.equal(found[:WIDTH], old) == (width == WIDTH)
    assert torch.equal(again.cls_token, fresh.cls_token)


def test_a_plain_model_becomes_a_student(tmp_path: Path) -> None:
    plain = create_model("videomamba", weights="random", **SMALL)
    save_model(plain, tmp_path)
    student = create_student("videomamba", WIDTH, weights=str(tmp_path))
    assert all(torch.equal(t, student.state_dict()[k]) for k, t in plain.state_dict().items())
    assert student.distill_head[1].weight.std() > 0.01
