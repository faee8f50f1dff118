"""The model equals the official code: outputs, blocks, gradients, embeddings, names."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from tests.golden_files import golden_folder
from tests.models.conftest import Golden
from vfeat.models import VideoMamba, create_model

FORWARD, GRADIENT = 1e-4, 1e-3


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value; 0 where both are all zero.

    The last block's forward A has no gradient: the class token stands first, and the
    forward scan has no past there.
    """
    assert found.shape == expected.shape
    difference = float((found - expected).detach().abs().max())
    return difference / float(expected.abs().max()) if difference else 0.0


@pytest.fixture(scope="module")
def classify() -> Golden:
    return Golden.read("classify")


@pytest.fixture
def model(classify: Golden) -> VideoMamba:
    return classify.model(classify.config)


def test_features_and_logits(classify: Golden, model: VideoMamba) -> None:
    video = classify.io["input"]
    with torch.no_grad():
        assert relative(model(video), classify.io["logits"]) < FORWARD
        assert relative(model.forward_features(video), classify.io["features"]) < FORWARD
        tokens = model.forward_tokens(video)
    assert tokens.shape == (len(video), model.config.num_tokens, model.config.embed_dim)
    assert relative(tokens[:, 0], classify.io["features"]) < FORWARD


def test_first_block(classify: Golden, model: VideoMamba) -> None:
    with torch.no_grad():
        tokens = model.embed(classify.io["input"])
        hidden, residual = model.layers[0](classify.io["block0.input"])
    assert relative(tokens, classify.io["block0.input"]) < FORWARD
    assert relative(hidden, classify.io["block0.output"]) < FORWARD
    assert torch.equal(residual, classify.io["block0.input"])


def test_every_gradient(classify: Golden, model: VideoMamba) -> None:
    video = classify.io["input"].clone().requires_grad_()
    model(video).square().sum().backward()
    found = {"input": video.grad, **{k: p.grad for k, p in model.named_parameters()}}
    expected = {k.removeprefix("grad."): t for k, t in classify.io.items() if k.startswith("grad.")}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient is not None
        assert relative(gradient, expected[name]) < GRADIENT, name


def test_another_resolution_and_length() -> None:
    golden = Golden.read("resize")
    model = golden.model(golden.config["model"])
    with torch.no_grad():
        for name in ("pos_embed", "temporal_pos_embedding"):
            assert relative(getattr(model, name), golden.io[name]) < FORWARD
        assert relative(model.forward_features(golden.io["input"]), golden.io["features"]) < FORWARD
        assert relative(model(golden.io["input"]), golden.io["logits"]) < FORWARD


def test_an_image_checkpoint_becomes_a_video_model() -> None:
    golden = Golden.read("inflate")
    model = golden.model(golden.config["video"])
    with torch.no_grad():
        assert torch.equal(model.patch_embed.proj.weight, golden.io["patch_embed.proj.weight"])
        assert torch.equal(model.temporal_pos_embedding, golden.io["temporal_pos_embedding"])
        assert relative(model.forward_features(golden.io["input"]), golden.io["features"]) < FORWARD


def test_inflation_puts_the_filter_at_the_centre() -> None:
    golden = Golden.read("inflate")
    model = golden.model({**golden.config["video"], "num_frames": 6, "kernel_size": 3})
    weight = model.patch_embed.proj.weight
    image = Golden.read("image").model(Golden.read("image").config).patch_embed.proj.weight
    assert weight.shape[2] == 3 and not weight[:, :, ::2].any() and weight[:, :, 1].any()
    assert weight[:, :, 1].shape == image.shape


def test_image_classification() -> None:
    golden = Golden.read("image")
    model, image = golden.model(golden.config), golden.io["input"]
    as_video = golden.model({**golden.config, "num_frames": 1})
    with torch.no_grad():
        assert relative(model(image), golden.io["logits"]) < FORWARD
        assert relative(model(image[:, :, None]), golden.io["logits"]) < FORWARD
        assert relative(as_video(image[:, :, None]), golden.io["logits"]) < FORWARD


@pytest.mark.parametrize("name", ["videomamba_tiny", "videomamba_small", "videomamba_middle"])
def test_published_names_and_shapes(name: str) -> None:
    published = json.loads((golden_folder("videomamba") / "state_dict_shapes.json").read_text())[
        name
    ]
    with torch.device("meta"):
        model = create_model(name)
    assert {k: list(t.shape) for k, t in model.state_dict().items()} == published
