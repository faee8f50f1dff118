"""Full addresses of videos whose public address does not suffice to read them.

Plans, rows and messages hold public addresses only. What is missing there, a signature or a
password, is taken from the sources of the present command, and kept as long as the process lives:
in a file without a name, so that millions of signed addresses cost little memory.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.addresses import public, user_of, with_user
from vfeat.corpus.ids import ID, Ids, raw_ids
from vfeat.corpus.sorted_run import Mask, SortedRun, Words, settle
from vfeat.corpus.video import LIST_SUFFIXES
from vfeat.storage.failures import explain
from vfeat.storage.uris import is_local

_HEAD = struct.Struct("<16sI")  # before each address in the file: its video, and its length


class AddressBook:
    """Full addresses by video_id; several threads may use it.

    The password of a source that is no list is kept once, not for each of its videos. Memory: 16
    bytes for each address that is kept, in mapped temporary files from half a million on.

    Args:
        sources: of the command, as given.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self._users = {
            public(source): user
            for source in sources
            if not is_local(source) and not public(source).lower().endswith(LIST_SUFFIXES)
            if (user := user_of(source))
        }
        self._runs: list[SortedRun] = []
        self._file: IO[bytes] | None = None
        self._end = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, videos: pa.Table) -> None:
        """Keep the full addresses of videos; the last one of a video counts.

        Args:
            videos: columns video_id (hex), uri, source and address (null where uri suffices).

        Raises:
            StorageError: the temporary folder is full.
        """
        if videos.column("address").null_count == len(videos):
            return
        some = videos.filter(pc.is_valid(videos.column("address")))
        columns = (some.column(name).to_pylist() for name in ("uri", "source", "address"))
        rows = zip(*columns, strict=True)
        own = [place for place, row in enumerate(rows) if self._of_source(*row[:2]) != row[2]]
        if own:
            some = some.take(pa.array(own, pa.int64()))
            self._keep(raw_ids(some.column("video_id")), some.column("address").to_pylist())

    def has(self, videos: pa.Table) -> Mask:
        """Return for each video (columns video_id and source) whether more than its uri is kept."""
        with self._lock:
            runs = list(self._runs)
        wanted = SortedRun(_heads(raw_ids(videos.column("video_id"))), None)
        found = np.zeros(len(wanted), bool)
        for run in runs:
            found |= run.contains(wanted)
        if self._users:
            sources = pa.array(list(self._users), pa.string())
            found |= np.array(pc.is_in(videos.column("source"), sources))
        return found

    def find(self, video_id: str, uri: str, source: str | None) -> str | None:
        """Return the full address of a video; None where nothing but its uri is known."""
        wanted = bytes.fromhex(video_id)
        head = np.frombuffer(wanted, np.uint64, 1)[0]
        with self._lock:
            for offset in sorted(self._offsets(head), reverse=True):
                if (found := self._read(offset, wanted)) is not None:
                    return found
        return self._of_source(uri, source)

    def _of_source(self, uri: str, source: str | None) -> str | None:
        user = self._users.get(source or "")
        return with_user(uri, user) if user else None

    def _keep(self, ids: Ids, addresses: list[str]) -> None:
        records, offsets, end = [], [], self._end
        for video, address in zip(ids.view("V16").tolist(), addresses, strict=True):
            content = address.encode()
            record = _HEAD.pack(video, len(content)) + content
            records.append(record)
            offsets.append(end)
            end += len(record)
        heads, tails = _heads(ids), np.array(offsets, np.uint64)
        run = SortedRun(heads, tails)
        with self._lock:
            try:
                self._append(b"".join(records))
            except OSError as error:
                raise explain(error, tempfile.gettempdir(), end - self._end) from error
            self._end = end
            self._runs.append(run.take(np.argsort(heads, kind="stable")))
            settle(self._runs)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="vfeat-addresses-")  # noqa: SIM115
        view, at = memoryview(data), self._end
        while view:
            written = os.pwrite(self._file.fileno(), view, at)
            view, at = view[written:], at + written

    def _offsets(self, head: Any) -> list[int]:
        found: list[int] = []
        for run in self._runs:
            assert run.tails is not None
            first = int(np.searchsorted(run.heads, head, "left"))
            last = int(np.searchsorted(run.heads, head, "right"))
            found += run.tails[first:last].tolist()
        return found

    def _read(self, offset: int, wanted: bytes) -> str | None:
        assert self._file is not None
        video, size = _HEAD.unpack(os.pread(self._file.fileno(), _HEAD.size, offset))
        if video != wanted:
            return None  # another id with the same first half
        return os.pread(self._file.fileno(), size, offset + _HEAD.size).decode()


def _heads(ids: Ids) -> Words:
    return np.ascontiguousarray(ids, ID).view(np.uint64).reshape(-1, 2)[:, 0].copy()
