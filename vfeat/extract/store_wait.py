"""Units whose store was away while they were read: tried again when it answers.

A store's fault is no video's. A decoder child waits seconds for it; the worker waits as long as
the job allows, and only what a store that answers refuses becomes an error row.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass

from vfeat.errors import StorageError, VfeatError
from vfeat.extract.open_shard import OpenShard
from vfeat.outcome import Outcome
from vfeat.plan.unit import Unit
from vfeat.storage.failures import FolderFound, MissingObject
from vfeat.storage.listing import find_object
from vfeat.storage.source import is_local
from vfeat.storage.uris import server_of

TRIES = 4
SILENCE_S = 60.0  # how long a server that was waited for in vain is not asked again
_PAUSE_S = 2.0


@dataclass(frozen=True)
class Tried:
    """A unit that failed by storage.

    Attributes:
        outcome: of its last attempt.
        again: the store answers, and has the object: decode the unit again.
    """

    shard: OpenShard
    unit: Unit
    outcome: Outcome
    again: bool


class StoreWait:
    """One thread that asks for the objects of such units until their store answers.

    Args:
        patience_s: seconds since a unit's first failure after which it counts.

    Attributes:
        held: units that wait.
    """

    def __init__(self, patience_s: float) -> None:
        self.held = 0
        self._patience_s = patience_s
        self._waiting: queue.SimpleQueue[tuple[OpenShard, Unit, Outcome] | None] = (
            queue.SimpleQueue()
        )
        self._settled: queue.SimpleQueue[Tried] = queue.SimpleQueue()
        self._since_s: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._given_up_s: dict[str, float] = {}  # by server: not asked until then
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vfeat-store-wait", daemon=True)
        self._thread.start()

    def take(self, shard: OpenShard, unit: Unit, outcome: Outcome) -> bool:
        """Take over a unit that failed by storage; False when its outcome is to stand."""
        if is_local(unit.uri) or all(e.error_class != "storage" for e in outcome.errors):
            return False
        key = f"{shard.lease.shard}:{unit.key}"
        self._since_s.setdefault(key, time.monotonic())
        self._tries[key] = self._tries.get(key, 1) + 1
        self.held += 1
        if self._tries[key] > TRIES:
            self._settled.put(Tried(shard, unit, outcome.after(TRIES - 1), False))
        else:
            self._waiting.put((shard, unit, outcome))
        return True

    def settled(self) -> Tried | None:
        """Return a unit that has waited long enough, or whose store has answered."""
        try:
            tried = self._settled.get_nowait()
        except queue.Empty:
            return None
        self.held -= 1
        return tried

    def close(self) -> None:
        """End the thread; units that wait are dropped with their shards."""
        self._closed.set()
        self._waiting.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None and not self._closed.is_set():
            shard, unit, outcome = item
            key = f"{shard.lease.shard}:{unit.key}"
            again = self._answers(unit.read_from, self._since_s[key] + self._patience_s)
            before = self._tries[key] - 2  # attempts before this one, each by a child
            self._settled.put(Tried(shard, unit, outcome.after(before), again))

    def _answers(self, uri: str, until_s: float) -> bool:
        """Wait until the store answers; False when it has no such object, or time is up."""
        server = server_of(uri)
        while not self._closed.is_set():
            if time.monotonic() < self._given_up_s.get(server, 0.0):
                return False
            try:
                find_object(uri)
                return True
            except (MissingObject, FolderFound):
                return False
            except StorageError:
                if time.monotonic() >= until_s:
                    self._given_up_s[server] = time.monotonic() + SILENCE_S
                    return False
            except VfeatError:
                return False
            self._closed.wait(_PAUSE_S)
        return False
