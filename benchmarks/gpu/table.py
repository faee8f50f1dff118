"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def table(content: dict[str, Any]) -> str:
    """Format steps and targets of a document for people."""
    return "\n".join([*_steps(content["steps"]), "", *_targets(content["targets"])])


def _steps(steps: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"{'step':24}{'state':12}{'s':>5}  result"
    for key, entry in sorted(steps.items()):
        seconds = f"{entry['seconds']:5.0f}" if "seconds" in entry else f"{'-':>5}"
        headline = entry.get("results", {}).get("headline", "")
        yield f"{key + ' ' + entry['title']:24}{entry['state']:12}{seconds}  {headline}".rstrip()
        if entry.get("error"):
            lines = entry["error"].splitlines()
            # Of a traceback the last line names the fault; of a verdict every line is one.
            shown = lines[-1:] if any(line.startswith("  File ") for line in lines) else lines[:6]
            yield from (f"{'':24}! {line}" for line in shown)


def _targets(targets: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'target':44}{'at least':>9}{'found':>9}  verdict"
    for target in targets:
        least, value = _figure(target["least"], target), _figure(target["value"], target)
        yield f"{target['name']:44}{least:>9}{value:>9}  {target['verdict']}"


def _figure(value: float | None, target: dict[str, Any]) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if target["unit"] == "%" else f"{value:.2f} x"
