"""Sentences as queries of the page; the text side is loaded with the first one and kept."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from vfeat.job.fingerprint import Recipe
from vfeat.search.text_query import TextEncoder, has_words, open_text_side


class Words:
    """The text side of one dataset, if its model has one."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        self._recipe, self._device = recipe, device
        self._encoder: TextEncoder | None = None
        self._lock = threading.Lock()

    @property
    def are_taken(self) -> bool:
        """Whether clips of this dataset can be compared with words."""
        return has_words(self._recipe)

    def vector(self, sentence: str) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
        """Return the direction [D] of a sentence, and those of its words that have no effect.

        Raises:
            JobError: the dataset's model has no text side, or the sentence holds no known word.
        """
        with self._lock:
            if self._encoder is None:
                self._encoder = open_text_side(self._recipe, self._device)
            return self._encoder.embed([sentence])[0], self._encoder.unknown(sentence)
