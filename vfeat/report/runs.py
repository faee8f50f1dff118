"""The runs of a dataset: their summaries, and the rate over time from their logs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from vfeat.errors import StorageError
from vfeat.storage.root import Root
from vfeat.tables import layout

MOST_RUNS = 20
MOST_STEPS = 120  # points of a curve of the rate
DECODING = {"clips": "decoding"}  # by what rows are; other stages read what is stored
_LOG_CHARS = 4_000_000  # read of one log


@dataclass(frozen=True)
class NodeLine:
    """Nodes that are alike: their names, and what one has."""

    hosts: tuple[str, ...]
    workers: int
    cores: int
    memory_bytes: int
    gpus: tuple[str, ...]
    kernel: str
    versions: dict[str, str]


@dataclass(frozen=True)
class RunLine:
    """One run of the dataset.

    Attributes:
        slowest: what limited the run, and what to change; empty where it is not on record.
        spent: seconds by part of the work, summed over workers.
        waited: seconds by who waited, summed over workers and feeders.
        rates: (seconds since the work began, rows a second until then).
        events: number of events of each kind in its log.
        notes: first sentences of its log.
    """

    name: str
    started: str
    wall_s: float
    noun: str
    rows: int
    failed: int
    ended: str
    executor: str
    environment: dict[str, str]
    nodes: tuple[NodeLine, ...]
    spent: dict[str, float]
    waited: dict[str, float]
    slowest: str = ""
    rates: tuple[tuple[float, float], ...] = ()
    events: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Rows a second over the whole run."""
        return self.rows / self.wall_s if self.wall_s else 0.0


def read_runs(root: Root) -> tuple[int, list[RunLine]]:
    """Return the number of all runs, and the latest of them, oldest first."""
    names = layout.run_names(root.list(layout.RUNS))
    logs = root.list(layout.LOGS)
    return len(names), list(_runs(root, names[-MOST_RUNS:], logs))


def _runs(root: Root, names: list[str], logs: dict[str, int]) -> Iterator[RunLine]:
    for name in names:
        log = f"{name.removesuffix('.json')}.jsonl"
        try:
            summary = json.loads(root.read_bytes(f"{layout.RUNS}/{name}"))
            lines = _events(root.read_bytes(f"{layout.LOGS}/{log}")) if log in logs else []
            yield _run(summary, lines)
        except (StorageError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a damaged summary costs its own line


def _run(summary: dict[str, Any], events: list[dict[str, Any]]) -> RunLine:
    totals = summary["totals"]
    decoding = {DECODING.get(totals["noun"], "reading"): summary["decode_s"]}
    spent = {
        **decoding,
        "reading": summary.get("read_s", 0.0) + decoding.get("reading", 0.0),
        "hand-over": summary.get("hand_over_s", 0.0),
        "model": summary["encode_s"],
        "store": summary["write_s"],
    }
    waited = {
        "the model waited for clips": summary["wait_s"],
        "decoders waited for the model": summary.get("blocked_s", 0.0),
        "feeders waited for a model": summary.get("fed_wait_s", 0.0),
    }
    found = [str(e.get("text") or e.get("error")) for e in events if "text" in e or "error" in e]
    return RunLine(
        summary["run"], summary["started"], float(summary["wall_s"]), totals["noun"],
        int(totals["rows"]), int(totals["failed_units"]),
        "interrupted" if summary["interrupted"] else f"exit code {summary['exit_code']}",
        summary["executor"], dict(summary["environment"]), _alike(summary.get("nodes", ())),
        {name: float(value) for name, value in spent.items()},
        {name: float(value) for name, value in waited.items()},
        _slowest(summary.get("bottleneck")), _rates(events),
        tuple(sorted(Counter(str(e["event"]) for e in events).items())),
        tuple(found[:5]),
    )  # fmt: skip


def _slowest(limit: dict[str, Any] | None) -> str:
    """Return a run's slowest resource and the advice, in two sentences."""
    return f"Slowest: {limit['sentence']}. To speed up: {limit['advice']}." if limit else ""


def _alike(nodes: list[dict[str, Any]]) -> tuple[NodeLine, ...]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        kind = [node[name] for name in ("cores", "memory_bytes", "gpus", "kernel", "versions")]
        groups.setdefault(json.dumps(kind, sort_keys=True), []).append(node)
    return tuple(
        NodeLine(
            tuple(dict.fromkeys(str(node["host"]) for node in group)), len(group),
            int(group[0]["cores"]), int(group[0]["memory_bytes"]), tuple(group[0]["gpus"]),
            str(group[0]["kernel"]), dict(group[0]["versions"]),
        )
        for group in groups.values()
    )  # fmt: skip


def _events(content: bytes) -> list[dict[str, Any]]:
    lines = content[:_LOG_CHARS].decode(errors="replace").splitlines()
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # the last one, where the log was cut
        if isinstance(event, dict) and "event" in event:
            found.append(event)
    return found


def _rates(events: list[dict[str, Any]]) -> tuple[tuple[float, float], ...]:
    """Return the rate between neighbouring sums of the log, at most MOST_STEPS of them."""
    begun = next((_second(e) for e in events if e["event"] == "work"), None)
    if begun is None:
        return ()
    sums = [(0.0, 0)]
    ends = [e for e in events if e["event"] in ("progress", "end")]
    for event in ends:
        if (at := _second(event) - begun) > sums[-1][0]:
            sums.append((at, int(event["rows"])))
    every = max(1, -(-(len(sums) - 1) // MOST_STEPS))
    kept = [*sums[:1], *sums[every:-1:every], *sums[-1:]] if len(sums) > 2 else sums
    steps = [
        (after[0], max(0.0, (after[1] - before[1]) / (after[0] - before[0])))
        for before, after in pairwise(kept)
        if after[0] > before[0]
    ]
    return tuple(steps) if len(steps) >= 3 else ()


def _second(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()
