"""Teachers: frozen, on the student's grid of tokens, and equal to the models they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.models.conftest import Golden
from tests.models.test_golden import FORWARD, relative
from tests.models.vits import PIXELS, save_vit
from tests.train.encoder.students import clips, config, save_teacher
from vfeat.errors import JobError
from vfeat.job.recipe import IMAGENET_MEAN, IMAGENET_STD
from vfeat.models import create_model, save_model
from vfeat.models.vit_model import load_vit
from vfeat.train.encoder.objectives.factory import load_teacher


def test_the_official_teachers_features(tmp_path: Path) -> None:
    golden = Golden.read("self_distillation")
    weights = str(golden.folder / "teacher.pth")
    save_model(create_model("videomamba", weights=weights, **golden.config["teacher"]), tmp_path)
    teacher = load_teacher("videomamba", str(tmp_path), config(num_frames=None))
    found = teacher(golden.io["input"]).tokens_BLC
    assert relative(found, golden.io["teacher.features"]) < FORWARD


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ({}, {}),
        ({"patch_size": 8, "img_size": 48}, {}),
        ({"num_frames": 16}, {}),
        ({"num_frames": None}, {}),
        ({}, {"tubelet_size": 2, "num_frames": 9}),
        ({"tubelet_size": 2, "num_frames": 8}, {"tubelet_size": 3, "num_frames": 7}),
        ({}, {"img_size": 40}),
    ],
    ids=str,
)
def test_as_many_tokens_as_the_student(
    teacher: dict[str, Any], student: dict[str, Any], tmp_path: Path
) -> None:
    wanted = config(**student)
    loaded = load_teacher("videomamba", save_teacher(tmp_path, **teacher), wanted)
    view = loaded(clips(2, wanted.num_frames or 1, wanted.img_size))
    assert view.tokens_BLC.shape == (2, wanted.num_tokens, 16)
    torch.testing.assert_close(view.tokens_BLC.norm(dim=-1), torch.ones(view.tokens_BLC.shape[:2]))


def test_a_tubelets_middle_frame_is_seen(tmp_path: Path) -> None:
    """As an image filter, inflated into a tubelet, sees it: frame t // 2."""
    folder = save_teacher(tmp_path)
    teacher = load_teacher("videomamba", folder, config(tubelet_size=3, num_frames=12))
    video = clips(frames=12)
    plain = create_model("videomamba", weights=folder)
    expected = F.normalize(plain.forward_tokens(video[:, :, [1, 4, 7, 10]]), dim=-1)
    torch.testing.assert_close(teacher(video).tokens_BLC, expected)


def test_a_teacher_learns_nothing(tmp_path: Path) -> None:
    teacher = load_teacher("videomamba", save_teacher(tmp_path), config())
    parent = torch.nn.ModuleList([teacher]).train()
    assert parent.training and not any(module.training for module in teacher.modules())
    video = clips().requires_grad_()
    assert not teacher(video).tokens_BLC.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize("network", ["ViTModel", "DeiTModel", "SiglipVisionModel"])
def test_a_vit_sees_its_own_normalisation(network: str, tmp_path: Path) -> None:
    """Against the library on raw pixels; class token first, the mean over frames."""
    save_vit(tmp_path, network, image_size=16)
    teacher = load_teacher(f"vit:{tmp_path}", None, config(tubelet_size=2, num_frames=4))
    pixels = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    ours = (torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))
    mean, std = (values.view(3, 1, 1, 1) for values in ours)
    found = teacher((pixels - mean) / std).tokens_BLC

    own_mean, own_std = (torch.tensor(PIXELS[k]).view(3, 1, 1) for k in ("image_mean", "image_std"))
    model = load_vit(str(tmp_path), 16)
    rows = []
    for clip in pixels:
        frames = [clip[:, 1], clip[:, 3]]
        small = [
            F.interpolate(f[None], (16, 16), mode="bicubic", antialias=True)[0] for f in frames
        ]
        with torch.no_grad():
            tokens, _ = model(torch.stack([(f - own_mean) / own_std for f in small]))
        patches = tokens[:, model.info.leading :]
        first = tokens[:, 0] if model.info.has_class_token else patches.mean(1)
        rows.append(torch.cat([first.mean(0, keepdim=True), *patches]))
    torch.testing.assert_close(found, F.normalize(torch.stack(rows), dim=-1), rtol=1e-4, atol=1e-5)


def test_attention_of_each_frame(tmp_path: Path) -> None:
    save_vit(tmp_path, patch_size=16, image_size=32)
    teacher = load_teacher(f"vit:{tmp_path}", None, config(), attends=True)
    video = clips()
    importance = teacher(video).importance_BTP
    assert importance is not None and importance.shape == (2, 4, 4)
    again = teacher(video.roll(1, dims=2)).importance_BTP
    assert again is not None
    torch.testing.assert_close(again, importance.roll(1, dims=1))


def test_teachers_that_cannot_be(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path, tubelet_size=2)
    with pytest.raises(JobError, match="tubelets of 2 frames, longer than the student's of 1"):
        load_teacher("videomamba", folder, config())
    with pytest.raises(JobError, match="attention needs a teacher with attention"):
        load_teacher("videomamba", folder, config(tubelet_size=2), attends=True)
    with pytest.raises(JobError, match="needs trained weights"):
        load_teacher("videomamba_tiny", None, config())
