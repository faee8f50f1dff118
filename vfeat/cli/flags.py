"""Flags that more than one command takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Out = Annotated[
    str, typer.Option(help="Dataset root: a folder or an s3:// prefix.", show_default=False)
]
ShardMinutes = Annotated[float, typer.Option(help="Estimated work in a shard.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Dataset = Annotated[str, typer.Argument(metavar="OUT", help="Dataset root.")]

Executor = Annotated[str, typer.Option(help="ray, or inline for debugging.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; default: a local one.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Actors = Annotated[int | None, typer.Option(help="Actors; default one per GPU or node.")]
GpusPerActor = Annotated[float, typer.Option(help="GPU share of an actor.")]
BreakerFirstUnits = Annotated[int, typer.Option(help="Stop when this many first units all fail.")]
BreakerErrorShare = Annotated[
    float, typer.Option(help="Stop when more than this share fails in one way.")
]
StoragePatience = Annotated[
    float, typer.Option(help="How long an unreachable store is waited for.")
]


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
