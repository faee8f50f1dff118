"""Summary of a run: for the terminal, for `--json` and for `runs/<run>.json`."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import vfeat
from vfeat.addresses import without_secrets
from vfeat.engine.bottleneck import Bottleneck
from vfeat.engine.preflight import NodeFacts
from vfeat.engine.watch import Totals
from vfeat.errors import ErrorClass
from vfeat.storage.root import Root
from vfeat.tables import layout

# counters of the workers that a summary has as sums
SPENT = (
    "run_s", "encode_s", "hand_over_s", "wait_s", "read_s", "decode_s", "blocked_s", "write_s",
)  # fmt: skip


@dataclass(frozen=True)
class PlanPreview:
    """Result of `--dry-run`.

    Attributes:
        clips: planned clips (or predictions) not committed yet, empty ones included.
        output_bytes: vectors and columns before compression.
        estimated_s: wall seconds with `workers`; `basis` names the source of the figure.
        opened: new videos that were looked into; the others are estimated from these.
        spread: two standard errors of `clips`, as a share of it; 0 when all were looked into.
    """

    out: str
    videos: int
    new_videos: int
    corpus_bytes: int
    clips: int
    unreadable: int
    shards: int
    output_bytes: int
    estimated_s: float
    workers: int
    basis: str
    noun: str = "clips"
    opened: int | None = None
    spread: float = 0.0


@dataclass(frozen=True)
class RunSummary:
    """One finished or interrupted run.

    Attributes:
        plans: those that had something left to do when the run began.
        videos: all videos of the dataset by status; empty when nothing was to do.
        errors: failed clip ranges by class, in these plans.
        encode_s, hand_over_s, wait_s, write_s, run_s: summed over workers, see `Progress`.
        read_s, decode_s, blocked_s: summed over children, those of feeders included.
        bottleneck: the slowest resource; None for a run that did nothing.
        environment: of the driver.
        nodes: those that had workers; empty for work in the driver's process.
        fed_clips: clips that feeders prepared; feeders: how many there were at the end;
            fed_wait_s: seconds in which their clips waited for a worker, summed over feeders.
    """

    run: str
    out: str
    started: str
    wall_s: float
    interrupted: bool
    nothing_to_do: bool
    plans: tuple[str, ...]
    videos: dict[str, int]
    totals: Totals
    errors: dict[ErrorClass, int]
    encoded_clips: int
    encode_s: float
    wait_s: float
    decode_s: float
    write_s: float
    executor: str
    environment: dict[str, str]
    nodes: tuple[NodeFacts, ...] = ()
    fed_clips: int = 0
    feeders: int = 0
    fed_wait_s: float = 0.0
    run_s: float = 0.0
    hand_over_s: float = 0.0
    read_s: float = 0.0
    blocked_s: float = 0.0
    bottleneck: Bottleneck | None = None

    @property
    def exit_code(self) -> int:
        """Exit code: 0 done, 3 finished but some units failed, 130 interrupted and resumable."""
        if self.interrupted:
            return 130
        some_left = self.totals.left_behind or self.totals.skipped
        return 3 if self.errors or some_left else 0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {**dataclasses.asdict(self), "exit_code": self.exit_code}


def write_run(root: Root, summary: RunSummary) -> None:
    """Write the summary beside the data."""
    content = json.dumps(without_secrets(summary.to_json()), indent=1).encode()
    root.create_bytes(f"{layout.RUNS}/{summary.run}.json", content)


def environment() -> dict[str, str]:
    """Return versions and machine, as stored in `runs/`."""
    return dict(_environment())


@cache
def _environment() -> dict[str, str]:
    found = {
        "vfeat": vfeat.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    for package in ("ray", "torch", "av", "pyarrow", "opencv-python-headless"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
