"""Rows that name the same video more than once."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from typing import Any

from vfeat.corpus.lists import VideoList
from vfeat.errors import JobError
from vfeat.storage.source import is_local


def refuse_contradictions(lists: Sequence[VideoList]) -> None:
    """Check that all rows of a video hold the same values; then they are one video.

    Raises:
        JobError: rows differ; the message names the video, the two rows and the column.
    """
    first_row: dict[int, tuple[int, int]] = {}  # by hash: a list may have millions of rows
    for number, listed in enumerate(lists):
        for row, uri in enumerate(listed.uris.to_pylist()):
            if uri is not None and uri.strip():
                here = (number, row)
                before = first_row.setdefault(hash(_place(uri, listed.source)), here)
                if before != here:
                    _compare(lists, before, here)


def _place(uri: bytes, source: str) -> str:
    """Return one canonical spelling of a row's URI, without access to the file."""
    text = uri.decode("utf-8", "backslashreplace").strip()
    if not is_local(text) or text.startswith("file://"):
        return text
    folder = os.path.dirname(os.path.abspath(source)) if is_local(source) else source
    return posixpath.normpath(posixpath.join(folder, text))


def _compare(lists: Sequence[VideoList], one: tuple[int, int], other: tuple[int, int]) -> None:
    places = {_place(lists[n].uris[row].as_py(), lists[n].source) for n, row in (one, other)}
    if len(places) > 1:  # two names with one hash
        return
    values = [_values(lists[number], row) for number, row in (one, other)]
    for column in values[0].keys() | values[1].keys():
        left, right = (v.get(column) for v in values)
        if left != right and repr(left) != repr(right):  # NaN is not equal to itself
            listed = lists[other[0]]
            uri = listed.uris[other[1]].as_py().decode("utf-8", "backslashreplace")
            raise JobError(
                f"{listed.source}: row {other[1] + 1} names {uri} with {column} = {right!r}, and "
                f"row {one[1] + 1} of {lists[one[0]].source} with {left!r}; a video has one value "
                "in each column: keep one of these rows, or make them the same"
            )


def _values(listed: VideoList, row: int) -> dict[str, Any]:
    (values,) = listed.extras.slice(row, 1).to_pylist() if listed.extras.num_columns else ({},)
    return dict(values)
