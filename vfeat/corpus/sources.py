"""All sources of a command as one stream of videos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from vfeat.corpus.lists import VideoList, read_list
from vfeat.corpus.repeats import refuse_contradictions
from vfeat.corpus.rows import videos_of
from vfeat.corpus.types import FixedType
from vfeat.corpus.video import LIST_SUFFIXES, Video
from vfeat.storage.listing import list_objects
from vfeat.storage.source import is_local
from vfeat.storage.uris import is_s3

_NAMES = """
3g2 3gp asf avi divx dv f4v flv gif h264 hevc ivf m2t m2ts m2v m4v mjpeg mkv mov mp4 mpeg mpg
mpv mts mxf nut ogm ogv qt rm ts vob webm wmv y4m
"""
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())


class Corpus:
    """The sources of one command; its lists are read and checked at construction.

    Args:
        sources: folders, files, globs, prefixes, lists.
        types: types of the columns that lists brought to the dataset before.

    Attributes:
        column_types: types of the lists' further columns, as stored.

    Raises:
        JobError: a list that cannot be read, has no `uri` column or no row, or has a column whose
            values do not fit the type that the column has.
    """

    def __init__(
        self, sources: Iterable[str], types: Mapping[str, FixedType] | None = None
    ) -> None:
        self.sources = tuple(sources)
        self._lists: dict[str, VideoList] = {}
        fixed = dict(types or {})
        for source in self.sources:
            if source.lower().endswith(LIST_SUFFIXES) and source not in self._lists:
                read = read_list(source, fixed)
                self._lists[source] = read
                for field in read.extras.schema:
                    if not pa.types.is_null(field.type):
                        fixed.setdefault(field.name, FixedType(field.type, source))
        self.column_types: dict[str, pa.DataType] = {name: f.type for name, f in fixed.items()}

    def refuse_contradictions(self) -> None:
        """Check that rows of the same video are the same in all columns.

        Raises:
            JobError: rows differ; the message names the video, both rows and the column.
        """
        refuse_contradictions(list(self._lists.values()))

    def videos(self) -> Iterator[Video]:
        """Stream the videos of all sources, in their order; overlapping sources repeat videos.

        Raises:
            JobError: a source that names nothing.
            StorageError: a bucket or folder that cannot be listed.
        """
        for source in self.sources:
            read = self._lists.get(source)
            yield from _from_listing(source) if read is None else videos_of(read)


def iter_corpus(sources: Iterable[str]) -> Iterator[Video]:
    """Stream the videos of sources, without a dataset that fixes column types (see `Corpus`)."""
    return Corpus(sources).videos()


def _from_listing(source: str) -> Iterator[Video]:
    named = os.path.abspath(source) if is_local(source) else source
    for item in list_objects(source):
        # A file that the user names is taken as it is; in a folder, only what looks like video.
        if item.uri == named or _suffix(item.uri) in VIDEO_SUFFIXES:
            yield Video(item.uri, item.size_bytes, item.etag)


def _suffix(uri: str) -> str:
    """Return the lower-case suffix of the name; of a chain, that of its first link."""
    name = uri if is_local(uri) or is_s3(uri) else uri.partition("::")[0]
    return os.path.splitext(name)[1].lower()
