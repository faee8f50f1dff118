"""Figures of a run for Prometheus, by way of Ray: each node's agent exports what it is given.

Ray puts `ray_` before each name, and `_total` behind that of a counter. Without a running Ray, or
on nodes whose Ray lacks its `default` extra, nothing is exported.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vfeat.engine.watch import Totals
from vfeat.engine.worker_protocol import Progress

PHASES = ("encode", "hand_over", "wait", "read", "decode", "blocked", "write")


@dataclass(frozen=True)
class Metric:
    """A figure of a run.

    Attributes:
        unit: that of Grafana: `short` for counts, `s`, `bytes`.
        label: a label besides `run`.
    """

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    text: str
    label: str | None = None

    @property
    def exported(self) -> str:
        """Name in Prometheus."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")


METRICS = (
    Metric("vfeat_clips", "counter", "short", "rows encoded, not all of them committed yet"),
    Metric("vfeat_rows", "counter", "short", "rows committed"),
    Metric("vfeat_shards", "counter", "short", "shards committed"),
    Metric("vfeat_failed_ranges", "counter", "short", "ranges of clips that failed", "error_class"),
    Metric("vfeat_phase_seconds", "counter", "s", "time of all workers together", "phase"),
    Metric("vfeat_run_seconds", "counter", "s", "time in which workers had work, all together"),
    Metric("vfeat_planned_clips", "gauge", "short", "rows that the plans so far come to"),
    Metric("vfeat_planned_shards", "gauge", "short", "shards of the plans so far"),
    Metric("vfeat_shards_in_flight", "gauge", "short", "shards that workers hold"),
    Metric("vfeat_workers", "gauge", "short", "workers that report their counters"),
    Metric("vfeat_nodes", "gauge", "short", "nodes that have or may have workers"),
    Metric("vfeat_decoder_memory_bytes", "gauge", "bytes", "resident memory of all decoders"),
)

Sample = tuple[str, str | None, float]  # name of a metric, value of its label, its value


class RunMetrics:
    """Exporter of one run's figures.

    Args:
        run: name of the run, the label of all figures.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._exported: dict[str, Any] | None = None
        self._counted: dict[tuple[str, str | None], float] = {}

    def keep_up(
        self, totals: Totals, workers: Sequence[Progress], nodes: Collection[str], in_flight: int
    ) -> None:
        """Export the figures; does nothing while no Ray runs in this process."""
        if self._exported is None:
            ray = sys.modules.get("ray")
            if ray is None or not ray.is_initialized():
                return
            self._exported = _make()
        for name, label, value in samples(totals, workers, nodes, in_flight):
            self._export(name, label, value)

    def _export(self, name: str, label: str | None, value: float) -> None:
        assert self._exported is not None
        metric = _BY_NAME[name]
        tags = {"run": self._run}
        if metric.label is not None and label is not None:
            tags[metric.label] = label
        if metric.kind == "gauge":
            self._exported[name].set(value, tags=tags)
            return
        before = self._counted.get((name, label), 0.0)
        if value > before:  # a counter only rises; sums fall when a worker is lost unseen
            self._exported[name].inc(value - before, tags=tags)
            self._counted[name, label] = value


def samples(
    totals: Totals, workers: Sequence[Progress], nodes: Collection[str], in_flight: int
) -> Iterator[Sample]:
    """Yield the present value of each metric, once for each value of its label."""
    yield "vfeat_clips", None, totals.clips
    yield "vfeat_rows", None, totals.rows
    yield "vfeat_shards", None, totals.shards_done
    for error_class, count in list(totals.errors.items()):
        yield "vfeat_failed_ranges", error_class, count
    for phase in PHASES:
        seconds = sum(getattr(worker, f"{phase}_s") for worker in workers)
        yield "vfeat_phase_seconds", phase, seconds
    yield "vfeat_run_seconds", None, sum(worker.run_s for worker in workers)
    yield "vfeat_planned_clips", None, totals.planned_clips
    yield "vfeat_planned_shards", None, totals.shards
    yield "vfeat_shards_in_flight", None, in_flight
    yield "vfeat_workers", None, sum(worker.pid > 0 for worker in workers)
    yield "vfeat_nodes", None, len(nodes)
    yield "vfeat_decoder_memory_bytes", None, sum(worker.child_rss_bytes for worker in workers)


def _make() -> dict[str, Any]:
    from ray.util.metrics import Counter, Gauge

    kinds = {"counter": Counter, "gauge": Gauge}
    made = {}
    for metric in METRICS:
        labels = ("run",) if metric.label is None else ("run", metric.label)
        made[metric.name] = kinds[metric.kind](metric.name, metric.text, labels)
    return made


_BY_NAME = {metric.name: metric for metric in METRICS}
