"""What a listing met and could not look at: counted, named, and never taken for removed."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vfeat.addresses import public, redacted
from vfeat.corpus.id_set import IdSet
from vfeat.corpus.identity import hashes, stripped

_NAMED = 20


class Skipped:
    """Folders that could not be read and names that could not be looked at, below the sources.

    Attributes:
        count: how many.
        first: (uri, reason) of the first twenty.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: list[tuple[str, str]] = []
        self._paths: set[str] = set()
        self._silent = IdSet(np.int64)

    def add(self, uri: str, reason: str) -> None:
        """Add a folder or name; nothing at or below it counts as removed."""
        uri, reason = public(uri), redacted(reason)
        if uri in self._paths:  # sources overlap
            return
        self._paths.add(uri)
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append((uri, reason))

    def add_silent(self, uris: Sequence[str]) -> None:
        """Add a list's rows whose store gave no answer; they are videos with a problem already."""
        for query in (False, True) if uris else ():
            self._silent.add(hashes(stripped(pa.array(uris, pa.string()), query=query)))

    def covers(self, uris: pa.Array) -> npt.NDArray[np.bool_]:
        """Return for each address whether it may be there, unseen."""
        found = np.zeros(len(uris), bool)
        for query in (False, True) if len(self._silent) else ():
            found |= self._silent.contains(hashes(stripped(uris, query=query)))
        if self._paths:
            found |= np.fromiter(map(self._is_below, uris.to_pylist()), bool, len(uris))
        return found

    def _is_below(self, uri: str) -> bool:
        while uri not in self._paths:
            above = posixpath.dirname(uri)
            if above == uri or not above:
                return False
            uri = above
        return True
