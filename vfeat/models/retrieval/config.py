"""Sizes of a dual encoder of words and video; imports no torch.

Source of the default sizes: the official `video_mm` configurations (VideoMamba-M, BERT-base).
"""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.errors import JobError
from vfeat.models.videomamba_shape import VideoMambaConfig


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig(VideoMambaConfig):
    """Configuration of a dual encoder: the video side's sizes, the text side's, what joins them.

    Attributes:
        joint_dim: width of the embeddings of both sides.
        text_dim: width of a word's vector in the text side.
        text_depth: layers of the text side.
        text_heads: attention heads of a layer; they divide `text_dim`.
        text_hidden: width inside of a layer's feed-forward part.
        fusion_layer: first layer with cross attention to the video's tokens; the layers before it
            encode sentences alone.
        vocabulary: tokens that the text side has a vector for.
        text_positions: longest sentence, tokens.
        sentence_tokens: tokens that a sentence is cut or padded to.
        output_dim: width of the tokens of the teacher of masked pre-training.
        return_layers, return_interval: layers compared with that teacher; see `MaskedConfig`.
    """

    num_classes: int = 0
    joint_dim: int = 512
    text_dim: int = 768
    text_depth: int = 12
    text_heads: int = 12
    text_hidden: int = 3072
    fusion_layer: int = 9
    vocabulary: int = 30522
    text_positions: int = 512
    sentence_tokens: int = 32
    output_dim: int = 512
    return_layers: int = 1
    return_interval: int = 1

    def check(self, name: str) -> None:
        """Refuse sizes that do not go together.

        Args:
            name: name of the model, for messages.

        Raises:
            JobError: naming the sizes.
        """
        if self.num_classes:
            raise JobError(f"Model {name} has no classification head: leave out num_classes")
        if self.num_frames is None:
            raise JobError(f"Model {name} takes video: num_frames is a whole number of at least 1")
        if self.text_dim % self.text_heads:
            raise JobError(
                f"Model {name}: text_dim {self.text_dim} is no multiple of text_heads "
                f"{self.text_heads}"
            )
        if self.fusion_layer >= self.text_depth:
            raise JobError(
                f"Model {name}: fusion_layer {self.fusion_layer} leaves none of the "
                f"{self.text_depth} text layers (text_depth) for cross attention; give less"
            )
        if self.sentence_tokens > self.text_positions:
            raise JobError(
                f"Model {name}: sentences of {self.sentence_tokens} tokens (sentence_tokens) are "
                f"longer than the {self.text_positions} positions (text_positions)"
            )
        if self.temporal_every:
            raise JobError(f"Model {name} scans over space first: leave temporal_every at 0")


def text_parameters(config: RetrievalConfig) -> int:
    """Count the parameters of everything but the video side's trunk."""
    H, D, P, V = config.text_dim, config.embed_dim, config.joint_dim, config.vocabulary
    attention = 4 * (H + 1) * H + 2 * H
    cross = 2 * (H + 1) * H + 2 * (D + 1) * H + 2 * H
    forward = 2 * H * config.text_hidden + config.text_hidden + 3 * H
    layers = config.text_depth * (attention + forward)
    layers += (config.text_depth - config.fusion_layer) * cross
    embeddings = (V + config.text_positions + 2) * H + 2 * H
    words = (H + 1) * H + 2 * H + V  # the last projection shares the embeddings' weights
    joint = (D + 1) * P + (H + 1) * P + 2 * (H + 1) + 1
    aligned = config.return_layers * ((D + 1) * config.output_dim + 2 * config.output_dim)
    return embeddings + layers + words + joint + aligned + 2 * D
