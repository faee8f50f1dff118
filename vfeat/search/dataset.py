"""`vfeat.open(OUT)`: a features dataset that can be read and searched."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vfeat.errors import JobError
from vfeat.job.fingerprint import Recipe
from vfeat.search.answer import Answer
from vfeat.search.condition import Condition
from vfeat.search.cosine import unit
from vfeat.search.exact import best_exact, hits_of
from vfeat.search.hit import Hit
from vfeat.search.index_file import IndexDamaged
from vfeat.search.kept import KeptVectors
from vfeat.search.like import StoredClip, clip_at
from vfeat.search.published import PublishedIndex, file_sizes
from vfeat.search.with_index import search_with_index
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.tables import dataset as tables
from vfeat.tables.dataset import FeatureDataset


class Dataset(FeatureDataset):
    """Committed rows of a dataset; a new call includes what was committed since."""

    def __init__(self, root: Root, recipe: Recipe, keep_bytes: int = 0) -> None:
        super().__init__(root, recipe)
        self._kept = KeptVectors(keep_bytes) if keep_bytes else None
        self._index = PublishedIndex(self)

    def search(
        self,
        vector_D: npt.ArrayLike,
        k: int = 10,
        where: str | None = None,
        *,
        exact: bool = False,
    ) -> list[Hit]:
        """Return the k clips whose embeddings are nearest to a vector by their cosine.

        Args:
            vector_D: of the width of the dataset's embeddings; its length does not matter.
            where: a condition in SQL over video_id, uri, clip_index, start_s, end_s, label, score
                and labels; needs DuckDB. Such a search is exact.
            exact: compare every clip, also where there is an index.

        Returns:
            Hits, best first; of equal ones, in the order of the files.

        Raises:
            JobError: the vector has another width, or the condition is none.
        """
        return self.search_many(np.asarray(vector_D)[None], k, where, exact=exact)[0]

    def search_many(
        self,
        vectors_QD: npt.ArrayLike,
        k: int = 10,
        where: str | None = None,
        *,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Return what `search` returns for each of several vectors, in one pass over the data."""
        return self.answer(vectors_QD, k, where, exact=exact).hits

    def answer(
        self,
        vectors_QD: npt.ArrayLike,
        k: int = 10,
        where: str | None = None,
        *,
        exact: bool = False,
    ) -> Answer:
        """Return the hits of several vectors, and how they were found."""
        vectors = np.asarray(vectors_QD)
        if vectors.ndim != 2 or k < 1:
            raise JobError(f"expected vectors [Q, D] and k >= 1, found {vectors.shape} and k = {k}")
        try:
            queries = unit(vectors)
        except ValueError as error:
            raise JobError(str(error)) from None
        condition = None if where is None else Condition(where)
        if condition is None and not exact:
            found = self._with_index(queries, k)
            if found is not None:
                return found
        sizes = file_sizes(self)
        best, compared = best_exact(self, queries, k, sizes, condition=condition, kept=self._kept)
        hits = hits_of(self, list(sizes), best.rows_QK, best.scores_QK)
        asked = exact or condition is not None
        return Answer(hits, 0, compared, notice=None if asked else self._index.notice)

    def clip_at(self, video: str, at_s: float) -> StoredClip:
        """Return the stored clip that covers a second of a video.

        Args:
            video: its URI, its id, or the end of its URI after a slash.
            at_s: seconds after its first frame.

        Raises:
            JobError: no such video, several, or no clip of it covers that second.
        """
        return clip_at(self, video, at_s)

    def _with_index(self, unit_QD: npt.NDArray[np.float32], k: int) -> Answer | None:
        """Return None where there is no index that fits."""
        for _ in range(2):
            if (index := self._index.current()) is None:
                return None
            try:
                return search_with_index(self, index, file_sizes(self), unit_QD, k, self._kept)
            except MissingObject:  # a newer index took its place, or a file is gone
                self._index.reopen()
            except IndexDamaged as error:
                self._index.pass_over(str(error))
                return None
        return None


def open(uri: str, keep_bytes: int = 0) -> Dataset:
    """Open a dataset root that `vfeat extract` wrote.

    Args:
        keep_bytes: stored vectors that may stay in memory between searches, which are then faster
            than those that read the files anew.

    Raises:
        JobError: there is no dataset at `uri`.
    """
    found = tables.open(uri)
    return Dataset(found.root, found.recipe, keep_bytes)
