"""Words alone, in the space of vectors that something else made of clips.

    words -> layers of the text side -> first token -> text_proj -> unit vector

The names of the tensors are those of a dual encoder, without the video side, the matching head and
the layers that attend to a video.

Shape suffixes: B sentences, W tokens of a sentence, P width of the clips' vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.models.retrieval.config import RetrievalConfig
from vfeat.models.retrieval.network import TEMPERATURE
from vfeat.models.retrieval.text import Bert, TextSide


@dataclass(frozen=True, kw_only=True)
class TextTowerConfig(RetrievalConfig):
    """Sizes of the text side, and the clips that it finds.

    Attributes:
        finds: digest of the weights that made the clips' vectors, as a recipe holds it.
    """

    finds: str = ""


class TextTower(nn.Module):
    """Sentences as directions among stored vectors: their score is a cosine.

    Args:
        config: sizes of the text side; `joint_dim` is the width of the clips' vectors.
    """

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        self.config = config
        # Of the text side the head for hidden words is not needed.
        self.text_encoder = nn.ModuleDict({"bert": TextSide(config).bert})
        self.text_proj = nn.Linear(config.text_dim, config.joint_dim)
        self.temp = nn.Parameter(torch.tensor(TEMPERATURE))

    def embed_text(self, ids_BW: Tensor, mask_BW: Tensor) -> Tensor:
        """Embed sentences as unit vectors (B, P).

        Args:
            ids_BW: numbers of words, as the tokenizer gives them.
            mask_BW: 1 or True for a word, 0 or False for padding.
        """
        bert = self.text_encoder["bert"]
        assert isinstance(bert, Bert)
        tokens_BWH = bert.encode(ids_BW, mask_BW)
        return F.normalize(self.text_proj(tokens_BWH[:, 0]), dim=-1)
