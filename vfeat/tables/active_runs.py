"""`runs/<run>.active.json`: the description of a run that goes on, for other machines to read."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
from dataclasses import dataclass, field, fields
from typing import Any

from vfeat.errors import StorageError
from vfeat.storage.root import Root
from vfeat.tables import layout

SILENT_S = 180.0  # a run that has written nothing for so long is taken for dead
_NAME = re.compile(r"^\d{8}T\d{6}-[0-9a-f]{6}\.active\.json$")


@dataclass(frozen=True)
class ActiveRun:
    """A run as its driver described it last.

    Attributes:
        run: its name.
        host, pid: where its driver is.
        started: ISO 8601, UTC.
        beat_s: when this was written, seconds since 1970.
        noun: of a row, in the plural.
        shards, shards_done: of this run so far; both grow while the input is listed.
        planned, done: rows, estimated, and those that are encoded, empty or failed.
        rate: rows a second since the last description.
        workers: how many live.
        waits_for: what the workers spend their time on (reading, decoding, the model, the store),
            or what keeps them from work: listing, planning, workers to start, first results, the
            tables.
        nodes: workers by host.
        errors: failed ranges of rows.
        listed: videos of the input so far.
        is_planned: all of the input is planned; until then, `planned` grows.
    """

    run: str
    host: str
    pid: int
    started: str
    beat_s: float
    noun: str
    shards: int
    shards_done: int
    planned: int
    done: int
    rate: float
    workers: int
    waits_for: str
    nodes: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    listed: int = 0
    is_planned: bool = True

    @property
    def left_s(self) -> float | None:
        """Seconds until all that is planned is done at the present rate; None without a rate."""
        return max(self.planned - self.done, 0) / self.rate if self.rate > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, with the time that is left."""
        return {**dataclasses.asdict(self), "left_s": self.left_s}


def write_active(root: Root, active: ActiveRun) -> None:
    """Describe a run anew."""
    root.replace_bytes(_key(active.run), json.dumps(dataclasses.asdict(active)).encode())


def end_active(root: Root, run: str) -> None:
    """Remove the description of a run that ends."""
    root.delete(_key(run))


def active_runs(root: Root, now_s: float) -> list[ActiveRun]:
    """Return the runs that go on, oldest first.

    Args:
        now_s: seconds since 1970.
    """
    return [run for run in _described(root) if _lives(run, now_s)]


def remove_dead(root: Root, now_s: float) -> list[ActiveRun]:
    """Remove the descriptions of runs that ended without a chance to do so; return the others."""
    living = []
    for run in _described(root):
        if _lives(run, now_s):
            living.append(run)
        else:
            end_active(root, run.run)
    return living


def _lives(run: ActiveRun, now_s: float) -> bool:
    if run.host == socket.gethostname() and not _is_process(run.pid):
        return False
    return now_s - run.beat_s < SILENT_S


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _described(root: Root) -> list[ActiveRun]:
    found = (_read(root, name) for name in root.list(layout.RUNS))
    return sorted((run for run in found if run is not None), key=lambda run: run.run)


def _read(root: Root, name: str) -> ActiveRun | None:
    if _NAME.match(name) is None:
        return None
    try:
        found: dict[str, Any] = json.loads(root.read_bytes(f"{layout.RUNS}/{name}"))
        known = {one.name for one in fields(ActiveRun)}  # a later version may write more
        return ActiveRun(**{key: value for key, value in found.items() if key in known})
    except (StorageError, ValueError, TypeError):  # just ended, or of another version
        return None


def _key(run: str) -> str:
    return f"{layout.RUNS}/{run}.active.json"
