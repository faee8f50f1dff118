"""Writing an index: rows of an older one and new ones, list by list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vfeat.search.clusters import Assigner, Clusters
from vfeat.search.index_file import (
    PARTS,
    About,
    IndexedFile,
    IndexFile,
    checked_places,
    finish,
    row_checks,
    whole_checks,
)
from vfeat.search.new_rows import BLOCK_ROWS, NewRows, VideoTable

_OF_ROWS = ("places", "reach", "codes", "vectors")


@dataclass(frozen=True)
class OldRows:
    """Rows that a new index takes over from an older one, as they are.

    Attributes:
        rows_K: their numbers in the older index, rising.
        files: the features files that they stand in.
        renumbered: number in `files` of each file of the older index.
    """

    index: IndexFile
    rows_K: npt.NDArray[np.int64]
    files: tuple[IndexedFile, ...]
    renumbered: npt.NDArray[np.uint32]

    def lists(self) -> npt.NDArray[np.int64]:
        """Return the list of each row."""
        return np.searchsorted(self.index.starts, self.rows_K, side="right") - 1


def old_rows(index: IndexFile, sizes: dict[str, int]) -> OldRows:
    """Return the rows of files that are still as they were.

    Args:
        sizes: size of each committed file by its key.
    """
    stands = np.array([sizes.get(f.key) == f.size_bytes for f in index.about.files], bool)
    files = tuple(f for f, kept in zip(index.about.files, stands, strict=True) if kept)
    rows_K = np.flatnonzero(stands[index.part("places")[:, 0]])
    return OldRows(index, rows_K, files, (np.cumsum(stands) - 1).astype(np.uint32))


def write_index(
    path: str,
    fingerprint: str,
    clusters: Clusters,
    trained_rows: int,
    old: OldRows | None,
    new: NewRows,
    videos: VideoTable,
) -> About:
    """Write a whole index, not measured yet, that looks through one list.

    Args:
        old: rows of an index with the same clusters.

    Returns:
        Its description.
    """
    assigner = Assigner(clusters)
    kept = 0 if old is None else len(old.rows_K)
    lists_N = np.concatenate(
        [
            np.empty(0, np.int64) if old is None else old.lists(),
            *(assigner.lists(new.vectors_ND[first:end]) for first, end in new.blocks()),
        ]
    )
    count = len(clusters.centroids_LD)
    dtype = new.vectors_ND.dtype.name if old is None else old.index.about.dtype
    parts = {
        "centroids": clusters.centroids_LD, "spread": clusters.spread_D, 
        "starts": np.concatenate([[0], np.cumsum(np.bincount(lists_N, minlength=count))]),
        "videos": videos.as_bytes(),
    }  # fmt: skip
    about = About(
        fingerprint, clusters.centroids_LD.shape[1], dtype, len(lists_N), count,
        len(videos.numbers), trained_rows, 1, None, 0,
        (*(() if old is None else old.files), *new.files), {}, whole_checks(parts),
    ).placed()  # fmt: skip
    with open(path, "wb") as file:
        file.truncate(about.end)
    for name, values in parts.items():
        _mapped(path, about, name)[...] = values
    order = np.argsort(lists_N, kind="stable")
    places = {name: _mapped(path, about, name) for name in _OF_ROWS}
    for first in range(0, len(order), BLOCK_ROWS):
        rows = order[first : first + BLOCK_ROWS]
        block = slice(first, first + len(rows))
        older = rows < kept
        if old is not None and older.any():
            for name, values in _taken_over(old, rows[older]).items():
                places[name][block][older] = values
        if not older.all():
            for name, values in _taken_up(
                new, rows[~older] - kept, lists_N[rows[~older]], clusters
            ).items():
                places[name][block][~older] = values
    for mapped in places.values():
        mapped.flush()
    finish(path, about)
    return about


def _taken_over(old: OldRows, chosen: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Return rows of the older index.

    Raises:
        IndexDamaged: one is not as it was written.
    """
    rows = old.rows_K[chosen]
    found = {name: old.index.rows(name, rows) for name in ("reach", "codes", "vectors")}
    places = checked_places(old.index, rows, found["vectors"])
    places[:, 0] = old.renumbered[places[:, 0]]
    return found | {"places": _with_checks(places, found["vectors"])}


def _taken_up(
    new: NewRows,
    chosen: npt.NDArray[np.int64],
    lists_C: npt.NDArray[np.int64],
    clusters: Clusters,
) -> dict[str, npt.NDArray[Any]]:
    vectors = new.vectors_ND[chosen]
    places = _with_checks(new.places_N3[chosen], vectors)
    codes, reach = clusters.codes(vectors, lists_C)
    return {"places": places, "reach": reach, "codes": codes, "vectors": vectors}


def _with_checks(
    places: npt.NDArray[np.uint32], vectors: npt.NDArray[Any]
) -> npt.NDArray[np.uint32]:
    return np.column_stack([places, row_checks(vectors, places)])


def _mapped(path: str, about: About, name: str) -> np.memmap[Any, Any]:
    assert name in PARTS
    shape = about.shape(name)
    if 0 in shape:
        return np.empty(shape, about.kind(name))  # type: ignore[return-value]
    return np.memmap(path, about.kind(name), "r+", about.offsets[name], shape)
