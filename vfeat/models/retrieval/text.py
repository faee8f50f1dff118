"""BERT as the text side: layers for sentences alone, then layers that also attend to video tokens.

    words -> word, position and segment embeddings -> layers 0 ... F-1 -> the sentence's tokens
    the sentence's tokens + video tokens -> layers F ... -> fused tokens

A layer adds before it normalises: self attention, cross attention (from layer F on), feed-forward.
Attributes carry the official names, which are the checkpoint's keys.

Shape suffixes: B sentences, W tokens of a sentence with its padding, H width, N video tokens,
D width of a video token, V vocabulary, A attention heads, C channels of a head.

Sources: Devlin et al., "BERT", 2019; the cross attention is that of Li et al., "Align before Fuse",
2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.errors import JobError
from vfeat.models.retrieval.config import RetrievalConfig

EPSILON = 1e-12
DROPOUT = 0.1
INITIAL_STD = 0.02
SEGMENTS = 2  # BERT's two sentences; here there is one


class TextSide(nn.Module):
    """The layers and the head that predicts hidden words."""

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        self.bert = Bert(config)
        words = self.bert.embeddings.word_embeddings
        self.cls = nn.ModuleDict({"predictions": WordPrediction(config, words)})
        self.apply(_initialise)


class Bert(nn.Module):
    """Embeddings and layers."""

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        layers = [Layer(config, index >= config.fusion_layer) for index in range(config.text_depth)]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})
        self.fusion_layer = config.fusion_layer

    def encode(self, ids_BW: Tensor, mask_BW: Tensor) -> Tensor:
        """Encode sentences alone: tokens (B, W, H) of the last layer before cross attention.

        Args:
            ids_BW: numbers of words, integers.
            mask_BW: 1 or True for a word, 0 or False for padding.

        Raises:
            JobError: sentences longer than the position embedding.
        """
        tokens_BWH = self.embeddings(ids_BW)
        return self._run(self._layers()[: self.fusion_layer], tokens_BWH, mask_BW, None)

    def fuse(self, tokens_BWH: Tensor, mask_BW: Tensor, video_BND: Tensor) -> Tensor:
        """Let sentences attend to videos, pair by pair: tokens (B, W, H).

        Args:
            tokens_BWH: result of `encode`.
            mask_BW: as given to `encode`.
            video_BND: tokens of one video for each sentence.
        """
        return self._run(self._layers()[self.fusion_layer :], tokens_BWH, mask_BW, video_BND)

    def _layers(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.encoder["layer"])

    @staticmethod
    def _run(
        layers: Iterable[nn.Module], tokens_BWH: Tensor, mask_BW: Tensor, video_BND: Tensor | None
    ) -> Tensor:
        attended_B11W = mask_BW.bool()[:, None, None]
        for layer in layers:
            tokens_BWH = layer(tokens_BWH, attended_B11W, video_BND)
        return tokens_BWH


class Embeddings(nn.Module):
    """Sum of a word's, its position's and its segment's vector, normalised."""

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        width = config.text_dim
        self.word_embeddings = nn.Embedding(config.vocabulary, width)
        self.position_embeddings = nn.Embedding(config.text_positions, width)
        self.token_type_embeddings = nn.Embedding(SEGMENTS, width)
        self.LayerNorm = nn.LayerNorm(width, EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, ids_BW: Tensor) -> Tensor:
        """Embed words (B, W) as (B, W, H)."""
        longest = self.position_embeddings.num_embeddings
        if ids_BW.shape[1] > longest:
            raise JobError(
                f"The text side takes sentences of at most {longest} tokens; these have "
                f"{ids_BW.shape[1]}"
            )
        places_WH = self.position_embeddings.weight[: ids_BW.shape[1]]
        sum_BWH = self.word_embeddings(ids_BW) + places_WH + self.token_type_embeddings.weight[0]
        return cast(Tensor, self.dropout(self.LayerNorm(sum_BWH)))


class Layer(nn.Module):
    """Self attention, cross attention where the layer has it, feed-forward."""

    def __init__(self, config: RetrievalConfig, crosses: bool) -> None:
        super().__init__()
        width, hidden = config.text_dim, config.text_hidden
        self.attention = Attention(width, width, config.text_heads)
        if crosses:
            self.crossattention = Attention(width, config.embed_dim, config.text_heads)
        self.crosses = crosses
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = AddNorm(hidden, width)

    def forward(
        self, tokens_BWH: Tensor, attended_B11W: Tensor, video_BND: Tensor | None
    ) -> Tensor:
        """Map tokens (B, W, H) to (B, W, H); only unpadded words are attended to."""
        tokens_BWH = self.attention(tokens_BWH, tokens_BWH, attended_B11W)
        if self.crosses:
            tokens_BWH = self.crossattention(tokens_BWH, video_BND, None)
        inner = F.gelu(self.intermediate["dense"](tokens_BWH))
        return cast(Tensor, self.output(inner, tokens_BWH))


class Attention(nn.Module):
    """Attention of a sentence's tokens to a context: the sentence itself, or a video's tokens."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        projections = {
            "query": nn.Linear(width, width),
            "key": nn.Linear(context_width, width),
            "value": nn.Linear(context_width, width),
        }
        self.add_module("self", nn.ModuleDict(projections))  # the official name
        self.output = AddNorm(width, width)

    def forward(
        self, tokens_BWH: Tensor, context_BND: Tensor, attended_B11N: Tensor | None
    ) -> Tensor:
        """Attend and add: tokens (B, W, H)."""
        projections = cast(nn.ModuleDict, self.self)
        mixed_BAWC = F.scaled_dot_product_attention(
            self._split(projections["query"](tokens_BWH)),
            self._split(projections["key"](context_BND)),
            self._split(projections["value"](context_BND)),
            attn_mask=attended_B11N,
            dropout_p=DROPOUT if self.training else 0.0,
        )
        return cast(Tensor, self.output(mixed_BAWC.transpose(1, 2).flatten(2), tokens_BWH))

    def _split(self, projected_BNH: Tensor) -> Tensor:
        """Split channels into heads: (B, A, N, C)."""
        B, N, H = projected_BNH.shape
        return projected_BNH.view(B, N, self.heads, H // self.heads).transpose(1, 2)


class AddNorm(nn.Module):
    """Projection, dropout, addition to the stream, normalisation."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, inner_BWI: Tensor, tokens_BWH: Tensor) -> Tensor:
        """Project the inner values and add them to the tokens (B, W, H)."""
        added_BWH = self.dropout(self.dense(inner_BWI)) + tokens_BWH
        return cast(Tensor, self.LayerNorm(added_BWH))


class WordPrediction(nn.Module):
    """Scores of every word at each place; the last projection shares the embeddings' weights."""

    def __init__(self, config: RetrievalConfig, words: nn.Embedding) -> None:
        super().__init__()
        width = config.text_dim
        self.transform = nn.ModuleDict(
            {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, EPSILON)}
        )
        self.decoder = nn.Linear(width, config.vocabulary)
        self.decoder.weight = words.weight
        self.bias = self.decoder.bias  # the checkpoint's two names for it

    def forward(self, tokens_BWH: Tensor) -> Tensor:
        """Score words: logits (B, W, V)."""
        inner_BWH = F.gelu(self.transform["dense"](tokens_BWH))
        return cast(Tensor, self.decoder(self.transform["LayerNorm"](inner_BWH)))


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Set BERT's initial values."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
