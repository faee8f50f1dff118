"""The command under test with all of its processes, found by a mark in their environment."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.scene import FLAGS
from tests.engine.commands import environment

# The command with less patience than a user's, so that a round takes a minute.
_HASTY = (
    "import vfeat.engine.cluster_executor as executor; executor.SILENCE_S = 20.0; "
    "import vfeat.engine.node_health as health; health.FIRST_REST_S = 2.0; "
    "from vfeat.cli import main; main()"
)
_MARK = "VFEAT_TEST_MARK"
DONE = (0, 3)


@dataclass
class Command:
    """One command line, started as often as a round needs it.

    Attributes:
        extra: variables of its environment.
        log: where its output goes, run after run.
        life: number of the running start, from 1.
    """

    source: str
    out: str
    extra: dict[str, str]
    log: Path
    life: int = 0
    codes: list[int] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _marks: list[str] = field(default_factory=list)
    _others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start it."""
        self.life += 1
        self._marks.append(uuid.uuid4().hex)
        self._process = self._spawn()

    def start_another(self) -> None:
        """Start one more driver of the same command, beside the first."""
        self._others.append(self._spawn())

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _HASTY, "extract", self.source, "--out", self.out, *FLAGS],
                env=environment(**self.extra, **{_MARK: self._marks[-1]}),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def runs(self) -> bool:
        """True until the driver has ended."""
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return True
        self.codes.append(code)
        self._process = None
        return False

    @property
    def driver(self) -> psutil.Process:
        """The driver's process."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def processes(self, what: str) -> list[psutil.Process]:
        """Return processes of the running start whose command line holds these words."""
        return self._find(what, self._marks[-1:])

    def _find(self, what: str, marks: list[str]) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                is_ours = process.environ().get(_MARK) in marks
                if is_ours and what in " ".join(process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def end(self, wait_s: float) -> None:
        """Wait for its end and that of other drivers; kill all of it after that time.

        Raises:
            AssertionError: it had to be killed, or its processes stay.
        """
        deadline_s = time.monotonic() + wait_s
        while self.runs or any(other.poll() is None for other in self._others):
            if time.monotonic() > deadline_s:
                self.kill()
                raise AssertionError(f"the command hung for {wait_s:.0f} s")
            time.sleep(0.2)
        self.codes += [other.returncode for other in self._others]
        self._others.clear()
        # Ray's own processes follow their driver within some seconds
        deadline_s = time.monotonic() + 60
        while left := self._find("", self._marks):
            if time.monotonic() > deadline_s:
                names = [" ".join(process.cmdline())[:80] for process in left]
                self.kill()
                raise AssertionError(f"processes are left running: {names}")
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill all of its processes."""
        for left in self._find("", self._marks):
            with contextlib.suppress(psutil.Error):
                left.kill()
        for process in (self._process, *self._others):
            if process is not None:
                process.kill()
                process.wait()
        self._process = None
        self._others.clear()
