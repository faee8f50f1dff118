"""Prefetching: the next batches are made while the network learns from the current one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
DEPTH = 2
POLL_S = 0.2
JOIN_S = 5.0


class Prefetch(Generic[Item]):
    """Iterator over another iterator's items, which runs in a thread of its own.

    Exceptions of the other iterator are raised here. It is a context manager: leaving it ends the
    thread.

    Attributes:
        waited_s: seconds that the reader has waited for items.
    """

    def __init__(self, source: Iterator[Item], depth: int = DEPTH) -> None:
        self.waited_s = 0.0
        self._queue: queue.Queue[Item | BaseException | None] = queue.Queue(depth)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source,), name="vfeat-prefetch")
        self._thread.daemon = True
        self._thread.start()

    def __enter__(self) -> Prefetch[Item]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(JOIN_S)  # a source that hangs is left to die with the process

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        began_s = time.monotonic()
        item = self._queue.get()
        self.waited_s += time.monotonic() - began_s
        if item is None:
            raise StopIteration
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self, source: Iterator[Item]) -> None:
        try:
            for item in source:
                if not self._put(item):
                    return
            # Marks the end of the source.
            self._put(None)
        except BaseException as error:  # any error is raised again in the reader
            self._put(error)

    def _put(self, item: Item | BaseException | None) -> bool:
        """Put an item into the queue; return False when the reader has gone."""
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
                return True
            except queue.Full:
                continue
        return False
