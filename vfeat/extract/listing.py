"""What the sources of a job hold now, against what its plans hold already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.corpus import Corpus, VideoBatch
from vfeat.corpus.address_book import AddressBook
from vfeat.corpus.id_set import IdSet
from vfeat.corpus.identity import hashes, stripped
from vfeat.corpus.ids import raw_ids
from vfeat.errors import JobError

_Mask = npt.NDArray[np.bool_]


class Listing:
    """Present contents of the corpus, collected while it is streamed.

    Of what went by it keeps 24 bytes a video, in temporary files.

    Args:
        corpus: the sources of the command, with its lists read.
        known: video_ids of all plans.
        addresses: receives what opens the videos and no plan holds.
        needs: choice of those among the videos of a batch whose address may be asked for.
        looked: called after each batch.

    Attributes:
        videos: videos so far, each once.
        new: of these, those that no plan has.
        size_bytes: their bytes.

    Raises:
        JobError: there is no video at all, or a list contradicts itself; raised at construction.
    """

    def __init__(
        self,
        corpus: Corpus,
        known: IdSet,
        addresses: AddressBook | None = None,
        needs: Callable[[VideoBatch], _Mask] = lambda batch: np.ones(len(batch), bool),
        looked: Callable[[Listing], None] = lambda listing: None,
    ) -> None:
        corpus.refuse_contradictions()
        self.corpus = corpus
        self.videos = 0
        self.new = 0
        self.size_bytes = 0
        self._known = known
        self._addresses = addresses
        self._needs = needs
        self._looked = looked
        self._present = IdSet()
        self._names = IdSet(np.int64)
        self._batches = corpus.batches()
        first = next(self._batches, None)
        if first is None:
            where = ", ".join(corpus.sources)
            raise JobError(f"no videos in {where}: nothing there has a video file's suffix")
        self._ahead = [first]

    def fresh(self) -> Iterator[VideoBatch]:
        """Yield the videos that no plan has yet, each once, while listing.

        It must be read to its end, once, before `is_gone` is asked.
        """
        ahead, self._ahead = self._ahead, []
        for batch in chain(ahead, self._batches):
            # two sources overlap, or a list repeats a row
            if not (new := self._present.add(batch.ids)).all():
                batch = batch.where(new)
            if not len(batch):
                continue
            self._names.add(batch.names)
            self.videos += len(batch)
            self.size_bytes += int(np.sum(batch.table.column("size_bytes").to_numpy()))
            known = self._known.contains(batch.ids)
            self.new += int(np.count_nonzero(~known))
            self._note_addresses(batch, known)
            if known.all():
                continue
            yield batch.where(~known) if known.any() else batch

    def _note_addresses(self, batch: VideoBatch, known: _Mask) -> None:
        """Keep the full addresses of videos that may be read in this run."""
        secret = batch.table.column("address")
        if self._addresses is not None and secret.null_count < len(batch):
            needed = ~known | self._needs(batch)
            self._addresses.add(batch.table.filter(pa.array(needed)))
        self._looked(self)

    def add(self, videos: pa.Table) -> bool:
        """Count one video as listed that was found after the listing; return whether it is new."""
        ids = raw_ids(videos.column("video_id"))
        return bool(self._present.add(ids).all() and not self._known.contains(ids).any())

    def is_gone(self, videos: pa.Table) -> pa.BooleanArray:
        """Return for each video whether it is no longer there.

        Args:
            videos: columns video_id, uri and source (of the command that planned it, as batches
                name it; null in older plans).

        Returns:
            False for a video that was listed; True for one that was replaced or removed: its
            object is listed with another etag, or a source that would name it was read to its end
            without it. Null where this listing gives no answer.
        """
        gone = np.zeros(len(videos), bool)
        told = self._present.contains(raw_ids(videos.column("video_id")))
        absent = np.flatnonzero(~told)
        if len(absent):
            some = videos.take(pa.array(absent))
            gone[absent] = told[absent] = self._is_gone(some)
        return pa.array(gone, pa.bool_(), mask=~told)

    def _is_gone(self, absent: pa.Table) -> _Mask:
        uris = pa.concat_arrays(absent.column("uri").cast(pa.string()).chunks)
        complete = pa.array(sorted(self.corpus.complete), pa.string())
        gone: _Mask = np.array(pc.is_in(absent.column("source"), complete))
        # no etag is asked for, so the query may or may not be part of what identifies the object
        for query in (False, True):
            gone |= self._names.contains(hashes(stripped(uris, query=query)))
        left = np.flatnonzero(~gone)
        held = map(self.corpus.holds, uris.take(pa.array(left)).to_pylist())
        gone[left] = np.fromiter(held, bool, len(left))
        return gone & ~self.corpus.skipped.covers(uris)
