"""A corpus: where the videos are, one record each, streamed.

Sources are folders, files, globs, object-store prefixes, and CSV or Parquet lists with a
`uri` column whose further columns travel with each video.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from vfeat.errors import JobError, StorageError, VfeatError
from vfeat.storage.failures import MissingObject
from vfeat.storage.listing import Listed, list_objects
from vfeat.storage.source import is_local, open_source

_NAMES = """
3g2 3gp asf avi divx dv f4v flv gif h264 hevc ivf m2t m2ts m2v m4v mjpeg mkv mov mp4 mpeg mpg
mpv mts mxf nut ogm ogv qt rm ts vob webm wmv y4m
"""
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
LIST_SUFFIXES = (".csv", ".parquet")
STAT_THREADS = 16  # a list of S3 keys costs one HEAD each


@dataclass(frozen=True)
class Video:
    """One video of the corpus.

    Attributes:
        uri: absolute path or full URI.
        size_bytes: of the object; 0 when it could not be found.
        etag: the store's, or size and mtime for a local file.
        extra: further columns of the list that named it.
        problem: why the object cannot be read, when the listing already knows.
    """

    uri: str
    size_bytes: int
    etag: str
    extra: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def video_id(self) -> str:
        """32 hex digits of (uri, etag): a changed file is another video."""
        return hashlib.blake2b(f"{self.uri}\0{self.etag}".encode(), digest_size=16).hexdigest()


def iter_corpus(sources: Iterable[str]) -> Iterator[Video]:
    """Stream the videos of all sources, in their order; overlapping sources repeat videos.

    Raises:
        JobError: a source that names nothing, or a list without a `uri` column.
        StorageError: a bucket or folder that cannot be listed.
    """
    for source in sources:
        is_list = source.lower().endswith(LIST_SUFFIXES)
        yield from _from_list(source) if is_list else _from_listing(source)


def _from_listing(source: str) -> Iterator[Video]:
    named = os.path.abspath(source) if is_local(source) else source
    for item in list_objects(source):
        # What a user names outright is taken as it is; in a folder, only what looks like video.
        if item.uri == named or os.path.splitext(item.uri)[1].lower() in VIDEO_SUFFIXES:
            yield _video(item, {})


def _video(item: Listed, extra: dict[str, Any]) -> Video:
    return Video(item.uri, item.size_bytes, item.etag, extra)


def _from_list(source: str) -> Iterator[Video]:
    rows = _list_rows(source)
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        while batch := list(islice(rows, 1024)):
            yield from pool.map(lambda row: _stat(source, row), batch)


def _list_rows(source: str) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowInvalid, csv, parquet

    try:
        with open_source(source) as file:
            is_csv = source.lower().endswith(".csv")
            table = csv.read_csv(file) if is_csv else parquet.read_table(file)
    except MissingObject:
        raise JobError(f"{source}: no such list") from None
    except ArrowInvalid as error:
        raise JobError(f"{source}: not a readable list: {error}") from None
    if "uri" not in table.column_names:
        names = ", ".join(table.column_names)
        raise JobError(f"{source}: a list needs a column named uri; found: {names}")
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def _beside(source: str, uri: str) -> str:
    """A relative name counts from the list's folder, or from here where only that is there."""
    if not is_local(source):
        return f"{source.rpartition('/')[0]}/{uri}"
    beside = os.path.join(os.path.dirname(os.path.abspath(source)), uri)
    return beside if os.path.exists(beside) else os.path.abspath(uri)


def _stat(source: str, row: dict[str, Any]) -> Video:
    uri = str(row.pop("uri") or "").strip()
    if not uri:
        return Video("", 0, "", row, f"a row of {source} has no uri")
    if is_local(uri) and not uri.startswith("file://") and not os.path.isabs(uri):
        uri = _beside(source, uri)
    try:
        return next(_video(item, row) for item in list_objects(uri))
    except (StorageError, VfeatError, StopIteration) as error:
        why = str(error) or f"{uri}: no such object"
        return Video(uri, 0, "missing", row, why)
