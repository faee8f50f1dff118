"""The sequences of the sources of a command, as units of work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from vfeat.addresses import public
from vfeat.corpus.id_set import IdSet
from vfeat.corpus.ids import raw_ids
from vfeat.corpus.skipped import Skipped
from vfeat.corpus.video import Video
from vfeat.errors import JobError, UnitError
from vfeat.importing.sequence_file import (
    SUFFIXES,
    ArrayInfo,
    Reading,
    opened_sequences,
    suffix_of,
)
from vfeat.plan.unit import Unit
from vfeat.storage.listed import Listed, SourceListing
from vfeat.storage.listing import list_source
from vfeat.storage.root import Root
from vfeat.tables import layout

BYTES_S = 100e6  # read, converted and written by one worker in a second; a rough figure
_LOOKED_AT = 100  # files, for the first that can be read
_CHUNK = 1024  # units looked up together
_SINGLE = (".npy",)  # formats of one sequence a file, which need not be opened to be planned


@dataclass
class FeatureFiles:
    """Files with features under the sources of one command.

    Args:
        sources: folders, files, globs or prefixes.
        reading: how they are read.

    Attributes:
        skipped: what could not be listed.
        present: video_ids found by `units`.
    """

    sources: tuple[str, ...]
    reading: Reading

    def __post_init__(self) -> None:
        self.skipped = Skipped()
        self.present = IdSet()
        self._listings: list[SourceListing] = []
        for source in self.sources:
            if public(source) != source:
                raise JobError(
                    f"{public(source)}: an address with a password or signature cannot be "
                    "imported from; copy the files to a disk or a bucket first"
                )
            if not suffix_of(source) and Root(source).exists(layout.DATASET):
                raise JobError(
                    f"{source} is a vfeat dataset already; use it as it is, without an import"
                )

    def files(self) -> Iterator[Listed]:
        """List the files, each once.

        Raises:
            JobError: a source that is not there, or holds no such file.
            StorageError: a folder or bucket that cannot be listed.
        """
        self.skipped = Skipped()
        self._listings = [list_source(source, self._skip) for source in self.sources]
        seen: set[str] = set()
        for listing in self._listings:
            for page in listing.pages:
                for found in page.objects():
                    if suffix_of(found.uri) in SUFFIXES and found.uri not in seen:
                        seen.add(found.uri)
                        yield found
        if not seen:
            where = ", ".join(self.sources)
            raise JobError(f"no features in {where}: expected files with {' '.join(SUFFIXES)}")

    def first(self) -> ArrayInfo:
        """Return shape and type of the first sequence that can be read.

        Raises:
            JobError: none can; the message has the reason of the first file.
        """
        reason = ""
        for number, file in enumerate(self.files()):
            if number == _LOOKED_AT:
                break
            try:
                with opened_sequences(file.uri, self.reading, *file[1:]) as opened:
                    infos = list(opened.sequences().values())
            except UnitError as error:
                reason = reason or error.message
                continue
            for info in infos:
                if info.is_sequence and all(info.steps_and_width(self.reading)):
                    return info
            reason = reason or f"{file.uri} holds no sequence"
        raise JobError(f"none of the files can be read: {reason}")

    def units(self, width: int) -> Iterator[Unit]:
        """Yield a unit for each sequence; containers are opened, single arrays are not.

        Args:
            width: of the vectors of the dataset, for estimates.
        """
        self.present = IdSet()
        found = (unit for file in self.files() for unit in self._units_of(file, width))
        while chunk := list(islice(found, _CHUNK)):
            ids = raw_ids(pa.array([unit.video_id for unit in chunk], pa.string()))
            new = self.present.add(ids)
            yield from (unit for unit, is_new in zip(chunk, new, strict=True) if is_new)

    def is_gone(self, videos: pa.Table) -> pa.BooleanArray:
        """Return for each video (columns video_id, uri, source) whether its file is gone.

        Valid when `units` was read to its end. Null for a file that no source would name.
        """
        here = self.present.contains(raw_ids(videos.column("video_id")))
        answers: list[bool | None] = []
        for is_here, uri in zip(here, videos.column("source").to_pylist(), strict=True):
            named = uri is not None and any(one.holds(uri) for one in self._listings)
            answers.append(False if is_here else True if named else None)
        gone = pa.array(answers, pa.bool_())
        if not self.skipped.count:
            return gone
        covered = pa.array(self.skipped.covers(pa.array(videos.column("uri").to_pylist())))
        return pc.if_else(covered, pa.scalar(None, pa.bool_()), gone)

    def _units_of(self, file: Listed, width: int) -> Iterator[Unit]:
        if suffix_of(file.uri) in _SINGLE:
            expected = max(1, file.size_bytes // (4 * width))
            yield self._unit(file, "", expected, file.size_bytes)
            return
        try:
            with opened_sequences(file.uri, self.reading, *file[1:]) as opened:
                found = opened.sequences()
        except UnitError as error:
            yield self._unit(file, "", 1, 0, error)
            return
        for name, info in found.items():
            steps = max(1, info.steps_and_width(self.reading)[0] if len(info.shape) == 2 else 1)
            yield self._unit(file, name, steps, info.size_bytes)

    def _unit(
        self, file: Listed, name: str, steps: int, size: int, error: UnitError | None = None
    ) -> Unit:
        uri = f"{file.uri}/{name}" if name else file.uri
        # the same file read in another way holds other vectors
        identity = f"{file.etag}{self.reading.identity}"
        return Unit(
            Video(uri, file.size_bytes, identity).video_id, uri, file.size_bytes, file.etag, 0,
            None, 0.001 + size / BYTES_S, source=file.uri, expected=steps,
            error_class=error.error_class if error else None,
            message=error.message if error else None, attempts=1 if error else 0,
        )  # fmt: skip

    def _skip(self, uri: str, reason: str, is_folder: bool) -> None:
        if is_folder or suffix_of(uri) in SUFFIXES:
            self.skipped.add(uri, reason)
