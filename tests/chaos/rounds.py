"""A round: one dataset, the command started again and again, faults until the work is done."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.command import DONE
from tests.chaos.faults import MACHINE, MEMORY, PRESSURE_BYTES, PROCESSES, STORE, Scene
from tests.chaos.scene import Truth, differences
from vfeat.errors import VfeatError
from vfeat.storage.root import Root
from vfeat.tables.committed import committed_shards

DISK_BYTES = 64 << 20
_ENDS = (0, 3, 4, 5, -9)  # of a disturbed run: never 1, which is a bug of vfeat's
_MOST_DEATHS = 3  # of workers in one run: more of them may blame a video, as they should
_APART = 4  # commits between two faults of children: two on one video are an error row
_LAST_S = 300.0  # the longest that a run may take when nothing disturbs it
_DEADLY = ("actor killed", "actor stopped", MEMORY)


@dataclass
class Result:
    """Result of a round.

    Attributes:
        struck: kinds of the faults that took effect, in order, and when, seconds.
        problems: what is not exact; empty when the dataset is what it should be.
    """

    struck: list[tuple[str, float]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small file system; None where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


class Round:
    """One dataset under faults.

    Args:
        out: root of the dataset.
        kinds: of the faults to strike, in order.
        dice: decides moments, targets and durations.
    """

    def __init__(self, scene: Scene, out: str, kinds: list[str], dice: random.Random) -> None:
        self.scene = scene
        self.kinds = list(kinds)
        self.result = Result()
        self._dice = dice
        self._out = out
        self._deaths = 0
        self._child_at = -_APART  # commits when a child was struck

    def run(self, truth: Truth) -> Result:
        """Run the command until its work is done, then compare."""
        began_s = time.monotonic()
        command = self.scene.command
        try:
            self._disturb(began_s)
            self._finish()
        except AssertionError as error:
            self.result.problems.append(str(error))
            command.kill()
        self.result.problems += differences(self._out, truth)
        self.result.codes = list(command.codes)
        if wrong := [code for code in command.codes if code not in _ENDS]:
            self.result.problems.append(f"the command left with {wrong}")
        if "Traceback" in (text := command.log.read_text(errors="replace")):
            self.result.problems.append("a traceback: " + text[text.index("Traceback") :][:1500])
        self.result.seconds = time.monotonic() - began_s
        return self.result

    def _disturb(self, began_s: float) -> None:
        """Strike until the faults are used up, or a run ends with nothing left to do."""
        command = self.scene.command
        while self.kinds:
            if not command.runs:
                if command.codes and command.codes[-1] in DONE:
                    return
                self._deaths, self._child_at = 0, -_APART
                command.extra.pop(_THRESHOLD, None)
                if MEMORY in self.kinds[:2]:
                    command.extra[_THRESHOLD] = _memory_threshold()
                command.start()
            kind = self.kinds.pop(0)
            if self._may(kind) and self._wait_a_moment() and KINDS[kind](self.scene):
                self.result.struck.append((kind, time.monotonic() - began_s))

    def _may(self, kind: str) -> bool:
        """Return whether a fault leaves the blame where it belongs: with no video."""
        if kind == MEMORY:
            return _THRESHOLD in self.scene.command.extra
        if kind in _DEADLY:
            self._deaths += 1
            return self._deaths <= _MOST_DEATHS
        if kind.startswith("child"):
            while self._commits() < self._child_at + _APART and self.scene.command.runs:
                time.sleep(0.2)
            self._child_at = self._commits()
        return True

    def _wait_a_moment(self) -> bool:
        """Wait for a further commit, or for no more than a moment; False when the run is over."""
        if self._dice.random() < 0.5:
            time.sleep(self._dice.uniform(0.0, 3.0))
        else:
            before, deadline_s = self._commits(), time.monotonic() + 60
            while self._commits() == before and self.scene.command.runs:
                if time.monotonic() > deadline_s:
                    break
                time.sleep(0.1)
        return self.scene.command.runs

    def _commits(self) -> int:
        try:
            return len(committed_shards(Root(self._out)))
        except VfeatError:
            return 0

    def _finish(self) -> None:
        """Run the command, undisturbed, until it reports that all is done."""
        command = self.scene.command
        command.extra.pop(_THRESHOLD, None)
        command.end(_LAST_S)
        for _ in range(3):
            if command.codes[-1] in DONE:
                return
            command.start()
            command.end(_LAST_S)
        assert command.codes[-1] in DONE, f"never done: exit codes {command.codes}"


KINDS = PROCESSES | STORE | MACHINE
_THRESHOLD = "RAY_memory_usage_threshold"


def _memory_threshold() -> str:
    """Return the share of memory that is in use, and half of what the pressure will take."""
    memory = psutil.virtual_memory()
    return f"{(memory.total - memory.available + PRESSURE_BYTES // 2) / memory.total:.4f}"


def possible(*, remote: bool, has_disk: bool, only: Collection[str]) -> list[str]:
    """Return kinds of faults that a round can have."""
    kinds = [*PROCESSES, *(STORE if remote else MACHINE)]
    return [kind for kind in kinds if kind in only and (has_disk or kind != "disk full")]


def clear(out: Path) -> None:
    """Remove a round's dataset."""
    shutil.rmtree(out, ignore_errors=True)
