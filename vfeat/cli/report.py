"""Tables of what a job would do and of what a run did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vfeat.cli.terminal import command_line, make_console, make_table, one_line

if TYPE_CHECKING:
    from rich.table import Table

    from vfeat.engine.summary import PlanPreview, RunSummary
    from vfeat.engine.watch import Totals


def print_preview(preview: PlanPreview) -> None:
    """Print the result of `--dry-run`."""
    table = pairs("Plan (nothing was written)")
    table.add_row("videos", f"{preview.videos:,}, {preview.new_videos:,} of them new")
    table.add_row("corpus", size_text(preview.corpus_bytes))
    table.add_row("unreadable", f"{preview.unreadable:,}")
    spread = f" ± {preview.spread:.0%}" if preview.spread else ""
    table.add_row(preview.noun, f"{preview.clips:,}{spread}")
    if preview.opened is not None and preview.opened < preview.new_videos:
        found = f"{preview.opened:,} of {preview.new_videos:,} new videos, chosen at random"
        table.add_row("opened", found)
    table.add_row("shards", f"{preview.shards:,}")
    table.add_row("bytes to write", f"{size_text(preview.output_bytes)} before compression")
    workers = f"{preview.workers} worker" + "s" * (preview.workers != 1)
    table.add_row("estimated time", f"{time_text(preview.estimated_s)} with {workers}")
    table.add_row("based on", preview.basis)
    table.add_row("dataset", preview.out)
    make_console().print(table)


def print_summary(summary: RunSummary, again: str, to_stderr: bool = False) -> None:
    """Print the last lines of a run."""
    console = make_console(stderr=to_stderr, soft_wrap=True)
    if summary.nothing_to_do:
        console.print(f"Nothing to do: every row of {one_line(summary.out)} is committed.")
        return
    totals = summary.totals
    table = pairs("Interrupted" if summary.interrupted else "Done")
    videos = ", ".join(f"{count:,} {status}" for status, count in sorted(summary.videos.items()))
    table.add_row("videos", videos)
    table.add_row(f"{totals.noun} written", f"{totals.rows:,}")
    for name, text in _remarks(totals):
        table.add_row(name, text)
    for error_class, count in sorted(summary.errors.items()):
        table.add_row(f"errors: {error_class}", f"{count:,}")
    rate = totals.rows / summary.wall_s
    table.add_row("time", f"{time_text(summary.wall_s)}, {rate:.2f} {totals.noun}/s overall")
    if summary.encode_s:
        model = summary.encoded_clips / summary.encode_s
        table.add_row("model", f"{time_text(summary.encode_s)}, {model:.2f} {totals.noun}/s")
    if summary.bottleneck is not None:
        table.add_row("slowest", summary.bottleneck.sentence)
        table.add_row("to speed up", summary.bottleneck.advice)
    table.add_row("dataset", summary.out)
    console.print(table)
    if summary.errors:
        command = command_line("errors", summary.out)
        console.print(f"Some units failed; see them with:  {command}")
    if summary.interrupted:
        console.print(f"Go on with:\n  {again}")


def _remarks(totals: Totals) -> Iterator[tuple[str, str]]:
    """Yield what a run met beside errors, as rows of its table."""
    if totals.empty_clips:
        gaps = f"{totals.empty_clips:,} (gaps in the video: nothing to see)"
        yield f"empty {totals.noun}", gaps
    if totals.bad_packets:
        yield "damaged packets", f"{totals.bad_packets:,} skipped"
    if totals.fallbacks:
        yield (
            "decoded with PyAV",
            f"{totals.fallbacks:,} videos that the recipe's decoder did not take",
        )
    if totals.changed_videos:
        yield "changed videos", f"{totals.changed_videos:,} while they waited; read as they are now"
    if totals.skipped:
        yield "not listed", f"{totals.skipped:,} files or folders that cannot be read"
    if totals.left_behind:
        yield "left to the next run", f"{totals.left_behind:,} that keep changing"


def size_text(size_bytes: float) -> str:
    """Format a number of bytes."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size_bytes < 1000 or unit == "TB":
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError


def time_text(seconds: float) -> str:
    """Format a number of seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def pairs(title: str) -> Table:
    """Make a two-column table with a title."""
    table = make_table(title, title_justify="left", show_header=False, title_style="bold")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table
