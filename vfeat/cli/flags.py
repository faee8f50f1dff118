"""Flags that more than one command takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Dataset = Annotated[str, typer.Argument(metavar="OUT", help="Dataset root.")]

Address = Annotated[str | None, typer.Option(help="Ray cluster; default: a local one.")]


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """Whole numbers by name, out of `key=value` words."""
    from vfeat.errors import JobError

    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not value.lstrip("-").isdigit():
            raise JobError(f"--model-option {pair!r}: expected key=whole number")
        options[key.replace("-", "_")] = int(value)
    return options
