"""What the code takes from the process that it runs in: clocks, chance and threads.

A simulation puts its own in their place; a run is then a function of its seed.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Running(Protocol):
    """A started thread."""

    def is_alive(self) -> bool: ...

    def join(self, timeout: float | None = None) -> None: ...


class Changed(AbstractContextManager[bool], Protocol):
    """A lock whose holders can wait for one another, as threading.Condition is."""

    def notify_all(self) -> None: ...

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool: ...


class Surroundings:
    """The machine's own clocks, chance and threads."""

    def now_s(self) -> float:
        """Return seconds of a monotonic clock."""
        return time.monotonic()

    def wall_s(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def token(self) -> str:
        """Return 32 hex digits that nobody else has."""
        return uuid.uuid4().hex

    def uniform(self, low: float, high: float) -> float:
        """Return a number between two others."""
        return random.uniform(low, high)

    def start(self, name: str, work: Callable[[], object]) -> Running:
        """Start a thread that ends with the process."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def each(self, threads: int, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Do something with each item, in several threads; yield the results in order."""
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(work, items)

    def ahead(self, items: Iterator[T]) -> Iterator[T]:
        """Yield items, and take the next one meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(next, items, None)
            while (item := following.result()) is not None:
                following = pool.submit(next, items, None)
                yield item

    def lock(self) -> AbstractContextManager[bool]:
        """Make a lock that may be held while a store is called."""
        return threading.Lock()

    def changed(self) -> Changed:
        """Make a condition."""
        return threading.Condition()


_current = Surroundings()


def here() -> Surroundings:
    """Return the surroundings of this process."""
    return _current


@contextmanager
def use(others: Surroundings) -> Iterator[None]:
    """Put others in their place, for the whole process."""
    global _current
    before, _current = _current, others
    try:
        yield
    finally:
        _current = before
