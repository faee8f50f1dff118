"""The targets, each read off the results of a run: met, missed or not measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

# Results of the steps, by their letters.
Results = dict[str, dict[str, Any]]
OURS, THEIRS, FLASH = "triton", "mamba_ssm", "divided"


@dataclass(frozen=True)
class Target:
    """One figure, and the least that it should be.

    Attributes:
        unit: `x` for a ratio, `%` for a share.
        value: reads the figure; None where it was not measured.
    """

    name: str
    least: float
    unit: str
    value: Callable[[Results], float | None]

    def judge(self, results: Results, rehearse: bool) -> dict[str, Any]:
        """Return name, figure and verdict, JSON-ready."""
        value = self.value(results)
        if value is None:
            verdict = "not measured"
        elif rehearse:
            verdict = "rehearsed"
        else:
            verdict = "met" if value >= self.least else "missed"
        return {"name": self.name, "least": self.least, "unit": self.unit, "value": value,
                "verdict": verdict}  # fmt: skip


def judged(results: Results, rehearse: bool) -> list[dict[str, Any]]:
    """Judge all targets."""
    return [target.judge(results, rehearse) for target in TARGETS]


def worst(values: Iterable[float | None]) -> float | None:
    """Return the smallest of the values that were measured."""
    return min((value for value in values if value is not None), default=None)


def _cases(results: Results, what: str, role: str) -> list[dict[str, Any]]:
    """Return the measured rows of one kind, of all sizes."""
    cases = results.get("c", {}).get("cases", [])
    return [case for case in cases if (case["what"], case["role"]) == (what, role)]


def _side(case: dict[str, Any], name: str, field: str) -> float | None:
    """Return a side's figure; None where it is not there or did not fit the memory."""
    found = next((side for side in case["sides"] if side["name"] == name), {})
    value: float | None = found.get(field)
    return value


def _ratio(case: dict[str, Any], theirs: str, ours: str, field: str = "ms") -> float | None:
    """Return how many times ours fits into theirs."""
    a, b = _side(case, theirs, field), _side(case, ours, field)
    return None if a is None or not b else a / b


def _ratios(
    what: str, role: str, theirs: str, ours: str, field: str = "ms"
) -> Callable[[Results], float | None]:
    """Return a reader of the worst ratio over the sizes."""
    return lambda results: worst(
        _ratio(case, theirs, ours, field) for case in _cases(results, what, role)
    )


def _share_of_floor(results: Results) -> float | None:
    """Return the worst share of the largest floor, of whole models at a filling batch."""
    shares: list[float | None] = []
    for case in _cases(results, "model", "filling"):
        ours = worst(_side(case, name, "ms") for name in (OURS, f"{OURS} graph"))
        shares.append(None if ours is None else max(case["floors_ms"].values()) / ours)
    return worst(shares)


def _training(results: Results) -> float | None:
    models = results.get("f", {}).get("models", [])
    return worst(
        entry["seconds"][THEIRS] / entry["seconds"][OURS]
        for entry in models
        if THEIRS in entry["seconds"]
    )


def _vis4mer(mode: str, theirs: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        sides = results.get("g", {}).get(mode, {})
        ours, other = (sides.get(name, {}).get("seconds") for name in ("vis4mer", theirs))
        return other / ours if ours and other else None

    return value


def _pipeline(name: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        share: float | None = results.get("e", {}).get(name, {}).get("ratio")
        return share

    return value


TARGETS = (
    Target("block, batch 1, to mamba_ssm", 3, "x", _ratios("block", "batch 1", THEIRS, OURS)),
    Target("block, batch 64, to mamba_ssm", 3, "x", _ratios("block", "filling", THEIRS, OURS)),
    Target(
        "model in a graph, batch 1, to mamba_ssm", 3, "x",
        _ratios("model", "batch 1", THEIRS, f"{OURS} graph"),
    ),
    Target(
        "model, batch 1, both in a graph", 3, "x",
        _ratios("model", "batch 1", f"{THEIRS} graph", f"{OURS} graph"),
    ),
    Target("model, batch 64, to mamba_ssm", 3, "x", _ratios("model", "filling", THEIRS, OURS)),
    Target("model, batch 64, of its largest floor", 0.70, "%", _share_of_floor),
    Target("64 frames to TimeSformer, time", 6, "x", _ratios("model", "long", FLASH, OURS)),
    Target(
        "64 frames to TimeSformer, memory", 10, "x",
        _ratios("model", "long", FLASH, OURS, "peak_bytes"),
    ),
    Target("a training step to mamba_ssm", 2, "x", _training),
    Target("ViS4mer to the official sums", 5, "x", _vis4mer("evaluation", "official")),
    Target("its training step to theirs", 5, "x", _vis4mer("training", "official")),
    Target("pipeline of the bare model, Tiny", 0.95, "%", _pipeline("tiny")),
    Target("pipeline of the bare model, Middle", 0.98, "%", _pipeline("middle")),
    Target("pipeline of the bare model, CPU", 0.97, "%", _pipeline("cpu")),
)  # fmt: skip
