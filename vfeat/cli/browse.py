"""`vfeat browse`: a page on this machine that shows a dataset."""

from __future__ import annotations

import sys
import threading
import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from vfeat.cli import flags


def browse(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Features dataset.")],
    predictions: Annotated[
        list[str] | None,
        typer.Option(metavar="URI", help="Predictions to show; those beside OUT are found."),
    ] = None,
    duplicates: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The file of `vfeat duplicates --out`: copies."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="CSV file of your own labels, given in the page."),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the address in this machine's browser.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    keep_megabytes: Annotated[
        int, typer.Option(min=0, help="Vectors that may stay in memory, for fast searches.")
    ] = 4000,
    device: Annotated[
        str, typer.Option(help="Where a dropped clip is encoded: auto, cpu or cuda.")
    ] = "auto",
    json_output: flags.Json = False,
) -> None:
    """Show a dataset in a browser: drop a clip, see what is like it, play it at that second.

    On 127.0.0.1 only, under an address with a token. Nothing is written but FILE, and that only
    with --labels: the page then takes labels, for `vfeat train head` and `train encoder`. Ctrl-C
    ends it.
    """
    from vfeat.browse.serve import serve
    from vfeat.cli.interrupt import leave, signals_to
    from vfeat.cli.terminal import say, say_json

    def ready(address: str) -> None:
        if json_output:
            say_json({"address": address})
        else:
            say(f"Open {address}\nCtrl-C ends it.")
        sys.stdout.flush()  # nothing else is printed that would
        if open_page:
            # Beside the server: a browser of the terminal keeps its caller waiting.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with suppress(KeyboardInterrupt), signals_to(leave):  # the ordinary end
        serve(
            out, predictions=predictions or [], duplicates=duplicates,
            keep_bytes=keep_megabytes * 1_000_000, port=port, device=device, labels=labels,
            ready=ready,
        )  # fmt: skip
