"""The faults: each kind waits for its target, strikes it, and reports whether it struck."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.command import Command
from tests.s3.proxy import Proxy, Storm

ACTOR = "ray::_Actor"
CHILD = "vfeat.media.children.child_main"
RAYLET = "raylet/raylet"
_FOUND_S = 20.0  # how long a target is waited for
_STORM_S = (0.5, 2.5)
_LOW = "low on memory"  # what the command prints of a worker that Ray's monitor has killed
MEMORY = "memory pressure"
PRESSURE_BYTES = 4 << 30  # half of it is more than the command needs itself


@dataclass
class Scene:
    """What a fault can reach.

    Attributes:
        proxy: before the store; None where the output is a folder.
        disk: a small file system that holds temporary files, and the output where it is local.
        dice: decides targets and durations.
    """

    command: Command
    proxy: Proxy | None
    disk: Path | None
    dice: random.Random


Fault = Callable[[Scene], bool]


def _target(scene: Scene, what: str) -> psutil.Process | None:
    """Return one of the command's processes, as soon as there is one."""
    deadline_s = time.monotonic() + _FOUND_S
    while time.monotonic() < deadline_s and scene.command.runs:
        if found := scene.command.processes(what):
            return scene.dice.choice(found)
        time.sleep(0.1)
    return None


def _signal(what: str, number: signal.Signals, pause_s: float | None = None) -> Fault:
    """Make a fault of a signal; a process that was stopped goes on after the pause, if any."""

    def strike(scene: Scene) -> bool:
        process = scene.command.driver if not what else _target(scene, what)
        if process is None:
            return False
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
            if pause_s is not None:
                time.sleep(pause_s)
                process.send_signal(signal.SIGCONT)
            return True
        return False

    return strike


def _storm(kind: str) -> Fault:
    """Make a storm of the store; it counts when a request met it."""

    def strike(scene: Scene) -> bool:
        assert scene.proxy is not None
        lasts_s = scene.dice.uniform(*_STORM_S)
        storm = scene.proxy.storm = Storm(kind, lasts_s)
        deadline_s = time.monotonic() + _FOUND_S
        while not storm.is_over:
            time.sleep(0.05)
        while not storm.hits and scene.command.runs and time.monotonic() < deadline_s:
            storm.extend(lasts_s)
            time.sleep(lasts_s)
        return storm.hits > 0

    return strike


def _refused(scene: Scene) -> bool:
    """Refuse connections; it counts whether or not one was tried, for nobody can count them."""
    assert scene.proxy is not None
    scene.proxy.refuse(scene.dice.uniform(*_STORM_S))
    return scene.command.runs


def _lost_answer(scene: Scene) -> bool:
    """Lose the answer to a PUT that the store has carried out."""
    assert scene.proxy is not None
    scene.proxy.lose_answers = 1
    deadline_s = time.monotonic() + _FOUND_S
    while scene.proxy.lose_answers and scene.command.runs and time.monotonic() < deadline_s:
        time.sleep(0.05)
    lost = scene.proxy.lose_answers == 0
    scene.proxy.lose_answers = 0
    return lost


def _full_disk(scene: Scene) -> bool:
    """Fill the small file system to its last byte for a while."""
    assert scene.disk is not None
    if _target(scene, ACTOR) is None:
        return False
    filler = scene.disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    time.sleep(scene.dice.uniform(*_STORM_S))
    filler.unlink()
    return True


def _no_descriptors(scene: Scene) -> bool:
    """Take an actor's right to open a further file for a while."""
    actor = _target(scene, ACTOR)
    if actor is None:
        return False
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        before = resource.prlimit(actor.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(actor.pid, resource.RLIMIT_NOFILE, (actor.num_fds(), before[1]))
        time.sleep(scene.dice.uniform(*_STORM_S))
        resource.prlimit(actor.pid, resource.RLIMIT_NOFILE, before)
        return True
    return False


def _second_driver(scene: Scene) -> bool:
    """Start the same command a second time beside the first."""
    scene.command.start_another()
    return True


def _memory_pressure(scene: Scene) -> bool:
    """Take the memory that the command's Ray may see used, so that Ray's monitor kills workers."""
    if _target(scene, ACTOR) is None:
        return False
    before = scene.command.log.read_text().count(_LOW)
    held = bytearray(os.urandom(1 << 20)) * (PRESSURE_BYTES >> 20)
    deadline_s = time.monotonic() + _FOUND_S
    while (found := scene.command.log.read_text().count(_LOW)) == before:
        if not scene.command.runs or time.monotonic() > deadline_s:
            break
        time.sleep(0.2)
    del held
    return found > before


PROCESSES: dict[str, Fault] = {
    "driver killed": _signal("", signal.SIGKILL),
    "driver stopped 3 s": _signal("", signal.SIGSTOP, 3.0),
    "actor killed": _signal(ACTOR, signal.SIGKILL),
    "actor stopped": _signal(ACTOR, signal.SIGSTOP),
    "actor stopped 3 s": _signal(ACTOR, signal.SIGSTOP, 3.0),
    "child killed": _signal(CHILD, signal.SIGKILL),
    "child stopped": _signal(CHILD, signal.SIGSTOP),
    "child stopped 3 s": _signal(CHILD, signal.SIGSTOP, 3.0),
    "raylet killed": _signal(RAYLET, signal.SIGKILL),
    "raylet stopped 3 s": _signal(RAYLET, signal.SIGSTOP, 3.0),
    "second driver": _second_driver,
}
STORE: dict[str, Fault] = {
    "connections refused": _refused,
    "connections reset": _storm("reset"),
    "requests delayed": _storm("delay"),
    "storm of 500": _storm("500"),
    "storm of 503": _storm("503"),
    "credentials expired": _storm("expired"),
    "answer to PUT lost": _lost_answer,
}
MACHINE: dict[str, Fault] = {
    "disk full": _full_disk,
    "no descriptors": _no_descriptors,
    MEMORY: _memory_pressure,
}
