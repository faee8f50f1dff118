"""Verdicts follow from what was measured, and from nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.gpu.extraction import difference, judged
from benchmarks.gpu.table import table
from benchmarks.gpu.targets import TARGETS, Results
from benchmarks.gpu.targets import judged as verdicts


def case(what: str, role: str, **ms: float) -> dict[str, Any]:
    """A row of step c, its sides by name; memory is the time's thousandfold."""
    sides = [
        {"name": name.replace("_graph", " graph"), "ms": value, "peak_bytes": 1000 * value}
        for name, value in ms.items()
    ]
    return {"what": what, "role": role, "sides": sides, "floors_ms": {"special": 0.8, "gemm": 0.1}}


def verdict(name: str, results: Results, rehearse: bool = False) -> tuple[str, float | None]:
    found = next(t for t in verdicts(results, rehearse) if t["name"].startswith(name))
    return found["verdict"], found["value"]


def test_nothing_measured_is_neither_met_nor_missed() -> None:
    assert {t["verdict"] for t in verdicts({}, False)} == {"not measured"}


def test_the_worst_size_decides() -> None:
    rows = [
        case("block", "batch 1", triton=1.0, mamba_ssm=5.0),
        case("block", "batch 1", triton=1.0, mamba_ssm=2.5),
    ]
    assert verdict("block, batch 1", {"c": {"cases": rows[:1]}}) == ("met", 5.0)
    assert verdict("block, batch 1", {"c": {"cases": rows}}) == ("missed", 2.5)
    assert verdict("block, batch 1", {"c": {"cases": rows}}, rehearse=True) == ("rehearsed", 2.5)
    # Another role, or a side that is not installed, decides nothing.
    others = [case("block", "", triton=1, mamba_ssm=9), case("block", "batch 1", triton=1.0)]
    assert verdict("block, batch 1", {"c": {"cases": others}}) == ("not measured", None)


def test_the_floor_is_the_largest_one() -> None:
    rows = {"c": {"cases": [case("model", "filling", triton=2.0, triton_graph=1.0)]}}
    assert verdict("model, batch 64, of its largest floor", rows) == ("met", 0.8)


def test_memory_and_time_of_long_clips() -> None:
    rows = [case("model", "long", triton=1.0, divided=8.0)]
    assert verdict("64 frames to TimeSformer, time", {"c": {"cases": rows}})[0] == "met"
    assert verdict("64 frames to TimeSformer, memory", {"c": {"cases": rows}})[0] == "missed"
    rows[0]["sides"][1] |= {"ms": None, "peak_bytes": None}  # it did not fit
    assert verdict("64 frames to TimeSformer, time", {"c": {"cases": rows}})[0] == "not measured"


def test_the_other_steps_are_read_too() -> None:
    results: Results = {
        "e": {"tiny": {"ratio": 0.96}, "middle": {"ratio": 0.97}},
        "f": {"models": [{"seconds": {"triton": 1.0, "mamba_ssm": 2.1, "torch": 9.0}}]},
        "g": {"evaluation": {"vis4mer": {"seconds": 1.0}, "official": {"seconds": 7.0}}},
    }
    assert verdict("pipeline of the bare model, Tiny", results) == ("met", 0.96)
    assert verdict("pipeline of the bare model, Middle", results) == ("missed", 0.97)
    assert verdict("a training step", results) == ("met", 2.1)
    assert verdict("ViS4mer to the official", results) == ("met", 7.0)
    assert verdict("its training step", results) == ("not measured", None)


def test_the_table_has_every_step_and_target() -> None:
    steps = {"a": {"title": "first", "state": "failed", "seconds": 1.0, "error": "one\ntwo"}}
    shown = table({"steps": steps, "targets": verdicts({}, False)})
    assert "! one" in shown and "! two" in shown
    assert all(target.name in shown for target in TARGETS)


def row(value: float, label: str = "pan") -> tuple[np.ndarray, str]:
    return np.array([value, 1.0]), label


def test_rows_equal_the_cpus_or_are_a_problem() -> None:
    truth = {("a.mp4", 0): row(1.0), ("a.mp4", 1): row(2.0)}
    twice = {(f"{n:03d}-a.mp4", i): truth["a.mp4", i] for n in range(2) for i in range(2)}
    assert judged(difference(twice, truth), 1e-3) == []
    wrong = {**twice, ("000-a.mp4", 1): row(2.1)}
    assert "an embedding differs by 4.5e-02" in judged(difference(wrong, truth), 1e-3)[0]
    nan = {**twice, ("000-a.mp4", 1): row(float("nan"))}
    assert judged(difference(nan, truth), 1.0) != []
    missing = dict(list(twice.items())[:3])
    assert judged(difference(missing, truth), 1e-3) == ["3 rows beside the CPU's 2"]
    other = {key: (vector, "zoom") for key, (vector, _) in twice.items()}
    assert judged(difference(other, truth), 1e-3) == ["only 0% of first labels are the CPU's"]


@pytest.mark.parametrize("rows", [{}, {("b.mp4", 0): row(1.0)}], ids=["none", "of another video"])
def test_rows_of_nothing_are_a_problem(rows: dict[Any, Any]) -> None:
    assert judged(difference(rows, {("a.mp4", 0): row(1.0)}), 1e-3)
