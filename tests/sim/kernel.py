"""A world of one thread: a virtual clock, tasks in turn, chance from a seed.

Everything that a driver or a worker takes from its process (`vfeat.surroundings`) comes from here.
A task runs until it lets time pass; whoever is due next runs then. So an interleaving is a
function of the seed, and of nothing else.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from greenlet import getcurrent, greenlet

from vfeat.surroundings import Changed, R, Running, Surroundings, T

EPOCH_S = 1_700_000_000.0


class Killed(BaseException):
    """The end of a simulated process, between any two of its steps."""


class Endless(Exception):
    """Finding: time or steps ran out."""


class Process:
    """A driver or a worker: its tasks end together."""

    def __init__(self, name: str, kill_at: int | None = None) -> None:
        """Name it; with `kill_at` it ends before so many steps are done."""
        self.name = name
        self.steps = 0
        self.is_dead = False
        self._kill_at = kill_at

    def step(self) -> None:
        """Count a step.

        Raises:
            Killed: the process is dead.
        """
        self.steps += 1
        if self.steps == self._kill_at:
            self.is_dead = True
        if self.is_dead:
            raise Killed(self.name)


class Task(greenlet):
    """A thread of a process."""

    def __init__(
        self, kernel: Kernel, process: Process, name: str, work: Callable[[], Any]
    ) -> None:
        super().__init__(self._run)
        self.kernel = kernel
        self.process = process
        self.name = name
        self.work = work
        self.until_s = kernel.now_s
        self.ready: Callable[[], bool] | None = None
        self.is_over = False
        self.bug = ""

    def _run(self) -> None:
        try:
            self.process.step()
            self.work()
        except Killed:
            pass
        except Exception:
            self.bug = traceback.format_exc()
        finally:
            self.is_over = True

    def is_alive(self) -> bool:
        return not self.is_over

    def join(self, timeout: float | None = None) -> None:
        seconds = float("inf") if timeout is None else timeout
        self.kernel.wait_for(lambda: self.is_over, seconds)


class Kernel:
    """Clock, tasks and chance of one simulation.

    Attributes:
        now_s: virtual seconds.
        chance: of everything that happens.
        faults: injected ones, by kind.
    """

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.now_s = 0.0
        self.chance = random.Random(seed)
        self.names = random.Random(seed ^ 0x5EED)
        self.faults: Counter[str] = Counter()
        self.lines: list[str] | None = [] if keep_trace else None
        self.steps = 0
        self.most_steps = 400_000
        self._digest = hashlib.blake2b(digest_size=16)
        self._tasks: list[Task] = []
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._hub: greenlet = getcurrent()

    # what happens

    def trace(self, *words: object) -> None:
        """Note an event."""
        line = f"{self.now_s:.3f} {' '.join(map(str, words))}"
        self._digest.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    def fault(self, kind: str, *words: object) -> None:
        """Count an injected fault."""
        self.faults[kind] += 1
        self.trace("FAULT", kind, *words)

    def digest(self) -> str:
        """Return the digest of the trace."""
        return self._digest.hexdigest()

    def happens(self, share: float) -> bool:
        """Return True in this share of the cases."""
        return share > 0 and self.chance.random() < share

    # tasks

    def spawn(self, process: Process, name: str, work: Callable[[], Any]) -> Task:
        """Start a task."""
        task = Task(self, process, name, work)
        self._tasks.append(task)
        return task

    @property
    def task(self) -> Task | None:
        """The running task; None outside of all."""
        found = getcurrent()
        return found if isinstance(found, Task) else None

    def step(self) -> None:
        """Count a step of the running task's process.

        Raises:
            Killed: that was its last one.
        """
        if (task := self.task) is not None:
            task.process.step()

    def at(self, seconds: float, work: Callable[[], object]) -> None:
        """Do something later, in no process."""
        heapq.heappush(self._later, (self.now_s + seconds, next(self._order), work))

    def sleep(self, seconds: float) -> None:
        """Let time pass for the running task."""
        task = self.task
        if task is None:
            return
        task.until_s, task.ready = self.now_s + seconds, None
        self._switch(task)

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until something holds, but no longer."""
        task = self.task
        if ready() or task is None:
            return ready()
        task.until_s, task.ready = self.now_s + seconds, ready
        self._switch(task)
        return ready()

    def _switch(self, task: Task) -> None:
        self._hub.switch()
        if task.process.is_dead:
            raise Killed(task.process.name)

    def run(self, is_over: Callable[[], bool], most_s: float) -> None:
        """Let the world go on until something holds.

        Raises:
            Endless: time or steps ran out.
        """
        end_s = self.now_s + most_s
        while not is_over():
            self.steps += 1
            if self.steps > self.most_steps:
                raise Endless(f"{self.most_steps:,} steps and no end")
            while self._later and self._later[0][0] <= self.now_s:
                heapq.heappop(self._later)[2]()
            due = [task for task in self._tasks if self._is_due(task)]
            if due:
                task = due[0] if len(due) == 1 else self.chance.choice(due)
                task.switch()
                if task.is_over:
                    self._tasks.remove(task)
                    if task.bug:
                        raise AssertionError(task.bug)
                continue
            times = [task.until_s for task in self._tasks]
            if self._later:
                times.append(self._later[0][0])
            next_s = min(times, default=float("inf"))
            if next_s > end_s:
                raise Endless(f"nothing ended within {most_s:,.0f} virtual seconds")
            self.now_s = max(self.now_s, next_s)

    def _is_due(self, task: Task) -> bool:
        if task.process.is_dead or task.until_s <= self.now_s:
            return True
        return task.ready is not None and task.ready()

    def pass_time(self, seconds: float) -> None:
        """Let the world go on for so long."""
        end_s = self.now_s + seconds
        self.at(seconds, lambda: None)
        self.run(lambda: self.now_s >= end_s, seconds)

    def end(self) -> None:
        """End all tasks that are left."""
        for task in list(self._tasks):
            task.process.is_dead = True
            if task:
                task.switch()
            self._tasks.remove(task)


class _Lock(AbstractContextManager[bool]):
    """Lock between tasks."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._is_held = False

    def __enter__(self) -> bool:
        while self._is_held:
            self._kernel.wait_for(lambda: not self._is_held, float("inf"))
        self._is_held = True
        return True

    def __exit__(self, *_: object) -> None:
        self._is_held = False


class _Changed(_Lock):
    """Condition between tasks; nobody is interrupted while it holds the lock."""

    def __enter__(self) -> bool:
        return True

    def notify_all(self) -> None:
        """Do nothing: whoever waits looks for itself."""

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        self._kernel.step()
        return self._kernel.wait_for(predicate, timeout)


class Simulated(Surroundings):
    """What a simulated process takes from its machine."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def now_s(self) -> float:
        return self.kernel.now_s

    def wall_s(self) -> float:
        return EPOCH_S + self.kernel.now_s

    def sleep(self, seconds: float) -> None:
        self.kernel.step()
        self.kernel.sleep(seconds)

    def token(self) -> str:
        return f"{self.kernel.names.getrandbits(128):032x}"

    def uniform(self, low: float, high: float) -> float:
        return self.kernel.chance.uniform(low, high)

    def start(self, name: str, work: Callable[[], object]) -> Running:
        task = self.kernel.task
        assert task is not None
        return self.kernel.spawn(task.process, name, work)

    def each(self, threads: int, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return map(work, items)

    def ahead(self, items: Iterator[T]) -> Iterator[T]:
        return items

    def lock(self) -> AbstractContextManager[bool]:
        return _Lock(self.kernel)

    def changed(self) -> Changed:
        return _Changed(self.kernel)
