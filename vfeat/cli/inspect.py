"""Commands about a dataset: `status`, `verify`, `errors`, `reindex`. None of them starts Ray."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from vfeat.tables.active_runs import ActiveRun
    from vfeat.tables.status import VideoLine

_WORK = ("reading", "decoding", "the model", "the store")


def status(
    out: flags.Dataset,
    videos: Annotated[
        int | None, typer.Option(min=0, help="Also list so many videos.", show_default=False)
    ] = None,
    json_output: flags.Json = False,
) -> None:
    """Print how far a dataset is, from its plans and committed files."""
    from vfeat.cli.report import pairs, size_text
    from vfeat.cli.terminal import make_console, one_line, say, say_json
    from vfeat.storage.root import Root
    from vfeat.tables.kind import kind_of
    from vfeat.tables.status import dataset_status, video_lines

    found = dataset_status(out)
    if videos and not json_output:
        _print_videos(video_lines(out, videos))
    if json_output:
        running = [run.to_json() for run in found.running]
        say_json({**dataclasses.asdict(found), "running": running})
        return
    table = pairs(found.out)
    table.add_row("made by", found.made_by)
    table.add_row("videos", ", ".join(f"{n:,} {s}" for s, n in sorted(found.videos.items())))
    table.add_row("rows", f"{found.rows:,} of {found.planned_clips:,} planned")
    table.add_row("empty", f"{found.empty_clips:,}")
    table.add_row("failed", f"{found.error_clips:,}")
    table.add_row("shards", f"{found.shards_done:,} of {found.shards:,} committed")
    table.add_row("size", size_text(found.size_bytes))
    table.add_row("last run", found.last_run or "none finished yet")
    if found.slowest:
        table.add_row("slowest", one_line(found.slowest))
        table.add_row("to speed up", one_line(found.advice or ""))
    for run in found.running:
        table.add_row("running", _running(run))
    make_console(soft_wrap=True).print(table)
    if found.shards_done < found.shards and not found.running:
        command = kind_of(Root(out)).command
        say(f"Unfinished: run the same vfeat {command} command again to go on.")


def _running(run: ActiveRun) -> str:
    """Describe a run that goes on."""
    from vfeat.cli.report import time_text

    if run.waits_for == "listing":
        return f"{run.run} on {run.host}: lists its input, {run.listed:,} videos so far"
    more = "" if run.is_planned else f", listing goes on ({run.listed:,} videos so far)"
    left = "" if run.left_s is None else f", about {time_text(run.left_s)} left"
    workers = f"{run.workers} worker" + "s" * (run.workers != 1)
    if run.nodes:
        workers += " on " + ", ".join(f"{n} ({c})" for n, c in sorted(run.nodes.items()))
    errors = f", {run.errors:,} errors" if run.errors else ""
    does = "most time goes to" if run.waits_for in _WORK else "waits for"
    return (
        f"{run.run} on {run.host}: {run.done:,} of about {run.planned:,} {run.noun}, "
        f"{run.shards_done:,} of {run.shards:,} shards{errors}, {run.rate:.2f} {run.noun}/s with "
        f"{workers}{left}{more}; {does} {run.waits_for}"
    )


def _print_videos(lines: list[VideoLine]) -> None:
    from vfeat.cli.terminal import make_console, make_table

    table = make_table()
    table.add_column("video", overflow="fold")
    for name in ("length", "clips", "from", "to", "status"):
        table.add_column(name, justify="right")
    for line in lines:
        length = "?" if line.duration_s is None else f"{line.duration_s:.2f} s"
        span = [
            "" if value is None else f"{value:.2f} s"
            for value in (line.first_start_s, line.last_end_s)
        ]
        name = line.uri.rpartition("/")[2]
        table.add_row(name, length, f"{line.clips} of {line.planned_clips}", *span, line.status)
    make_console().print(table)


def verify(out: flags.Dataset, json_output: flags.Json = False) -> None:
    """Re-read every file and prove one row, or one error, for each planned clip."""
    from rich.progress import Progress

    from vfeat.cli.report import pairs
    from vfeat.cli.terminal import has_bars, make_console, one_line, say, say_json
    from vfeat.storage.root import Root
    from vfeat.tables.kind import kind_of
    from vfeat.tables.verify import VerifyReport, verify_dataset

    report = VerifyReport()
    noun = kind_of(Root(out)).noun
    console = make_console(stderr=True)
    with Progress(console=console, transient=True, disable=not has_bars()) as bars:
        task = bars.add_task("Verifying", total=None)
        for report in verify_dataset(Root(out)):
            bars.update(task, completed=report.files, description=f"Verifying {report.rows:,} rows")
    if json_output:
        say_json({**dataclasses.asdict(report), "ok": not report.exit_code})
        raise typer.Exit(report.exit_code)
    table = pairs("Verified" if not report.problems else "Problems")
    table.add_row("files read", f"{report.files:,}")
    table.add_row("rows", f"{report.rows:,}, one for each {noun}" if not report.problems else "")
    table.add_row(f"empty {noun}s", f"{report.empty_clips:,}")
    table.add_row(f"{noun}s with an error", f"{report.error_clips:,}")
    if report.pending_shards:
        table.add_row("not done yet", f"{report.pending_clips:,} {noun}s")
    make_console(soft_wrap=True).print(table)
    for problem in report.problems:
        say(one_line(problem), to_stderr=True)
    raise typer.Exit(report.exit_code)


def errors(
    out: flags.Dataset,
    error_class: Annotated[
        str | None, typer.Option("--class", help="Only errors of this class.")
    ] = None,
    json_output: flags.Json = False,
) -> None:
    """List the failed clip ranges that no later run has mended."""
    from vfeat.cli.terminal import make_console, make_table, say, say_json
    from vfeat.storage.root import Root
    from vfeat.tables.kind import kind_of
    from vfeat.tables.status import open_errors

    found = [e for e in open_errors(out) if error_class in (None, e["error_class"])]
    kind = kind_of(Root(out))
    if json_output:
        say_json(found)
        return
    if not found:
        say("No errors.")
        return
    table = make_table()
    for name in ("class", f"{kind.noun}s", "message"):
        table.add_column(name, overflow="fold")
    for error in found:
        clips = f"{error['first_clip']} to {error['last_clip']}"
        table.add_row(error["error_class"], clips, error["message"])
    make_console().print(table)
    command = kind.command
    say(f"Try them again with:  vfeat {command} ... --retry-errors all   ({len(found)} ranges)")


def reindex(out: flags.Dataset, json_output: flags.Json = False) -> None:
    """Make the index and the snapshots anew from the committed files."""
    from vfeat.cli.terminal import say, say_json
    from vfeat.tables.opened_root import dataset_root
    from vfeat.tables.shots import rebuild_shots
    from vfeat.tables.snapshot import rebuild_index

    root = dataset_root(out)
    videos = rebuild_index(root)
    rebuild_shots(root)
    if json_output:
        say_json({"videos": dict(videos)})
        return
    say("Made anew: " + (", ".join(f"{n:,} {s}" for s, n in sorted(videos.items())) or "no video"))
