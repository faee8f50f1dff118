"""What holds for the network whatever its weights: dtypes, shapes, batches."""

from __future__ import annotations

import pytest
import torch

from tests.models.conftest import SMALL
from vfeat.errors import JobError
from vfeat.models import VideoMamba, create_model
from vfeat.models.videomamba_config import VideoMambaConfig

VIDEO = (2, 3, 4, 32, 32)


def video(*shape: int) -> torch.Tensor:
    """The same pixels in every run."""
    return torch.randn(shape or VIDEO, generator=torch.Generator().manual_seed(0))


def test_logits_are_the_head_on_the_class_token(small: VideoMamba) -> None:
    features = small.forward_features(video())
    assert torch.equal(small(video()), small.head(features))
    assert torch.equal(small.forward_tokens(video())[:, 0], features)


def test_a_clip_does_not_see_its_batch(small: VideoMamba) -> None:
    with torch.no_grad():
        together = small.forward_features(video())
        alone = torch.cat([small.forward_features(clip[None]) for clip in video()])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_no_clips_no_rows(small: VideoMamba) -> None:
    assert small(torch.zeros(0, 3, 4, 32, 32)).shape == (0, 5)


def test_bfloat16_autocast_stays_close(small: VideoMamba) -> None:
    with torch.no_grad():
        exact = small.forward_features(video())
        with torch.autocast("cpu", torch.bfloat16):
            found = small.forward_features(video())
    assert found.dtype == torch.float32  # the stream and the norm are never narrower
    assert float((found - exact).norm() / exact.norm()) < 1e-2


def test_bfloat16_weights_stay_close(small: VideoMamba) -> None:
    narrow = create_model("videomamba", weights="random", **SMALL).bfloat16()
    with torch.no_grad():
        exact, found = small.forward_features(video()), narrow.forward_features(video().bfloat16())
    assert found.dtype == torch.bfloat16
    assert float((found.float() - exact).norm() / exact.norm()) < 2e-2


def test_float64_is_float64_throughout(small: VideoMamba) -> None:
    wide = create_model("videomamba", weights="random", **SMALL).double()
    with torch.no_grad():
        found = wide(video().double())
        torch.testing.assert_close(found.float(), small(video()), rtol=1e-4, atol=1e-6)
    assert found.dtype == torch.float64


def test_training_reaches_every_parameter() -> None:
    model = create_model("videomamba", weights="random", **SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        # All tokens: the class token alone has no forward past in the last block.
        loss = model(video()).float().square().sum() + model.forward_tokens(video()).sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.any(), name


def test_tubelets_span_frames() -> None:
    model = create_model("videomamba", weights="random", **SMALL | {"tubelet_size": 2})
    assert model.forward_tokens(video()).shape == (2, 1 + 2 * 4, 32)


def test_temporal_first_is_the_same_network_over_tokens_in_another_order() -> None:
    spatial = create_model("videomamba", weights="random", **SMALL)
    temporal = create_model("videomamba", weights="random", **SMALL, temporal_every=1)
    assert temporal.state_dict().keys() == spatial.state_dict().keys()
    tokens = spatial.embed(video())
    steps, patches = SMALL["num_frames"], (tokens.shape[1] - 1) // SMALL["num_frames"]
    order = [0, *(1 + step * patches + patch for patch in range(patches) for step in range(steps))]
    with torch.no_grad():
        *_, (hidden, residual) = spatial.blocks(tokens[:, order])
        expected, _ = spatial.norm_f(hidden, residual)
        found = temporal.forward_tokens(video())
    torch.testing.assert_close(found[:, order], expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, spatial.forward_tokens(video()), rtol=1e-2)


def test_every_second_block_scans_over_time_first() -> None:
    config = VideoMambaConfig(depth=5, num_frames=8, temporal_every=2)
    assert [config.temporal_first(index) for index in range(5)] == [False, True] * 2 + [False]
    assert not any(VideoMambaConfig().temporal_first(index) for index in range(24))


def test_without_classes_the_model_gives_features() -> None:
    model = create_model("videomamba", weights="random", **SMALL | {"num_classes": 0})
    assert torch.equal(model(video()), model.forward_features(video()))


@pytest.mark.parametrize("shape", [(1, 3, 8, 32, 32), (1, 3, 4, 32, 48), (1, 3, 32, 32)], ids=str)
def test_a_wrong_input_names_both_shapes(small: VideoMamba, shape: tuple[int, ...]) -> None:
    with pytest.raises(JobError) as caught:
        small(torch.zeros(shape))
    assert "(batch, 3, 4, 32, 32)" in str(caught.value) and str(shape) in str(caught.value)


def test_time_steps_start_between_a_thousandth_and_a_tenth(small: VideoMamba) -> None:
    for mixer in (block.mixer for block in small.layers):
        for bias in (mixer.dt_proj.bias, mixer.dt_proj_b.bias):
            step = torch.nn.functional.softplus(bias)
            assert step.min() > 0.0009 and step.max() < 0.11
