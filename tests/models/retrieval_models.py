"""The official dual encoder of the golden data, and small ones."""

from __future__ import annotations

from typing import Any

from tests.models.conftest import Golden

# A small dual encoder: 4 frames of 32 pixels, sentences of at most 12 tokens.
SMALL_MM: dict[str, int] = {
    "img_size": 32, "depth": 2, "embed_dim": 32, "num_frames": 4, "joint_dim": 16,
    "text_dim": 32, "text_depth": 3, "text_heads": 4, "text_hidden": 64, "fusion_layer": 2,
    "vocabulary": 300, "text_positions": 40, "sentence_tokens": 12, "output_dim": 24,
}  # fmt: skip


def video_options(official: dict[str, Any]) -> dict[str, int]:
    """Our options of the official video side's arguments."""
    options = {k: official[k] for k in ("img_size", "patch_size", "depth", "embed_dim")}
    assert official["clip_decoder_embed_dim"] == official["embed_dim"]
    assert official["pool_type"] == "cls+avg"
    return {
        **options,
        "num_frames": official["num_frames"],
        "output_dim": official["clip_output_dim"],
        "return_layers": official["clip_return_layer"],
        "return_interval": official.get("clip_student_return_interval", 1),
    }


def official_options(golden: Golden) -> dict[str, int]:
    """Our options of the golden dual encoder."""
    text = golden.config["text"]
    return {
        **video_options(golden.config["vision"]),
        "joint_dim": golden.config["embed_dim"],
        "text_dim": text["hidden_size"],
        "text_depth": text["num_hidden_layers"],
        "text_heads": text["num_attention_heads"],
        "text_hidden": text["intermediate_size"],
        "fusion_layer": text["fusion_layer"],
        "vocabulary": text["vocab_size"],
        "text_positions": text["max_position_embeddings"],
        "sentence_tokens": golden.io["input_ids"].shape[1],
    }
