"""`vfeat duplicates`: stretches that two videos share, with their times."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from rich.table import Table

    from vfeat.duplicates.clips import Progress
    from vfeat.duplicates.find import Duplicates
    from vfeat.tables.duplicates import DuplicateRow

_SHOWN = 50


def duplicates(
    features: Annotated[str, typer.Argument(metavar="FEATURES", help="Features dataset.")],
    against: Annotated[
        str | None,
        typer.Option(metavar="OTHER", help="Compare with the videos of that dataset instead."),
    ] = None,
    min_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds that a shared stretch has at least.")
    ] = 4.0,
    common: Annotated[
        int | None,
        typer.Option(
            min=1, help="What is in more other videos than this is an intro [default: 8, or fewer]."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the rows as Parquet there.")
    ] = None,
    json_output: flags.Json = False,
) -> None:
    """Find partial copies: stretches of two videos that are the same, from stored vectors alone."""
    from vfeat.cli.terminal import say_json
    from vfeat.duplicates.find import find_duplicates
    from vfeat.duplicates.rows import rows_of
    from vfeat.search.dataset import open as open_dataset

    first = open_dataset(features)
    other = None if against is None else open_dataset(against)
    with _bars() as progress:
        found = find_duplicates(
            first, other, shortest_s=min_seconds, common=common, progress=progress
        )
    rows = list(rows_of(found))
    if out is not None:
        _write(out, rows)
    if json_output:
        say_json(_json(found, rows))
        return
    _print(found, rows, out)


@contextmanager
def _bars() -> Iterator[Progress]:
    """Show a bar for each phase, on stderr if that is a terminal."""
    from rich.progress import Progress

    from vfeat.cli.terminal import has_bars, make_console

    console = make_console(stderr=True)
    with Progress(console=console, transient=True, disable=not has_bars()) as bars:
        task = bars.add_task("Reading", total=None)

        def show(phase: str, done: int, total: int) -> None:
            bars.update(task, description=phase, completed=done, total=total)

        yield show


def _write(out: str, rows: list[DuplicateRow]) -> None:
    import io

    from vfeat.storage.root import Root
    from vfeat.tables.duplicates import duplicates_table, write_duplicates

    folder, _, name = out.rpartition("/")
    buffer = io.BytesIO()
    write_duplicates(duplicates_table(rows), buffer)
    Root(folder or ("/" if out.startswith("/") else ".")).replace_bytes(name, buffer.getvalue())


def _json(found: Duplicates, rows: list[DuplicateRow]) -> dict[str, Any]:
    uris = found.clips.uris
    return {
        "videos": len(uris),
        "clips": len(found.clips.video_N),
        "recurring_clips": found.recurring_clips,
        "segments": [dataclasses.asdict(row) for row in rows],
        "video_groups": [[uris[video] for video in group] for group in found.groups.videos],
        "segment_groups": [
            [{"uri": uris[s.video], "start_s": s.start_s, "end_s": s.end_s} for s in group]
            for group in found.groups.stretches
        ],
    }


def _print(found: Duplicates, rows: list[DuplicateRow], out: str | None) -> None:
    from vfeat.cli.terminal import make_console, one_line, say

    if not rows:
        say("No two videos share a stretch.")
    else:
        make_console().print(_table(rows[:_SHOWN]))
        more = f"; the first {_SHOWN} are shown, --json or --out gives all" * (len(rows) > _SHOWN)
        groups = len(found.groups.stretches)
        say(f"{len(rows):,} shared stretches in {groups:,} groups{more}.")
    for group in found.groups.videos:
        names = ", ".join(_name(found.clips.uris[video]) for video in group)
        say(one_line(f"The same as a whole: {names}"))
    if found.recurring_clips:
        say(
            f"{found.recurring_clips:,} clips occur in many videos (intros, black frames) and "
            "count for nothing; --common sets how many are many."
        )
    if out is not None:
        say(one_line(f"Written: {out}"))


def _table(rows: list[DuplicateRow]) -> Table:
    from vfeat.cli.terminal import make_table

    table = make_table()
    for name in ("video", "from - to", "is in", "from - to", "speed", "score", "group"):
        is_name = name in ("video", "is in")
        table.add_column(name, justify="left" if is_name else "right", overflow="fold")
    for row in rows:
        table.add_row(
            _name(row.a), _span(row.a_start_s, row.a_end_s),
            _name(row.b), _span(row.b_start_s, row.b_end_s),
            f"{row.speed:.2f}", f"{row.score:.2f}", str(row.segment_group),
        )  # fmt: skip
    return table


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]


def _span(start_s: float, end_s: float) -> str:
    return f"{clock(start_s)} - {clock(end_s)}"


def clock(seconds: float) -> str:
    """Return a time as a player shows it: 3:05, or 1:02:07."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
