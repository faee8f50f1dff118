"""Rows that name the same video more than once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus.addresses import address_of, addresses
from vfeat.corpus.identity import hashes
from vfeat.corpus.lists import ETAG, ListRows, VideoList
from vfeat.errors import JobError

_Numbers = npt.NDArray[np.int64]
_SIZE = "size"


class _Row(NamedTuple):
    """A row of a video that is named more than once.

    Attributes:
        place: hash of the video's address.
        number, row: its list, and its row there from 0.
        extras: hash of its values.
        known: hash of its size and etag; 0 in a list without them.
    """

    place: int
    number: int
    row: int
    extras: int
    known: int


def refuse_contradictions(lists: Sequence[VideoList]) -> None:
    """Check that all rows of a video hold the same values; then they are one video.

    Only 8 bytes of each row are held, and more of those that share them with another row.

    Raises:
        JobError: rows differ; the message names the video, the two rows and the column.
    """
    repeated = _repeated(lists)
    if not len(repeated):
        return
    rows = np.array(list(_rows(lists, repeated)), np.int64)
    # stable: rows of one place keep the order of the lists
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    starts = np.concatenate([[True], rows[1:, 0] != rows[:-1, 0]])
    first = rows[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    known = (first[:, 4] != 0) & (rows[:, 4] != 0)
    differs = (first[:, 3] != rows[:, 3]) | (known & (first[:, 4] != rows[:, 4]))
    wrong = np.flatnonzero(differs)
    for at in wrong[np.lexsort((rows[wrong, 2], rows[wrong, 1]))]:
        _compare(lists, _Row(*first[at].tolist()), _Row(*rows[at].tolist()))


def _repeated(lists: Sequence[VideoList]) -> _Numbers:
    """Return the hashes of addresses that more than one row has, sorted."""
    parts = [_places(rows, listed.source)[0] for listed in lists for rows in listed.rows()]
    if not parts:
        return np.empty(0, np.int64)
    places = np.concatenate(parts)
    places.sort()
    return np.unique(places[1:][places[1:] == places[:-1]])


def _places(rows: ListRows, source: str) -> tuple[_Numbers, npt.NDArray[np.intp]]:
    """Return hashes of the addresses of the rows that have one, and the places of these rows."""
    try:
        texts = pc.utf8_trim_whitespace(rows.uris.cast(pa.string()).fill_null(""))
    except pa.ArrowInvalid:  # bytes that are no text
        texts = pa.array([_text(uri).strip() for uri in rows.uris.to_pylist()], pa.string())
    there = np.flatnonzero(pc.not_equal(texts, "").to_numpy(zero_copy_only=False))
    return hashes(addresses(texts.take(pa.array(there)), source)), there


def _text(uri: bytes | None) -> str:
    return (uri or b"").decode("utf-8", "backslashreplace")


def _rows(lists: Sequence[VideoList], repeated: _Numbers) -> Iterator[_Row]:
    """Yield the rows whose addresses have one of these hashes, which are sorted."""
    for number, listed in enumerate(lists):
        for rows in listed.rows():
            places, there = _places(rows, listed.source)
            at = np.minimum(np.searchsorted(repeated, places), len(repeated) - 1)
            for which in np.flatnonzero(repeated[at] == places).tolist():
                row = int(there[which])
                extras, known = _values(rows, row)
                yield _Row(
                    int(places[which]), number, rows.first_row + row,
                    hash(repr(sorted(extras.items()))), hash(repr(known)) if known else 0,
                )  # fmt: skip


def _values(rows: ListRows, row: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a row: of the further columns, and its size and etag if it has both."""
    extras = {name: column[row].as_py() for name, column in rows.extras.items()}
    extras = {name: value for name, value in extras.items() if value is not None}
    if rows.sizes is None or rows.etags is None:
        return extras, {}
    known = {_SIZE: rows.sizes[row].as_py(), ETAG: rows.etags[row].as_py()}
    return extras, {} if None in known.values() else known


def _compare(lists: Sequence[VideoList], one: _Row, other: _Row) -> None:
    rows = [_read(lists[row.number], row.row) for row in (one, other)]
    there = [
        _address(lists[row.number], read) for row, read in zip((one, other), rows, strict=True)
    ]
    if there[0] != there[1]:
        return  # two addresses with one hash
    (left, left_known), (right, right_known) = (_values(read, 0) for read in rows)
    if left_known and right_known:
        left, right = left | left_known, right | right_known
    for column in {**left, **right}:
        a, b = left.get(column), right.get(column)
        if a != b and repr(a) != repr(b):  # NaN is not equal to itself
            listed = lists[other.number]
            raise JobError(
                f"{listed.source}: row {other.row + 1} names {_text(rows[1].uris[0].as_py())} with "
                f"{column} = {b!r}, and row {one.row + 1} of {lists[one.number].source} with "
                f"{a!r}; a video has one value in each column: keep one of these rows, or make "
                "them the same"
            )


def _address(listed: VideoList, read: ListRows) -> str:
    return address_of(_text(read.uris[0].as_py()).strip(), listed.source)


def _read(listed: VideoList, row: int) -> ListRows:
    """Read one row of a list."""
    for rows in listed.rows():
        if row < rows.first_row + len(rows):
            return rows.slice(row - rows.first_row, 1)
    raise IndexError(row)
