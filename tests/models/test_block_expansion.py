"""A deeper network computes what the shallower one did, and its new blocks learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vfeat.errors import JobError
from vfeat.models import VideoMamba, create_model
from vfeat.models.block_expansion import expand_blocks
from vfeat.models.checkpoint import save_model

CONFIG = {"embed_dim": 32, "img_size": 32, "num_frames": 4, "num_classes": 5}


def model_of(depth: int, temporal_every: int = 0) -> VideoMamba:
    torch.manual_seed(3)
    return create_model("videomamba", depth=depth, temporal_every=temporal_every, **CONFIG)


def some_video() -> torch.Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("temporal_every", [0, 1])
@pytest.mark.parametrize(
    ("depth", "count", "new"),
    [(4, 1, [4]), (4, 2, [2, 5]), (5, 2, [2, 6]), (3, 3, [1, 3, 5])],
)
def test_it_computes_the_same(
    depth: int, count: int, new: list[int], temporal_every: int, tmp_path: Path
) -> None:
    model, video = model_of(depth, temporal_every).eval(), some_video()
    with torch.inference_mode():
        before = model.forward_tokens(video)
        expand_blocks(model, count)
        assert torch.equal(model.forward_tokens(video), before)
    silent = [not block.mixer.out_proj.weight.any() for block in model.layers]
    assert [index for index, is_silent in enumerate(silent) if is_silent] == new
    save_model(model, tmp_path)
    loaded = create_model("videomamba", weights=str(tmp_path)).eval()
    assert loaded.config == model.config and loaded.config.depth == depth + count
    with torch.inference_mode():
        assert torch.equal(loaded.forward_tokens(video), before)


def test_new_blocks_learn_and_share_nothing_with_the_old() -> None:
    model = model_of(3)
    expand_blocks(model, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    silent, old = model.layers[3].mixer, model.layers[2].mixer
    for _ in range(2):
        optimizer.zero_grad()
        model(some_video()).square().sum().backward()
        optimizer.step()
    assert silent.out_proj.weight.any(), "from the first step on"
    assert silent.in_proj.weight.grad is not None and silent.in_proj.weight.grad.any()
    assert not torch.equal(silent.in_proj.weight, old.in_proj.weight)


def test_what_cannot_be_made_deeper_is_refused_and_left_alone() -> None:
    model = model_of(2)
    with pytest.raises(JobError, match="new_blocks: 3 are more than the 2 blocks"):
        expand_blocks(model, 3)
    mixed = model_of(4, temporal_every=2)
    with pytest.raises(JobError, match="which of the others scan temporal-first"):
        expand_blocks(mixed, 1)
    assert len(mixed.layers) == mixed.config.depth == 4
