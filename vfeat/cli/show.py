"""`vfeat show`: the rows of a dataset as a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from rich.table import Table

    from vfeat.tables.shown import ShownRow


def show(
    out: flags.Dataset,
    rows: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
    video: Annotated[str, typer.Option(help="Only videos whose name holds this.")] = "",
    labels: Annotated[int, typer.Option(min=1, help="Labels of a row, best first.")] = 1,
    json_output: flags.Json = False,
) -> None:
    """List clips with their times and labels, or the predictions of each video."""
    from vfeat.cli.terminal import make_console, say, say_json
    from vfeat.tables.shown import shown_rows

    found = shown_rows(out, rows, video)
    if json_output:
        say_json([_json(row) for row in found])
        return
    if not found:
        say("No rows.")
        return
    make_console().print(_table(found, labels))


def _json(row: ShownRow) -> dict[str, Any]:
    fields = dataclasses.asdict(row)
    return {**fields, **fields.pop("others")}


def _table(rows: list[ShownRow], labels: int) -> Table:
    """Make a table; a video's name stands at its first row only."""
    from vfeat.cli.terminal import make_table

    table = make_table()
    first = rows[0]
    of_clips = first.head is None
    table.add_column("video", overflow="fold")
    for name in ("from", "to") if first.start_s is not None else ():
        table.add_column(name, justify="right")
    if not of_clips:
        table.add_column("head")
    for name in first.others:
        table.add_column(name, justify="right")
    if not first.others:
        table.add_column("label" if labels == 1 else "labels", overflow="fold")
    before = None
    for row in rows:
        name = row.uri.rpartition("/")[2] if row.uri != before else ""
        if before is not None and row.uri != before and of_clips:
            table.add_section()
        before = row.uri
        best = ", ".join(f"{label} {score:.0%}" for label, score in row.labels[:labels])
        head = [] if of_clips else [(row.head or "").rstrip("/").rpartition("/")[2]]
        times = [f"{time:.2f} s" for time in (row.start_s, row.end_s) if time is not None]
        others = [str(value) for value in row.others.values()] or [best]
        table.add_row(name, *times, *head, *others)
    return table
