"""`vfeat.open(OUT)`: a features dataset that can be read and searched."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vfeat.errors import JobError
from vfeat.search.condition import Condition
from vfeat.search.cosine import unit
from vfeat.search.exact import search_exact
from vfeat.search.hit import Hit
from vfeat.search.like import StoredClip, clip_at
from vfeat.tables import dataset as tables
from vfeat.tables.dataset import FeatureDataset


class Dataset(FeatureDataset):
    """Committed rows of a dataset; a new call includes what was committed since."""

    def search(self, vector_D: npt.ArrayLike, k: int = 10, where: str | None = None) -> list[Hit]:
        """Return the k clips whose embeddings are nearest to a vector by their cosine.

        Args:
            vector_D: of the width of the dataset's embeddings; its length does not matter.
            where: a condition in SQL over video_id, uri, clip_index, start_s, end_s, label, score
                and labels; needs DuckDB.

        Returns:
            Hits, best first; of equal ones, in the order of the files.

        Raises:
            JobError: the vector has another width, or the condition is none.
        """
        return self.search_many(np.asarray(vector_D)[None], k, where)[0]

    def search_many(
        self, vectors_QD: npt.ArrayLike, k: int = 10, where: str | None = None
    ) -> list[list[Hit]]:
        """Return what `search` returns for each of several vectors, in one pass over the data."""
        vectors = np.asarray(vectors_QD)
        if vectors.ndim != 2 or k < 1:
            raise JobError(f"expected vectors [Q, D] and k >= 1, found {vectors.shape} and k = {k}")
        try:
            queries = unit(vectors)
        except ValueError as error:
            raise JobError(str(error)) from None
        return search_exact(self, queries, k, None if where is None else Condition(where))

    def clip_at(self, video: str, at_s: float) -> StoredClip:
        """Return the stored clip that covers a second of a video.

        Args:
            video: its URI, its id, or the end of its URI after a slash.
            at_s: seconds after its first frame.

        Raises:
            JobError: no such video, several, or no clip of it covers that second.
        """
        return clip_at(self, video, at_s)


def open(uri: str) -> Dataset:
    """Open a dataset root that `vfeat extract` wrote.

    Raises:
        JobError: there is no dataset at `uri`.
    """
    found = tables.open(uri)
    return Dataset(found.root, found.recipe)
