"""The query of `vfeat search`: a file, a stored clip or a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vfeat.search.dataset import Dataset
    from vfeat.search.hit import Hit
    from vfeat.search.text_query import TextEncoder


@dataclass(frozen=True)
class Query:
    """What is looked for; one of `clip`, `like` and `text` is given.

    Attributes:
        device: where a file or a sentence is encoded.
        clip: path or URI of a video file.
        at_s: second of that file.
        like: VIDEO@SECONDS of the dataset itself.
        text: a sentence.
    """

    dataset: Dataset
    device: str
    clip: str | None
    at_s: float | None
    like: str | None
    text: str | None

    @cached_property
    def vector_D(self) -> npt.NDArray[np.floating]:
        """Vector in the space of the dataset's embeddings."""
        if self.clip is not None:
            return self._of_file(self.clip)
        if self.like is not None:
            from vfeat.search.like import parse_like

            return self.dataset.clip_at(*parse_like(self.like)).vector_D
        vector_D: npt.NDArray[np.floating] = self._text_side.embed([self.text or ""])[0]
        return vector_D

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Words of the sentence that its text side has not learnt."""
        return () if self.text is None else self._text_side.unknown(self.text)

    def reranked(self, hits: list[Hit]) -> list[Hit]:
        """Return hits of the sentence by the model's matching head, best first."""
        from vfeat.extract.rerank import Reranker

        return Reranker(self.dataset.recipe, self._text_side).rerank(self.text or "", hits)

    @cached_property
    def _text_side(self) -> TextEncoder:
        from vfeat.search.text_query import open_text_side

        return open_text_side(self.dataset.recipe, self.device)

    def _of_file(self, path: str) -> npt.NDArray[np.floating]:
        from vfeat.errors import JobError, UnitError
        from vfeat.extract.query import embed_query
        from vfeat.storage.uris import is_local, local_path

        file = local_path(path) if is_local(path) else path
        try:
            return embed_query(file, self.dataset.recipe, self.at_s, self.device)
        except UnitError as error:
            raise JobError(f"the query cannot be decoded: {error.message}") from error
