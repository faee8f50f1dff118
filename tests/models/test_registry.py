"""Names, options and costs, against the model that is really built."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vfeat.errors import JobError
from vfeat.models import create_model
from vfeat.models.videomamba_config import (
    MODELS,
    clip_gflops,
    has_text_side,
    num_parameters,
    resolve_config,
)
from vfeat.ops.registry import VARIABLE

FRESH = [n for n, info in MODELS.items() if info.weights is None and not has_text_side(n)]


@pytest.mark.parametrize("name", FRESH)
@pytest.mark.parametrize("frames", [0, 8])
def test_parameters_are_counted_right(name: str, frames: int) -> None:
    with torch.device("meta"):
        model = create_model(name, num_frames=frames)
    assert num_parameters(model.config) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("frames", [0, 4])
def test_work_is_that_of_the_matrix_products_and_the_scan(
    frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "torch")  # the counter knows torch's operations
    model = create_model("videomamba", img_size=64, depth=2, embed_dim=64, num_frames=frames)
    c = model.config
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, max(1, frames), 64, 64))
    # The counter knows products, C·h among them, and neither the depthwise
    # convolution nor the rest of the recurrence.
    uncounted = c.num_tokens * c.depth * 2 * c.inner_dim * (2 * c.conv_taps + 6 * c.states)
    assert clip_gflops(c) == pytest.approx((counter.get_total_flops() + uncounted) / 1e9, rel=1e-6)


def test_work_grows_with_frames_and_area() -> None:
    base = clip_gflops("videomamba_tiny")
    assert clip_gflops("videomamba_tiny", num_frames=16) == pytest.approx(2 * base, rel=1e-2)
    assert clip_gflops("videomamba_tiny", size=448) == pytest.approx(4 * base, rel=1e-2)


def test_presets_are_video_models_and_no_frames_means_images() -> None:
    assert (resolve_config("videomamba_tiny", {}).num_frames) == 8
    assert (resolve_config("videomamba_tiny", {}).num_classes) == 400
    image = resolve_config("videomamba_tiny", {"num_frames": 0})
    assert (image.num_frames, image.num_classes, image.num_tokens) == (None, 1000, 197)


def test_published_lengths() -> None:
    for frames, tokens in ((8, 1569), (16, 3137), (64, 12545)):
        assert resolve_config("videomamba_tiny", {"num_frames": frames}).num_tokens == tokens


@pytest.mark.parametrize(("typed", "meant"), [("videomamba_tny", "videomamba_tiny"), ("x", "base")])
def test_an_unknown_name_offers_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(JobError, match=f"no model '{typed}'.*{meant}"):
        create_model(typed)


def test_an_unknown_option_offers_the_nearest() -> None:
    with pytest.raises(JobError, match=r"no option 'num_frame'.*num_frames"):
        create_model("videomamba", num_frame=8)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"depth": 0}, "depth is a whole number of at least 1, not 0"),
        ({"embed_dim": "big"}, "embed_dim is a whole number"),
        ({"num_classes": -1}, "num_classes is a whole number of at least 0"),
        ({"temporal_every": -1}, "temporal_every is a whole number of at least 0"),
        ({"img_size": 8}, "smaller than one patch"),
        ({"num_frames": 2, "tubelet_size": 4}, "less than one tubelet"),
    ],
)
def test_values_that_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        create_model("videomamba", **config)
