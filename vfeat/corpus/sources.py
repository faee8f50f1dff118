"""All sources of a command as one stream of videos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.addresses import public
from vfeat.corpus.lists import VideoList
from vfeat.corpus.pieces import batches_of, piece
from vfeat.corpus.repeats import refuse_contradictions
from vfeat.corpus.rows import pieces_of
from vfeat.corpus.skipped import Skipped
from vfeat.corpus.types import FixedType
from vfeat.corpus.video import LIST_SUFFIXES, Video, VideoBatch
from vfeat.storage.listed import Page, SourceListing
from vfeat.storage.listing import list_source
from vfeat.storage.source import is_local
from vfeat.storage.uris import is_s3, local_path, local_uri

_NAMES = """
3g2 3gp asf avi divx dv f4v flv gif h264 hevc ivf m2t m2ts m2v m4v mjpeg mkv mov mp4 mpeg mpg
mpv mts mxf nut ogm ogv qt rm ts vob webm wmv y4m
"""
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
# what os.path.splitext finds: a name of dots alone before the suffix has none
_VIDEO_NAME = rf"(?i)[^/.][^/]*\.(?:{'|'.join(_NAMES.split())})$"


class Corpus:
    """The sources of one command; its lists are read and checked at construction.

    Args:
        sources: folders, files, globs, prefixes, lists.
        types: types of the columns that lists brought to the dataset before.

    Attributes:
        column_types: types of the lists' further columns, as stored.
        skipped: what the sources hold and could not be looked at, so far.
        complete: sources that were listed to their end, as batches name them.

    Raises:
        JobError: a list that cannot be read, has no `uri` column or no row, or has a column whose
            values do not fit the type that the column has.
    """

    def __init__(
        self, sources: Iterable[str], types: Mapping[str, FixedType] | None = None
    ) -> None:
        self.sources = tuple(sources)
        self.skipped = Skipped()
        self.complete: set[str] = set()
        self._lists: dict[str, VideoList] = {}
        self._listings: dict[str, SourceListing] = {}
        fixed = dict(types or {})
        for source in self.sources:
            if public(source).lower().endswith(LIST_SUFFIXES) and source not in self._lists:
                read = VideoList(source, fixed)
                self._lists[source] = read
                for field in read.extras:
                    if not pa.types.is_null(field.type):
                        fixed.setdefault(field.name, FixedType(field.type, source))
        self.column_types: dict[str, pa.DataType] = {name: f.type for name, f in fixed.items()}

    def refuse_contradictions(self) -> None:
        """Check that rows of the same video are the same in all columns.

        Raises:
            JobError: rows differ; the message names the video, both rows and the column.
        """
        refuse_contradictions(list(self._lists.values()))

    def batches(self) -> Iterator[VideoBatch]:
        """Stream the videos of all sources, in their order; overlapping sources repeat videos.

        The first batches are small, and a batch waits at most some seconds for its last row.

        Raises:
            JobError: a source that names nothing.
            StorageError: a bucket or folder that cannot be listed.
        """
        self.skipped = Skipped()
        self.complete.clear()
        # opened at once: a source that is not there is a mistake to be reported before any work
        self._listings = {
            source: list_source(source, self._skip)
            for source in self.sources
            if source not in self._lists
        }
        return batches_of(self._pieces())

    def videos(self) -> Iterator[Video]:
        """Stream the same videos one by one."""
        return (video for batch in self.batches() for video in batch.videos())

    def holds(self, uri: str) -> bool:
        """Return whether a folder, prefix or glob would name a video of this address.

        Valid after `batches` has ended.
        """
        return any(
            listing.holds(uri) and (listing.pattern is None or _suffix(uri) in VIDEO_SUFFIXES)
            for listing in self._listings.values()
        )

    def _pieces(self) -> Iterator[pa.Table]:
        for source in dict.fromkeys(self.sources):
            name = named(source)
            if source in self._lists:
                yield from pieces_of(self._lists[source], name, self.skipped)
            else:
                pages = self._listings[source].pages
                yield from (_videos(page, name, source) for page in pages)
            self.complete.add(name)

    def _skip(self, uri: str, reason: str, is_folder: bool) -> None:
        # a name without suffix may be a link to a folder
        if is_folder or _suffix(uri) in VIDEO_SUFFIXES or not _suffix(uri):
            self.skipped.add(uri, reason)


def iter_corpus(sources: Iterable[str]) -> Iterator[Video]:
    """Stream the videos of sources, without a dataset that fixes column types (see `Corpus`)."""
    return Corpus(sources).videos()


def named(source: str) -> str:
    """Return a source's name for the column `source`: without secrets, the same from any folder."""
    return local_uri(local_path(source)) if is_local(source) else public(source)


def _videos(page: Page, name: str, source: str) -> pa.Table:
    """Return what looks like video; a file that the user names is taken as it is."""
    uris = pa.array(page.uris, pa.string())
    table = piece(name, uris, pa.array(page.sizes, pa.int64()), pa.array(page.etags, pa.string()))
    if page.uris in ([name], [source]):
        return table
    if page.uris and not is_local(page.uris[0]) and not is_s3(page.uris[0]):
        # of a chain the suffix is that of its first link
        mask = pa.array([_suffix(uri) in VIDEO_SUFFIXES for uri in page.uris], pa.bool_())
    else:
        mask = pc.match_substring_regex(uris, _VIDEO_NAME)
    return table.filter(mask)


def _suffix(uri: str) -> str:
    """Return the lower-case suffix of the name; of a chain, that of its first link."""
    name = uri if is_local(uri) or is_s3(uri) else uri.partition("::")[0]
    return os.path.splitext(name)[1].lower()
