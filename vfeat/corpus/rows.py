"""Rows of a list as videos: each names one object, literally, and a bad row fails alone."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.addresses import redacted
from vfeat.corpus.addresses import address_of, addresses, beside, is_relative
from vfeat.corpus.identity import MISSING_ETAG
from vfeat.corpus.lists import ListRows, VideoList
from vfeat.corpus.pieces import piece
from vfeat.corpus.skipped import Skipped
from vfeat.errors import VfeatError
from vfeat.storage.failures import FolderFound, MissingObject, Unreachable
from vfeat.storage.globs import has_magic
from vfeat.storage.listing import Listed, find_object
from vfeat.storage.source import is_local
from vfeat.storage.uris import is_web, server_of

LOOKUP_THREADS = 32  # a list of S3 keys without sizes costs one request each
SILENCE_S = 60.0  # how long a server that did not answer is not asked again
_PART_ROWS = 64
_TASK_ROWS = 8  # a task of one row would cost more than a local file's stat
_PARTS_AHEAD = 16


class _Found(NamedTuple):
    uri: str
    size_bytes: int
    etag: str
    problem: str | None = None
    is_silent: bool = False  # whether its store gave no answer


_Tasks = list[Future[list[_Found]]]


def pieces_of(listed: VideoList, source: str, skipped: Skipped) -> Iterator[pa.Table]:
    """Find the objects of all rows; a row without one is a video with a problem.

    A row with size and etag costs no look at its object. The others are looked up in parallel, a
    bounded number of rows ahead; the order is that of the list.

    Args:
        listed: the list.
        source: what to name in the column `source`.
        skipped: takes rows whose store gives no answer.
    """
    finder = _Finder(listed.source)
    waiting: deque[tuple[ListRows, _Tasks]] = deque()

    def first() -> pa.Table:
        return _looked_up(source, *waiting.popleft(), skipped)

    pool = ThreadPoolExecutor(LOOKUP_THREADS)
    try:
        for rows in listed.rows():
            if (known := _known(source, listed.source, rows)) is not None:
                while waiting:
                    yield first()
                yield known
                continue
            for start in range(0, len(rows), _PART_ROWS):
                part = rows.slice(start, _PART_ROWS)
                waiting.append((part, _tasks(pool, finder, part)))
                while len(waiting) > _PARTS_AHEAD:
                    yield first()
        while waiting:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)


def _tasks(pool: ThreadPoolExecutor, finder: _Finder, part: ListRows) -> _Tasks:
    steps = range(0, len(part), _TASK_ROWS)
    return [pool.submit(finder.rows, part.slice(start, _TASK_ROWS)) for start in steps]


def _looked_up(source: str, part: ListRows, tasks: _Tasks, skipped: Skipped) -> pa.Table:
    found = [row for task in tasks for row in task.result()]
    skipped.add_silent([row.uri for row in found if row.is_silent])
    found = [row._replace(problem=redacted(row.problem)) if row.problem else row for row in found]
    uris, sizes, etags, problems, _ = zip(*found, strict=True)
    return piece(
        source,
        pa.array(uris, pa.string()),
        pa.array(sizes, pa.int64()),
        pa.array(etags, pa.string()),
        pa.array(problems, pa.string()),
        part.extras,
    )


def _known(source: str, list_source: str, rows: ListRows) -> pa.Table | None:
    """Return rows that all have address, size and etag; None when one lacks something."""
    if rows.sizes is None or rows.etags is None or rows.uris.null_count:
        return None
    try:
        uris = pc.utf8_trim_whitespace(rows.uris.cast(pa.string()))
    except pa.ArrowInvalid:  # bytes that are no text
        return None
    etags = pc.utf8_trim(rows.etags, '"')
    complete = pc.and_(pc.greater_equal(rows.sizes, 0), pc.not_equal(etags, ""))
    complete = pc.and_(complete, pc.not_equal(uris, ""))
    if complete.null_count or pc.all(complete).as_py() is False:
        return None
    uris = addresses(uris, list_source)
    return piece(source, uris, rows.sizes, etags, None, rows.extras)


class _Finder:
    """Finder of the objects of one list's rows, used from several threads."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._silent_until_s: dict[str, float] = {}

    def rows(self, rows: ListRows) -> list[_Found]:
        uris = rows.uris.to_pylist()
        nothing = [None] * len(uris)
        sizes = nothing if rows.sizes is None else rows.sizes.to_pylist()
        etags = nothing if rows.etags is None else rows.etags.to_pylist()
        columns = zip(uris, sizes, etags, strict=True)
        return [self._row(rows.first_row + n, *cells) for n, cells in enumerate(columns, 1)]

    def _row(self, number: int, name: bytes | None, size: int | None, etag: str | None) -> _Found:
        try:
            text = (name or b"").decode().strip()
        except UnicodeDecodeError as error:
            assert name is not None
            shown = name.decode("utf-8", "backslashreplace")
            bad = name[error.start : error.end].hex(" ")
            why = (
                f"{self._source}, row {number}: the uri {shown} is not UTF-8 (byte {bad} at place "
                f"{error.start + 1}); save the list as UTF-8"
            )
            return _Found(shown, 0, MISSING_ETAG, why)
        if not text:
            return _Found("", 0, "", f"row {number} of {self._source} has no uri")
        etag = (etag or "").strip('"')
        if size is not None and size >= 0 and etag:
            return _Found(address_of(text, self._source), size, etag)
        return self._looked_up(text)

    def _looked_up(self, text: str) -> _Found:
        uri = _beside_or_here(self._source, text) if is_relative(text) else text
        try:
            found = self._find(uri)
        except FolderFound as error:
            why = f"{error}: a row of a list names one file"
        except MissingObject as error:
            # a web address is full of such characters, and nobody takes it for a pattern
            pattern = has_magic(uri) and not is_web(uri)
            why = f"{error}; * ? [ are no pattern in a list" if pattern else str(error)
        except VfeatError as error:
            return _Found(uri, 0, MISSING_ETAG, str(error), True)
        else:
            return _Found(*found)
        return _Found(uri, 0, MISSING_ETAG, why)

    def _find(self, uri: str) -> Listed:
        if is_local(uri):
            return find_object(uri)
        server = server_of(uri)
        if time.monotonic() < self._silent_until_s.get(server, 0.0):
            raise Unreachable(f"{uri}: not asked for, since {server} did not answer just before")
        try:
            return find_object(uri)
        except Unreachable:
            self._silent_until_s[server] = time.monotonic() + SILENCE_S
            raise


def _beside_or_here(source: str, uri: str) -> str:
    """Resolve a relative name against the list's folder, or against here if it is only here."""
    first = beside(source, uri)
    if not is_local(source) or "\0" in uri or os.path.exists(first):
        return first
    here = os.path.abspath(uri)
    return here if os.path.exists(here) else first
