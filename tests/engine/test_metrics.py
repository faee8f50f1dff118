"""Figures for Prometheus: what is exported, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.engine.commands import REPOSITORY
from vfeat.engine.metrics import METRICS, PHASES, samples
from vfeat.engine.watch import Totals
from vfeat.engine.worker_protocol import Progress

DASHBOARD: dict[str, Any] = json.loads((REPOSITORY / "docs" / "grafana" / "vfeat.json").read_text())
UNITS = {"short", "s", "bytes", "percentunit"}


def values(totals: Totals, *workers: Progress) -> dict[tuple[str, str | None], float]:
    found = list(samples(totals, workers, nodes=("a", "b"), in_flight=4))
    assert len({sample[:2] for sample in found}) == len(found)
    return {(name, label): value for name, label, value in found}


def test_each_metric_has_a_value_and_only_those_with_a_label_have_several() -> None:
    totals = Totals(clips=7, rows=5, shards_done=2, shards=9, planned_clips=40,
                    errors={"crashed": 1, "timeout": 2})  # fmt: skip
    found = values(
        totals, Progress(encode_s=1.5, wait_s=2.0, child_rss_bytes=10), Progress(encode_s=1)
    )
    assert {name for name, _ in found} == {metric.name for metric in METRICS}
    for metric in METRICS:
        labels = [label for name, label in found if name == metric.name]
        assert (labels == [None]) == (metric.label is None)
    assert {label for name, label in found if name == "vfeat_phase_seconds"} == set(PHASES)
    assert found["vfeat_phase_seconds", "encode"] == 2.5
    assert found["vfeat_failed_ranges", "timeout"] == 2
    assert found["vfeat_workers", None] == 2 and found["vfeat_nodes", None] == 2
    assert found["vfeat_shards_in_flight", None] == 4


def test_a_name_ends_in_its_unit() -> None:
    for metric in METRICS:
        ends = {"s": "_seconds", "bytes": "_bytes"}.get(metric.unit, "")
        assert metric.name.startswith("vfeat_") and metric.name.endswith(ends)
        assert metric.unit in UNITS and metric.text


def queries() -> list[str]:
    variables = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"]]
    return [*variables, *(t["expr"] for panel in DASHBOARD["panels"] for t in panel["targets"])]


def test_the_dashboard_asks_for_every_metric_and_for_no_other() -> None:
    asked = {name for query in queries() for name in re.findall(r"\bray_\w+", query)}
    assert asked == {metric.exported for metric in METRICS}


def test_the_guide_lists_every_metric() -> None:
    text = (REPOSITORY / "docs" / "guide" / "cluster.md").read_text()
    assert set(re.findall(r"`(ray_vfeat_\w+[a-z])`", text)) == {m.exported for m in METRICS}


def test_rates_are_taken_of_counters_only() -> None:
    counters = {metric.exported for metric in METRICS if metric.kind == "counter"}
    rated = {n for q in queries() for n in re.findall(r"(?:rate|increase)\((\w+)", q)}
    assert rated and rated <= counters


def test_labels_in_queries_exist() -> None:
    known = {"run", *(metric.label for metric in METRICS if metric.label)}
    for query in queries():
        assert set(re.findall(r"by \((\w+)\)", query)) <= known
        assert set(re.findall(r"{(\w+)=", query)) <= known


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    assert DASHBOARD["schemaVersion"] >= 36 and DASHBOARD["title"] and DASHBOARD["uid"]
    source = DASHBOARD["__inputs"][0]["name"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken
        taken |= cells
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == f"${{{source}}}"
