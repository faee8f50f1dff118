"""The recipe: what is decayed, how fast each layer learns, and what the averages are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train.encoder.jobs import TINY, tiny_job
from vfeat.models import create_model
from vfeat.train.encoder.optimizer import (
    averaged,
    is_decayed,
    layer_of,
    learning_rate,
    parameter_groups,
)
from vfeat.train.encoder.trainer import has_bf16, products, regularise

SHAPE = {**TINY["model_options"], "num_frames": 8, "img_size": 48, "num_classes": 3}
DECAYED = {
    "patch_embed.proj.weight", "head.weight", "in_proj.weight", "out_proj.weight",
    "conv1d.weight", "conv1d_b.weight", "x_proj.weight", "x_proj_b.weight", "dt_proj.weight",
    "dt_proj_b.weight",
}  # fmt: skip


def test_only_matrices_and_filters_are_decayed() -> None:
    model = create_model("videomamba", **SHAPE)
    decayed = {name for name, p in model.named_parameters() if is_decayed(name, p)}
    assert {name.split("mixer.")[-1] for name in decayed} == DECAYED


def test_every_parameter_learns_once_at_the_rate_of_its_layer() -> None:
    model = create_model("videomamba", **SHAPE)
    job = tiny_job("clips.csv", Path("out"), layer_decay=0.5, weight_decay=0.1)
    groups = parameter_groups(model, job, depth=2)
    names = {id(p): name for name, p in model.named_parameters()}
    scales = {names[id(p)]: g["scale"] for g in groups for p in g["params"]}
    assert scales.keys() == set(names.values())
    assert {scales[name] for name in ("head.weight", "norm_f.weight")} == {1.0}
    assert {s for n, s in scales.items() if n.startswith("layers.1.")} == {0.5}
    assert {s for n, s in scales.items() if n.startswith("layers.0.")} == {0.25}
    embeddings = ("patch_embed.proj.weight", "cls_token", "pos_embed", "temporal_pos_embedding")
    assert {scales[name] for name in embeddings} == {0.125}
    assert {g["weight_decay"] for g in groups} == {0.0, 0.1}


@pytest.mark.parametrize("prefix", ["", "model.", "module.model."])
def test_layers_are_found_behind_any_wrapper(prefix: str) -> None:
    names = ["pos_embed", "patch_embed.proj.bias", "layers.11.norm.weight", "head.bias"]
    assert [layer_of(prefix + name, 24) for name in names] == [0, 0, 12, 25]


def test_the_rate_rises_and_then_follows_a_cosine() -> None:
    job = tiny_job("x.csv", Path("out"), epochs=10, warmup_epochs=2, lr=1e-2, min_lr=1e-4)
    rates = [learning_rate(job, step, 50) for step in range(500)]
    assert rates[:100] == sorted(rates[:100]) and rates[100:] == sorted(rates[100:], reverse=True)
    assert max(rates) == rates[100] == pytest.approx(1e-2)
    assert rates[0] < 2e-4 and rates[-1] == pytest.approx(1e-4, rel=0.05)
    assert rates[300] == pytest.approx((1e-2 + 1e-4) / 2)


def test_averages_follow_the_weights() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    average, expected = averaged(model, 0.5), None
    for step in range(20):
        with torch.no_grad():
            model.weight += torch.randn(2, 3)
        average.update_parameters(model)
        now = model.weight.detach().clone()
        share = 1 - min(0.5, (1 + step) / (10 + step))
        expected = now if expected is None else torch.lerp(expected, now, share)
        torch.testing.assert_close(average.module.weight.detach(), expected)


def test_drop_path_grows_with_depth_and_is_not_there_in_evaluation() -> None:
    torch.manual_seed(1)
    job = tiny_job("x.csv", Path("out"), drop_path=0.9)
    model = create_model("videomamba", **{**SHAPE, "depth": 4})
    keys, video = set(model.state_dict()), torch.randn(3, 3, 8, 48, 48)
    plain = model.eval()(video)
    assert regularise(model, job) == 4
    assert [block.drop_path for block in model.layers] == pytest.approx([0.0, 0.3, 0.6, 0.9])
    assert set(model.state_dict()) == keys
    torch.testing.assert_close(model.eval()(video), plain, rtol=0, atol=0)
    assert not torch.allclose(model.train()(video), plain)


def test_dropping_keeps_the_mean() -> None:
    from vfeat.models.videomamba import drop_clips

    torch.manual_seed(2)
    hidden_BLD = torch.randn(4000, 2, 3)
    dropped = drop_clips(hidden_BLD, 0.25)
    gone = (dropped == 0).all((1, 2))
    assert float(gone.float().mean()) == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(dropped[~gone], hidden_BLD[~gone] / 0.75)


def test_computing_activations_again_changes_no_gradient() -> None:
    torch.manual_seed(3)
    video = torch.randn(2, 3, 8, 48, 48)
    model = create_model("videomamba", **SHAPE)
    gradients = []
    for again in (False, True):
        regularise(model, tiny_job("x.csv", Path("out"), checkpoint_activations=again))
        model.zero_grad()
        model(video).square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_products_may_be_bfloat16_for_a_step_only() -> None:
    """At most as far from the truth as bfloat16 is; and what was set before is set again."""
    torch.manual_seed(0)
    one, other = torch.randn(1024, 256), torch.randn(256, 512)
    exact, cpu = one.double() @ other.double(), torch.device("cpu")
    scale, settings = float(exact.abs().max()), _settings()
    with products(tiny_job("clips.csv", Path("out"), bf16_products=True), cpu):
        assert float((one @ other - exact).abs().max()) / scale < 1e-2
        assert (_settings() != settings) == has_bf16()
    assert _settings() == settings
    with products(tiny_job("clips.csv", Path("out")), cpu):
        assert _settings() == settings
        assert float((one @ other - exact).abs().max()) / scale < 1e-5


def _settings() -> list[str]:
    found = (getattr(torch.backends.mkldnn, name, None) for name in ("matmul", "conv"))
    return [str(getattr(backend, "fp32_precision", "")) for backend in found]
