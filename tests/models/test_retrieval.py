"""The dual encoder equals the official code, reads its checkpoints, and can be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.conftest import Golden
from tests.models.retrieval_models import SMALL_MM, official_options, video_options
from tests.models.test_golden import FORWARD, relative
from vfeat.errors import JobError
from vfeat.models.adapt import fit_state
from vfeat.models.checkpoint import load_checkpoint, save_model
from vfeat.models.factory import create_masked, create_model
from vfeat.models.retrieval.config import RetrievalConfig
from vfeat.models.retrieval.factory import create_retrieval
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.retrieval.video import VideoSide
from vfeat.models.videomamba_config import MODELS, num_parameters, resolve_config

POSITIONS = "text_encoder.bert.embeddings.position_ids"


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden.read("multimodal_retrieval")


def load(golden: Golden, weights: str | None = None) -> Retrieval:
    """The official model in ours, in evaluation mode."""
    options = official_options(golden)
    return create_retrieval("videomamba_mm", weights=weights or golden.weights, **options).eval()


@pytest.fixture(scope="module")
def official(golden: Golden) -> Retrieval:
    return load(golden)


def tokens(golden: Golden) -> tuple[Tensor, Tensor]:
    return golden.io["input_ids"], golden.io["attention_mask"]


@torch.no_grad()
def test_the_official_embeddings(golden: Golden, official: Retrieval, kernel: str) -> None:
    """Found on this code: 2e-7 for tokens, vectors and their dot products."""
    video = official.vision_encoder.encode(golden.io["input"])
    assert relative(video.tokens_BND, golden.io["vision.tokens"]) < FORWARD
    assert relative(video.pooled_BTD, golden.io["vision.pooled"]) < FORWARD
    text = official.embed_text(*tokens(golden))
    assert relative(text.tokens_BWH, golden.io["text.tokens"]) < FORWARD
    assert relative(text.embedding_BP, golden.io["text.embedding"]) < FORWARD
    near = official.embed_video(golden.io["input"]).embedding_BP @ text.embedding_BP.T
    assert relative(near / official.temp, golden.io["similarity"]) < FORWARD
    assert relative(near, golden.io["vision.embedding"].mean(1) @ text.embedding_BP.T) < FORWARD


@torch.no_grad()
def test_the_official_matching(golden: Golden, official: Retrieval) -> None:
    """Found on this code: 8e-8 over every pair."""
    ids, mask = tokens(golden)
    video, text = official.embed_video(golden.io["input"]), official.embed_text(ids, mask)
    rows = []
    for video_ND in video.tokens_BND:
        pairs_BND = video_ND.expand(len(ids), -1, -1)
        rows.append(official.match(pairs_BND, text.tokens_BWH, mask).softmax(-1)[:, 1])
    assert relative(torch.stack(rows), golden.io["match_probability"]) < FORWARD


@torch.no_grad()
def test_the_official_video_side() -> None:
    """Whole clips, masked clips with the teacher's tokens, and images."""
    golden = Golden.read("multimodal_vision")
    config = resolve_config("videomamba_mm", video_options(golden.config))
    assert isinstance(config, RetrievalConfig)
    side = VideoSide(config).eval()
    shapes = {key: tensor.shape for key, tensor in side.state_dict().items()}
    side.load_state_dict(fit_state("golden", load_checkpoint(golden.weights).state, shapes))
    io = golden.io
    by_step, whole = side.encode(io["input"]), side.encode(io["input"], by_step=False)
    assert relative(by_step.tokens_BND, io["tokens"]) < FORWARD
    assert relative(by_step.pooled_BTD, io["pooled_temporal"]) < FORWARD
    assert relative(whole.pooled_BTD, io["pooled"]) < FORWARD
    masked = side.encode(io["input"], io["mask"].bool())
    assert masked.aligned_YBLC is not None
    assert relative(masked.tokens_BND, io["masked.tokens"]) < FORWARD
    assert relative(masked.pooled_BTD, io["masked.pooled"]) < FORWARD
    assert relative(masked.aligned_YBLC, io["masked.clip_features"]) < FORWARD
    image = side.encode(io["input"][:, :, :1])
    assert relative(image.tokens_BND, io["image.tokens"]) < FORWARD
    assert relative(image.pooled_BTD, io["image.pooled"]) < FORWARD


def test_names_are_the_official_ones(golden: Golden, official: Retrieval) -> None:
    published = torch.load(golden.weights, weights_only=True)["model"]
    assert official.state_dict().keys() | {POSITIONS} == published.keys()
    for key, tensor in official.state_dict().items():
        assert torch.equal(tensor, published[key]), key


def pretrained(state: dict[str, Any]) -> dict[str, Any]:
    """As pre-training leaves it: the teacher beside the model."""
    teacher = {"clip_teacher.visual.conv1.weight": torch.ones(4, 3, 1, 2, 2)}
    return {"module": {**state, **teacher}, "epoch": 9}


def fine_tuned(state: dict[str, Any]) -> dict[str, Any]:
    """As fine-tuning leaves it: no head for hidden words, and no `bert.` in the names."""
    kept = {k: v for k, v in state.items() if ".cls." not in k and k != POSITIONS}
    return {"model": {k.replace("text_encoder.bert.", "text_encoder."): v for k, v in kept.items()}}


@pytest.mark.parametrize("wrap", [pretrained, fine_tuned])
@torch.no_grad()
def test_published_forms_are_read(
    golden: Golden, official: Retrieval, tmp_path: Path, wrap: Any
) -> None:
    state = torch.load(golden.weights, weights_only=True)["model"]
    torch.save(wrap(state), tmp_path / "other.pth")
    found = load(golden, str(tmp_path / "other.pth"))
    ids, mask = tokens(golden)
    text, expected = found.embed_text(ids, mask), official.embed_text(ids, mask)
    assert torch.equal(text.embedding_BP, expected.embedding_BP)
    video = golden.io["input"]
    assert torch.equal(
        found.embed_video(video).embedding_BP, official.embed_video(video).embedding_BP
    )


def test_other_sizes_are_refused(golden: Golden) -> None:
    options = {**official_options(golden), "text_depth": 3, "vocabulary": 301}
    with pytest.raises(JobError, match=r"do not fit the model.*\n.*word_embeddings"):
        create_retrieval("videomamba_mm", weights=golden.weights, **options)
    for wrong, words in (
        ({"fusion_layer": 4}, "fusion_layer 4 leaves none"),
        ({"text_heads": 3}, "no multiple of text_heads"),
        ({"num_classes": 5}, "leave out num_classes"),
        ({"text_size": 3}, "no option 'text_size'"),
    ):
        with pytest.raises(JobError, match=words):
            create_retrieval("videomamba_mm", **{**official_options(golden), **wrong})
    with pytest.raises(JobError, match="has no text side"):
        create_retrieval("videomamba_tiny")


def test_the_published_sizes() -> None:
    """BERT-base and VideoMamba-M, and a count of parameters that equals the network's."""
    config = MODELS["videomamba_middle_mm"].config
    with torch.device("meta"):
        model = Retrieval(config)  # type: ignore[arg-type]
    state = model.state_dict()
    assert state["text_encoder.bert.encoder.layer.9.crossattention.self.key.weight"].shape == (
        768, 576,
    )  # fmt: skip
    assert "text_encoder.bert.encoder.layer.8.crossattention.self.key.weight" not in state
    assert state["vision_proj.weight"].shape == (512, 576)
    assert sum(p.numel() for p in model.parameters()) == num_parameters(config)


def test_padding_changes_nothing(official: Retrieval, golden: Golden) -> None:
    ids, mask = (one[:1] for one in tokens(golden))
    length = int(mask.sum())
    longer = (
        torch.nn.functional.pad(ids[:, :length], (0, 5), value=7),
        torch.nn.functional.pad(mask[:, :length], (0, 5)),
    )
    with torch.no_grad():
        short = official.embed_text(ids[:, :length], mask[:, :length]).embedding_BP
        assert torch.allclose(official.embed_text(*longer).embedding_BP, short, atol=1e-6)


def test_every_part_has_a_gradient() -> None:
    model = create_retrieval("videomamba_mm", weights="random", **SMALL_MM)
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(2, 3, 4, 32, 32, generator=generator)
    ids = torch.randint(300, (2, 12), generator=generator)
    mask = torch.ones_like(ids)
    hidden = torch.zeros(2, 17, dtype=torch.bool)
    hidden[:, 5:9] = True
    seen, text = model.embed_video(video, hidden), model.embed_text(ids, mask)
    assert seen.aligned_YBLC is not None
    near = seen.embedding_BP @ text.embedding_BP.T / model.temp
    matched = model.match(seen.tokens_BND, text.tokens_BWH, mask)
    words = model.predict_words(seen.tokens_BND, text.tokens_BWH, mask)
    loss = near.exp().sum() + matched.square().sum() + words.square().mean()
    (loss + seen.aligned_YBLC[..., 0].sum()).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing
    with torch.no_grad():
        model.temp.fill_(3.0)
        model.clamp_temperature()
    assert float(model.temp.detach()) == 0.5


def test_a_saved_model_comes_back(tmp_path: Path) -> None:
    model = create_retrieval("videomamba_mm", weights="random", **SMALL_MM)
    save_model(model, tmp_path)
    again = create_retrieval("videomamba_mm", weights=str(tmp_path))
    assert again.config == model.config
    for key, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_it_is_no_classifier() -> None:
    with pytest.raises(JobError, match=r"create_retrieval"):
        create_model("videomamba_middle_mm", weights="random")
    with pytest.raises(JobError, match=r"create_retrieval"):
        create_masked("videomamba_mm", 24)
