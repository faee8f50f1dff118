"""The index of a dataset, kept up to date while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from vfeat.errors import VfeatError
from vfeat.outcome import Outcome
from vfeat.storage.root import Root
from vfeat.surroundings import Running, here
from vfeat.tables.notes import OutcomeNotes
from vfeat.tables.snapshot import extend_index

NOTE_SHARDS = 1000
NOTE_EVERY_S = 60.0
EXTEND_EVERY_S = 600.0


class Bookkeeping:
    """Writer of what readers would otherwise gather from thousands of footers.

    Nothing depends on it: whatever is not written, readers find in the footers.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._notes = OutcomeNotes(root)
        self._noted_s = self._extended_s = here().now_s()
        self._extending: Running | None = None

    def add(self, shard: str, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of a shard as this run has committed it, whole."""
        self._notes.add(shard, outcomes)

    def keep_up(self) -> None:
        """Write what is due; to be called often."""
        now_s = here().now_s()
        if len(self._notes) >= NOTE_SHARDS or now_s - self._noted_s > NOTE_EVERY_S:
            self._noted_s = now_s
            self._write_notes()
        is_free = self._extending is None or not self._extending.is_alive()
        if is_free and now_s - self._extended_s > EXTEND_EVERY_S:
            self._extended_s = now_s
            self._extending = here().start("vfeat-index", self._extend)

    def close(self) -> None:
        """Write the rest, and wait for what is being written."""
        self._write_notes()
        if self._extending is not None:
            self._extending.join()

    def _write_notes(self) -> None:
        try:
            self._notes.flush()
        except VfeatError:
            return  # tried again with the next ones

    def _extend(self) -> None:
        try:
            extend_index(self._root)
        except VfeatError:
            return  # the snapshot at the end does it, and reports what is wrong
