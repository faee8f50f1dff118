"""Curves as the points of an SVG picture, with axes that people can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 12.0, 12.0, 30.0


@dataclass(frozen=True)
class Series:
    """One named curve: (x, y) in the order of x."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Tick:
    """A line of an axis: where, in pixels, and what stands beside it."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """A curve in pixels: what `points` of an SVG polyline takes."""

    name: str
    polyline: str


@dataclass(frozen=True)
class Chart:
    """Everything that a template needs to draw curves, and their numbers for a table."""

    title: str
    x_name: str
    y_name: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """Lines of the table beside the chart: x, and y of each curve."""
        known = [dict(series.points) for series in self.series]
        every = sorted({x for points in known for x in points})
        return [
            (f"{x:.4g}", [f"{points[x]:.4g}" if x in points else "" for points in known])
            for x in every
        ]


def draw(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> Chart | None:
    """Lay curves out; None where no curve has two finite points."""
    finite = [
        Series(s.name, tuple(p for p in s.points if math.isfinite(p[0]) and math.isfinite(p[1])))
        for s in series
    ]
    shown = tuple(s for s in finite if len(s.points) > 1)
    if not shown:
        return None
    xs = [x for s in shown for x, _ in s.points]
    ys = [y for s in shown for _, y in s.points]
    x_low, x_high = min(xs), max(xs)
    y_ticks = steps(min(0.0, *ys), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return LEFT + (x - x_low) / ((x_high - x_low) or 1.0) * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / ((y_high - y_low) or 1.0) * (HEIGHT - TOP - BOTTOM)

    curves = tuple(
        Curve(s.name, " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in s.points)) for s in shown
    )
    x_ticks = tuple(Tick(across(x), f"{x:g}") for x in steps(x_low, x_high) if x_low <= x <= x_high)
    return Chart(
        title, x_name, y_name, curves, x_ticks, tuple(Tick(up(y), f"{y:g}") for y in y_ticks), shown
    )


def steps(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers that reach from below `low` to above `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]
