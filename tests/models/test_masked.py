"""Masked pre-training equals the official code, and fine-tuning takes over its trunk."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.conftest import SMALL, Golden
from tests.models.test_golden import FORWARD, relative
from vfeat.errors import JobError
from vfeat.models import create_model, save_model
from vfeat.models.factory import create_masked
from vfeat.models.masked import MaskedVideoMamba, sinusoids, visible

WIDTH = 24
TOKENS = 1 + 4 * 4


def load(golden: Golden) -> MaskedVideoMamba:
    """Our model of the official constructor's arguments."""
    config = dict(golden.config)
    layers = config.pop("clip_return_layer"), config.pop("clip_student_return_interval")
    assert config.pop("clip_decoder_embed_dim") == config["embed_dim"]
    return create_masked(
        "videomamba",
        config.pop("clip_output_dim"),
        return_layers=layers[0],
        return_interval=layers[1],
        weights=golden.weights,
        **config,
    )


def fresh(**layers: Any) -> MaskedVideoMamba:
    return create_masked("videomamba", WIDTH, weights="random", **SMALL, **layers)


def clip() -> torch.Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


def mask(hidden: int = 10) -> torch.Tensor:
    """Another choice for each of two clips; the class token is always seen."""
    generator = torch.Generator().manual_seed(1)
    mask_BL = torch.zeros(2, TOKENS, dtype=torch.bool)
    for row in mask_BL:
        row[1 + torch.randperm(TOKENS - 1, generator=generator)[:hidden]] = True
    return mask_BL


def test_the_official_features(kernel: str) -> None:
    golden = Golden.read("mask_pretrain")
    found = load(golden)(golden.io["input"], golden.io["mask"].bool())
    assert relative(found, golden.io["clip_features"]) < FORWARD


def test_names_are_the_official_ones() -> None:
    golden = Golden.read("mask_pretrain")
    published = torch.load(golden.weights, weights_only=True)["model"]
    assert load(golden).state_dict().keys() == published.keys()


def test_both_kernels_have_the_same_gradients(
    library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odd numbers of tokens included; the official data has outputs only."""
    gradients = []
    for kernel in ("torch", "cpu"):
        monkeypatch.setenv("VFEAT_KERNEL", kernel)
        model = fresh(return_layers=2, last_layer="normalised")
        weight = torch.randn(WIDTH, generator=torch.Generator().manual_seed(2))
        (model(clip(), mask(hidden=8)) * weight).sum().backward()
        gradients.append({k: p.grad for k, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        found = gradients[1][name]
        assert found is not None and expected is not None and found.any(), name
        assert relative(found, expected) < 1e-4, name


def test_hidden_pixels_are_never_seen() -> None:
    model, mask_BL, video = fresh(), mask(), clip()
    changed = video.clone()
    for row, hidden in zip(changed, mask_BL[:, 1:], strict=True):
        for token in hidden.nonzero().flatten().tolist():
            time, place = divmod(token, 4)
            top, left = 16 * (place // 2), 16 * (place % 2)
            row[:, time, top : top + 16, left : left + 16] = 9.0
    assert not torch.equal(changed, video)
    assert torch.equal(model(changed, mask_BL), model(video, mask_BL))


def test_with_nothing_hidden_the_last_layer_is_that_of_the_plain_model(tmp_path: Path) -> None:
    model = fresh(last_layer="normalised")
    save_model(model, tmp_path)
    plain = create_model("videomamba", weights=str(tmp_path))
    tokens_BLD = plain.forward_tokens(clip()) + sinusoids(TOKENS, SMALL["embed_dim"])
    expected = model.clip_decoder[0](tokens_BLD)[None]
    nothing = torch.zeros(2, TOKENS, dtype=torch.bool)
    torch.testing.assert_close(model(clip(), nothing), expected, rtol=1e-5, atol=1e-5)


def test_the_official_last_layer_teaches_its_block_nothing() -> None:
    for last_layer, learns in (("entering", False), ("normalised", True)):
        model = fresh(last_layer=last_layer)
        model(clip(), mask())[..., 0].sum().backward()
        gradients = [p.grad for p in (*model.layers[-1].mixer.parameters(), model.norm.weight)]
        assert all((g is not None and bool(g.any())) == learns for g in gradients), last_layer


@pytest.mark.parametrize("last_layer", ["entering", "normalised"])
def test_earlier_layers_come_first(last_layer: str) -> None:
    both, last = (fresh(return_layers=n, last_layer=last_layer) for n in (2, 1))
    last.load_state_dict(both.state_dict(), strict=False)
    last.clip_decoder[0] = both.clip_decoder[1]
    assert torch.equal(both(clip(), mask())[1], last(clip(), mask())[0])


def test_sinusoids_alternate() -> None:
    table = sinusoids(5, 4)
    for place, row in enumerate(table.tolist()):
        slow = place / 10000 ** (2 / 4)
        expected = [math.sin(place), math.cos(place), math.sin(slow), math.cos(slow)]
        assert row == pytest.approx(expected, abs=1e-6)


def test_fine_tuning_drops_the_decoders(tmp_path: Path) -> None:
    pretrained = fresh(return_layers=2)
    save_model(pretrained, tmp_path)
    with pytest.warns(UserWarning, match="has no head"):
        model = create_model("videomamba", weights=str(tmp_path), num_classes=7)
    state = pretrained.state_dict()
    assert torch.equal(model.norm_f.weight, state["norm.weight"])
    assert model.head.weight.shape == (7, SMALL["embed_dim"])
    for key in ("pos_embed", "temporal_pos_embedding", "layers.1.mixer.in_proj.weight"):
        assert torch.equal(model.state_dict()[key], state[key])


def test_fine_tuning_takes_an_official_pre_training() -> None:
    golden = Golden.read("mask_pretrain")
    shape = {k: v for k, v in golden.config.items() if not k.startswith("clip_")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = create_model("videomamba", weights=golden.weights, num_classes=0, **shape)
    published = torch.load(golden.weights, weights_only=True)["model"]
    assert torch.equal(model.norm_f.weight, published["norm.weight"])
    assert torch.equal(model.layers[2].mixer.A_b_log, published["layers.2.mixer.A_b_log"])


def test_without_a_head_nothing_needs_a_warning(tmp_path: Path) -> None:
    save_model(fresh(), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert create_model("videomamba", weights=str(tmp_path)).config.num_classes == 0


def test_pre_training_may_start_from_a_plain_model(tmp_path: Path) -> None:
    plain = create_model("videomamba", weights="random", **SMALL)
    save_model(plain, tmp_path)
    model = create_masked("videomamba", WIDTH, weights=str(tmp_path))
    assert torch.equal(model.norm.weight, plain.norm_f.weight)
    assert torch.equal(model.layers[1].mixer.D, plain.layers[1].mixer.D)
    assert not any(key.startswith("head.") for key in model.state_dict())


@pytest.mark.parametrize("layers", [{"return_layers": 3}, {"return_layers": 0}])
def test_more_layers_than_there_are(layers: dict[str, int]) -> None:
    with pytest.raises(JobError, match="depth 2 cannot return"):
        fresh(**layers)


def test_visible_tokens_have_no_columns_to_scan() -> None:
    with pytest.raises(JobError, match="leave temporal_every at 0"):
        create_masked("videomamba", WIDTH, weights="random", **SMALL, temporal_every=2)


def test_a_mask_of_another_shape() -> None:
    with pytest.raises(JobError, match=r"\(2, 17\) is wanted.*\(2, 16\)"):
        fresh()(clip(), mask()[:, 1:])


def test_rows_with_unequal_masks() -> None:
    mask_BL = mask()
    mask_BL[0] = False
    with pytest.raises(JobError, match="7 to 17 visible"):
        visible(torch.randn(2, TOKENS, 8), mask_BL)
