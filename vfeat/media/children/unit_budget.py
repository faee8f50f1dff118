"""How long a unit may take at most, whatever its decoder claims to achieve.

The time-out ends a child that gets nowhere. The budget ends one that always gets somewhere
and never to an end: it grows with the clips that are settled, so it bounds their average.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass

from vfeat.errors import ErrorClass
from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.task import Task
from vfeat.media.sandbox.limits import limit_cpu, memory_in_use
from vfeat.storage.uris import is_local

# Time-outs that opening and entering a video may take, before its first clip.
_ENTRY_TIMEOUTS = 5
# Slower than any disk or store that one would read videos from, bytes per second.
_LOCAL_RATE = 1 << 20
_REMOTE_RATE = 1 << 16
# Finding shots decodes all of a video before its first clip: so many bytes hold a second of work
# of one core at least, also in a recording of a still screen.
_SHOTS_RATE = 1 << 14
_CHECK_S = 1.0
# The kernel ends a child this much later, should its parent be too busy to do it.
_GRACE_S = 10.0


@dataclass(frozen=True)
class Overrun:
    """Reason to end a child, with the class of its unit's error."""

    error_class: ErrorClass
    message: str


class UnitBudget:
    """Budget of one task in one child: seconds by the clock, seconds of CPU time, and memory.

    Attributes:
        settled: clips and ranges of clips that the child has settled.
    """

    def __init__(
        self, task: Task | None, limits: DecodeLimits, pid: int, finds_shots: bool = False
    ) -> None:
        """Begin to count.

        Args:
            task: what the child has to do; None for its start.
            pid: of the child.
            finds_shots: a grid is laid on shots.
        """
        self.settled = 0
        self._each_s = limits.timeout_s
        self._entry_s = _ENTRY_TIMEOUTS * limits.timeout_s
        if task is None:
            self._entry_s = limits.start_timeout_s
        elif task.size_bytes:
            rate = _LOCAL_RATE if is_local(task.uri) else _REMOTE_RATE
            self._entry_s += task.size_bytes / rate
            if finds_shots and getattr(task, "timeline", None) is None:
                self._entry_s += task.size_bytes / _SHOTS_RATE
        self._memory_bytes = limits.memory_bytes
        self._pid = pid
        self._began_s = time.monotonic()
        self._cpu_began_s = cpu_s(pid)
        self._checked_s = self._began_s
        self._limit_cpu()

    def pause(self, seconds: float) -> None:
        """Leave out a wait that is not the child's."""
        self._began_s += seconds

    def overrun(self) -> Overrun | None:
        """Return why the task must end, or None while it is within its budget."""
        allowed_s = self._allowed_s
        now_s = time.monotonic()
        if now_s - self._began_s > allowed_s:
            return self._too_long("")
        if now_s - self._checked_s <= _CHECK_S:
            return None
        self._checked_s = now_s
        if cpu_s(self._pid) - self._cpu_began_s > allowed_s:
            return self._too_long(" of CPU time")
        self._limit_cpu()
        used = memory_in_use(self._pid)
        if used > self._memory_bytes:
            return Overrun(
                "too_large",
                f"the decoder uses {used >> 20:,} MiB of memory, more than a child may "
                f"(limit: decode memory_bytes, {self._memory_bytes >> 20:,} MiB); killed",
            )
        return None

    @property
    def _allowed_s(self) -> float:
        return self._entry_s + self._each_s * self.settled

    def _too_long(self, kind: str) -> Overrun:
        return Overrun(
            "timeout",
            f"{self.settled} settled in {self._allowed_s:.0f} s{kind}, more than a unit may "
            "take; killed",
        )

    def _limit_cpu(self) -> None:
        with suppress(OSError, ValueError, OverflowError):
            limit_cpu(self._pid, self._cpu_began_s + self._allowed_s + _GRACE_S)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        # The name in parentheses may hold anything; the fields follow it.
        fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
