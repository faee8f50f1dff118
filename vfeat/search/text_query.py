"""Sentences as queries of a search: vectors in the space of a dataset's embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vfeat.errors import JobError
from vfeat.job.fingerprint import Recipe
from vfeat.models.retrieval.packaged_words import words_for
from vfeat.models.videomamba_config import MODELS, has_text_side


class TextEncoder(Protocol):
    """A loaded text side."""

    def embed(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed sentences as unit vectors [n, D]."""

    def unknown(self, sentence: str) -> tuple[str, ...]:
        """Return the words of a sentence that were not learnt, which have no effect."""


def embed_text(
    recipe: Recipe, sentences: Sequence[str], device: str = "auto"
) -> npt.NDArray[np.float32]:
    """Embed sentences as unit vectors [n, D], float32, D being the width of the dataset's rows.

    Args:
        recipe: the dataset's.
        device: auto, cpu or cuda.

    Raises:
        JobError: the dataset's model has no text side, or a sentence holds no word.
        NodeDiffers: this machine's weights are not those of the dataset.
        EnvironmentMissing, StorageError: the weights or the tokenizer cannot be had.
    """
    return open_text_side(recipe, device).embed(sentences)


def open_text_side(recipe: Recipe, device: str = "auto") -> TextEncoder:
    """Load what embeds sentences beside a dataset's clips; raises as `embed_text`.

    This is the one place that leads from a recipe to a text side.
    """
    if has_text_side(recipe.model.name):
        from vfeat.models.device import choose_device
        from vfeat.models.retrieval.sentences import load_retrieval

        return load_retrieval(recipe, choose_device(device))
    if (words := words_for(recipe.weights_digest)) is not None:
        from vfeat.models.device import choose_device
        from vfeat.models.retrieval.stored_words import StoredWords

        return StoredWords(words, choose_device(device))
    raise JobError(no_text_side(recipe))


def has_words(recipe: Recipe) -> bool:
    """Return whether `open_text_side` finds a text side for a recipe."""
    return has_text_side(recipe.model.name) or words_for(recipe.weights_digest) is not None


def no_text_side(recipe: Recipe) -> str:
    """Return a sentence about a dataset whose clips cannot be compared with words."""
    names = ", ".join(name for name in MODELS if has_text_side(name))
    return (
        f"the clips of this dataset are of {recipe.model.name}, which has no text side; those of "
        f"{names} have one (vfeat extract --model videomamba_middle_mm --weights PATH)"
    )
