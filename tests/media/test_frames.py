"""Resize, crop and normalise as the official evaluation does."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

from tests.golden_files import golden_folder
from vfeat.errors import UnitError
from vfeat.job.recipe import FrameSpec
from vfeat.media.frames import crops, normalise, prepare, resize, resized_shape

GOLDEN = golden_folder("videomamba/preprocess")
CASES = json.loads((GOLDEN / "cases.json").read_text())
WHOLE = Fraction(1)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return load_file(GOLDEN / "io.safetensors")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['frame']}to{case['size']}")
def test_pixels_are_the_official_ones(case: dict, tensors: dict[str, np.ndarray]) -> None:
    def golden(name: str) -> np.ndarray:
        return tensors[f"{case['case']}.{name}"]

    def near(found: np.ndarray, expected: np.ndarray) -> None:
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1

    size, frame = case["size"], golden("frame")
    shape = resized_shape(*frame.shape[:2], size)
    assert list(shape) == case["resized"]
    near(resize(frame, *shape, "bilinear"), golden("resized"))
    centre = prepare(frame, FrameSpec(size=size), WHOLE, 10**8, "x")
    near(centre, golden("cropped")[None])
    three = prepare(frame, FrameSpec(size=size, crops=3), WHOLE, 10**8, "x")
    near(three, np.stack([golden(f"crop{number}") for number in range(3)]))
    normalised = normalise(golden("cropped"), FrameSpec(size=size)).transpose(2, 0, 1)
    assert np.abs(normalised - golden("normalised")).max() < 1e-5


def test_area_averages_when_shrinking() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize(stripes, 16, 16, "area")
    assert np.abs(small.astype(int) - 128).max() <= 1
    large = resize(stripes, 128, 128, "area")
    assert (large == resize(stripes, 128, 128, "bilinear")).all()


def test_square_pixels_are_a_choice() -> None:
    frame = np.zeros((288, 360, 3), np.uint8)
    assert resized_shape(288, 360, 144) == (144, 180)
    assert resized_shape(288, 360, 144, Fraction(16, 11)) == (144, 261)
    for square in (False, True):
        spec = FrameSpec(size=144, square_pixels=square)
        assert prepare(frame, spec, Fraction(16, 11), 10**8, "x").shape == (1, 144, 144, 3)


def test_crops_of_an_upright_picture_run_down() -> None:
    rows = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 20, axis=1)
    picture = np.repeat(rows, 3, axis=2)
    assert [int(crop[0, 0, 0]) for crop in crops(picture, 20, 3)] == [0, 40, 80]
    assert int(crops(picture, 20, 1)[0, 0, 0, 0]) == 40


def test_a_sliver_that_would_become_a_giant_is_refused() -> None:
    with pytest.raises(UnitError, match="448000x224") as caught:
        prepare(np.zeros((2, 4000, 3), np.uint8), FrameSpec(), WHOLE, 10**7, "sliver.mp4")
    assert caught.value.error_class == "too_large"


@pytest.mark.parametrize("shape", [(480, 640), (90, 30), (224, 224), (50, 400)])
def test_squashed_pictures_are_those_of_torch(shape: tuple[int, int]) -> None:
    """The official multi-modal code resizes with torch's bicubic filter, without antialiasing."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (8, 8, 3), np.uint8)
    frame = resize(coarse, *shape, "bilinear")
    found = prepare(frame, FrameSpec(resize="bicubic", fit="squash"), WHOLE, 10**6, "x")
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    expected = F.interpolate(pixels, (224, 224), mode="bicubic", align_corners=False)
    expected = expected.clamp(0, 255).round()[0].permute(1, 2, 0)
    assert found.shape == (1, 224, 224, 3)
    assert np.abs(found[0].astype(int) - expected.numpy().astype(int)).max() <= 1


def test_a_sliver_is_squashed_like_any_other() -> None:
    spec = FrameSpec(fit="squash")
    assert prepare(np.zeros((2, 4000, 3), np.uint8), spec, WHOLE, 10**6, "x").shape[1] == 224
