"""How long a unit may take at most, whatever its decoder claims to achieve.

The time-out ends a child that gets nowhere. The budget ends one that always gets somewhere
and never to an end: it grows with the clips that are settled, so it bounds their average.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.task import Task
from vfeat.storage.uris import is_local

# Time-outs that opening and entering a video may take, before its first clip.
_ENTRY_TIMEOUTS = 5
# Slower than any disk or store that one would read videos from, bytes per second.
_LOCAL_RATE = 1 << 20
_REMOTE_RATE = 1 << 16
_CPU_CHECK_S = 1.0


class UnitBudget:
    """Seconds of one task in one child: so many by the clock, and so many of CPU time.

    Attributes:
        settled: clips and ranges of clips that the child has settled.
    """

    def __init__(self, task: Task | None, limits: DecodeLimits, pid: int) -> None:
        """Begin to count.

        Args:
            task: what the child has to do; None for its start.
            pid: of the child.
        """
        self.settled = 0
        self._each_s = limits.timeout_s
        self._entry_s = _ENTRY_TIMEOUTS * limits.timeout_s
        if task is not None and task.size_bytes:
            rate = _LOCAL_RATE if is_local(task.uri) else _REMOTE_RATE
            self._entry_s += task.size_bytes / rate
        self._pid = pid
        self._began_s = time.monotonic()
        self._cpu_began_s = cpu_s(pid)
        self._cpu_checked_s = self._began_s

    def pause(self, seconds: float) -> None:
        """Leave out a wait that is not the child's."""
        self._began_s += seconds

    def overrun(self) -> str | None:
        """Why the task must end, or None while it is within its budget."""
        allowed_s = self._entry_s + self._each_s * self.settled
        now_s = time.monotonic()
        if now_s - self._began_s > allowed_s:
            return f"{self.settled} settled in {allowed_s:.0f} s, more than a unit may take; killed"
        if now_s - self._cpu_checked_s > _CPU_CHECK_S:
            self._cpu_checked_s = now_s
            if cpu_s(self._pid) - self._cpu_began_s > allowed_s:
                return (
                    f"{self.settled} settled in {allowed_s:.0f} s of CPU time, more than a unit "
                    "may take; killed"
                )
        return None


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        # The name in parentheses may hold anything; the fields follow it.
        fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
