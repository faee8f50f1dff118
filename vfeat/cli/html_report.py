"""`vfeat report`: one HTML file about a dataset or a training."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from vfeat.cli import flags


def report(
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help="Dataset, head or encoder, or a local folder with several of them."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Default: NAME-report.html in the working directory."),
    ] = None,
    videos: Annotated[
        int, typer.Option(min=0, help="Open at most so many videos of a dataset for pictures.")
    ] = 120,
    json_output: flags.Json = False,
) -> None:
    """Write one HTML file: totals, time, errors, labels with pictures, a map, training curves."""
    from vfeat.cli.report import size_text
    from vfeat.cli.terminal import say, say_json
    from vfeat.report.write import write_report

    written = write_report(out, to, videos)
    if json_output:
        say_json(dataclasses.asdict(written))
        return
    pictures = f"{written.pictures:,} pictures" + (
        f", {written.placeholders:,} placeholders" if written.placeholders else ""
    )
    sampled = ", rows sampled" if written.is_sampled else ""
    say(f"Report: {written.path} ({size_text(written.size_bytes)}, {pictures}{sampled})")
