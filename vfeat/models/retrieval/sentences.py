"""A dual encoder with its tokenizer, as a dataset's recipe names it: sentences in, vectors out.

Shape suffixes: n sentences, P joint width; B pairs, N video tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfeat.job.fingerprint import Recipe
from vfeat.models.retrieval.factory import create_retrieval
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.retrieval.tokenizer import Tokenizer, read_tokenizer
from vfeat.models.same_weights import check_weights

_AT_ONCE = 64  # sentences, or pairs of a sentence and a clip


@dataclass(frozen=True)
class EncodedSentences:
    """Sentences inside the network.

    Attributes:
        tokens_nWH: tokens of the text side, on its device.
        mask_nW: 1 for a piece, 0 for padding.
        embedding_nP: unit vectors.
    """

    tokens_nWH: Tensor
    mask_nW: Tensor
    embedding_nP: Tensor


class WordsAndVideo:
    """A loaded dual encoder, in evaluation mode.

    Args:
        weights: their location, beside which a tokenizer may lie.
    """

    def __init__(self, model: Retrieval, weights: str, device: torch.device) -> None:
        self.model = model.eval().to(device)
        self.device = device
        self._weights = weights

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer of the text side; read when it is needed, as clips alone need none."""
        config = self.model.config
        return read_tokenizer(self._weights, config.sentence_tokens, config.vocabulary)

    @torch.inference_mode()
    def embed(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed sentences as unit vectors [n, P], float32.

        Raises:
            JobError: a sentence holds no word.
        """
        parts = [
            self.encode(sentences[first : first + _AT_ONCE]).embedding_nP.float().cpu().numpy()
            for first in range(0, len(sentences), _AT_ONCE)
        ]
        empty = np.zeros((0, self.model.config.joint_dim), np.float32)
        return np.concatenate([empty, *parts])

    @torch.inference_mode()
    def unknown(self, sentence: str) -> tuple[str, ...]:
        """Return the words of a sentence that the vocabulary has no pieces for."""
        return self.tokenizer.unknown(sentence)

    def encode(self, sentences: Sequence[str]) -> EncodedSentences:
        """Encode sentences, padded to the longest of them; raises as `embed`."""
        tokens = self.tokenizer(sentences)
        ids_nW = torch.from_numpy(tokens.ids_BW).to(self.device)
        mask_nW = torch.from_numpy(tokens.mask_BW).to(self.device)
        text = self.model.embed_text(ids_nW, mask_nW)
        return EncodedSentences(text.tokens_BWH, mask_nW, text.embedding_BP)

    @torch.inference_mode()
    def match(
        self,
        video_BND: Tensor,
        sentences: EncodedSentences,
        pairs: Sequence[tuple[int, int]],
    ) -> npt.NDArray[np.float32]:
        """Compute the probability that a video and a sentence match, for each pair.

        Args:
            video_BND: tokens of videos, on any device.
            sentences: result of `encode`.
            pairs: number of a video and number of a sentence.
        """
        found = [np.zeros(0, np.float32)]
        for first in range(0, len(pairs), _AT_ONCE):
            videos, texts = zip(*pairs[first : first + _AT_ONCE], strict=True)
            of_text = torch.tensor(texts, device=self.device)
            logits_B2 = self.model.match(
                video_BND[list(videos)].to(self.device),
                sentences.tokens_nWH[of_text],
                sentences.mask_nW[of_text],
            )
            found.append(logits_B2.float().softmax(-1)[:, 1].cpu().numpy())
        return np.concatenate(found)


def load_retrieval(recipe: Recipe, device: torch.device) -> WordsAndVideo:
    """Load the dual encoder of a recipe.

    Raises:
        NodeDiffers: this machine's weights are not those of the recipe.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    check_weights(recipe)
    spec = recipe.model
    options = {"num_frames": recipe.clip.num_frames, "img_size": recipe.frame.size}
    model = create_retrieval(spec.name, weights=spec.weights, **{**options, **dict(spec.config)})
    return WordsAndVideo(model, spec.weights or "", device)
