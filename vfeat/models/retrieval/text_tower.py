"""Words alone, in the space of vectors that something else made of clips.

    words -> layers of the text side -> first token -> text_proj -> unit vector

The names of the tensors are those of a dual encoder, without the video side, the matching head and
the layers that attend to a video.

Shape suffixes: B sentences, W tokens of a sentence, P width of the clips' vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfeat.errors import JobError
from vfeat.models.checkpoint import load_checkpoint
from vfeat.models.retrieval.config import RetrievalConfig
from vfeat.models.retrieval.network import TEMPERATURE
from vfeat.models.retrieval.text import Bert, initialise


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
        self.text_encoder = nn.ModuleDict({"bert": Bert(config)})
        self.text_proj = nn.Linear(config.text_dim, config.joint_dim)
        self.temp = nn.Parameter(torch.tensor(TEMPERATURE))
        self.apply(initialise)

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


def load_text_tower(uri: str) -> TextTower:
    """Load a folder that `vfeat train retrieval --freeze-vision` wrote, in evaluation mode.

    Raises:
        JobError: it holds something else.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    checkpoint = load_checkpoint(uri)
    known = {field.name for field in fields(TextTowerConfig)}
    if checkpoint.config is None or not checkpoint.config.get("finds"):
        raise JobError(
            f"{uri} holds no words for stored vectors: its config.json has no `finds`. Expected a "
            "folder that `vfeat train retrieval --freeze-vision` wrote"
        )
    config = {name: value for name, value in checkpoint.config.items() if name in known}
    tower = TextTower(TextTowerConfig(**config))
    own = tower.state_dict()
    found = {key: tensor.to(torch.float32) for key, tensor in checkpoint.state.items()}
    wrong = [
        key
        for key in sorted(own.keys() | found.keys())
        if key not in own or key not in found or own[key].shape != found[key].shape
    ]
    if wrong:
        raise JobError(
            f"Weights {uri}: {len(wrong)} tensors do not fit the sizes in config.json, such as "
            f"{wrong[0]}"
        )
    tower.load_state_dict(found)
    return tower.eval()
