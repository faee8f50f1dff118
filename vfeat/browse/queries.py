"""Clips that were dropped on the page: encoded once, kept as vectors in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.browse.failures import NotThere
from vfeat.errors import JobError, UnitError
from vfeat.extract.encoder import Encoder
from vfeat.extract.query import embed_query, query_encoder
from vfeat.job.fingerprint import Recipe
from vfeat.surroundings import here

_KEPT = 200


@dataclass(frozen=True)
class Query:
    """One dropped clip: its name, and its direction [D]."""

    name: str
    vector_D: npt.NDArray[np.float32]


class Queries:
    """The last dropped clips, by ids that stand in addresses."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        self._recipe, self._device = recipe, device
        self._kept: OrderedDict[str, Query] = OrderedDict()
        self._lock = threading.Lock()
        self._encoding = threading.Lock()  # one query at a time has all cores
        self._encoder: Encoder | None = None  # loaded with the first query, then kept

    def add(self, path: str, name: str) -> str:
        """Encode a file; return the id of the query.

        Raises:
            JobError: it cannot be decoded, or the dataset's model is not here.
        """
        try:
            with self._encoding:
                if self._encoder is None:
                    self._encoder = query_encoder(self._recipe, self._device)
                vector = embed_query(path, self._recipe, encoder=self._encoder)
        except UnitError as error:
            reason = error.message.replace(path, name)
            raise JobError(f"the clip cannot be decoded: {reason}") from error
        except JobError as error:
            raise JobError(str(error).replace(path, name)) from error
        number = here().token()
        with self._lock:
            self._kept[number] = Query(name, vector)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return number

    def get(self, number: str) -> Query:
        """Return a query.

        Raises:
            NotThere: it is none of the last ones of this server.
        """
        with self._lock:
            found = self._kept.get(number)
        if found is None:
            raise NotThere("this dropped clip is not in memory any more: drop it once more")
        return found
