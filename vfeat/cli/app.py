"""The command tree."""

from __future__ import annotations

from typing import Annotated

import typer

import vfeat
from vfeat.cli import (
    classify,
    duplicates,
    evaluate,
    export,
    extract,
    html_report,
    importing,
    index,
    inspect,
    jobs,
    search,
    show,
    surroundings,
    train,
)

app = typer.Typer(
    name="vfeat",
    help="Video archives to features: resumable batch jobs on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vfeat {vfeat.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Video archives to features: resumable batch jobs on Ray."""


extract.COMMAND.add_to(app, "extract")
classify.COMMAND.add_to(app, "classify")
importing.COMMAND.add_to(app, "import")
app.command("export")(export.export)
app.command("plan")(jobs.plan)
app.command("run")(jobs.run)
app.command("status")(inspect.status)
app.command("show")(show.show)
app.command("search")(search.search)
app.command("report")(html_report.report)
app.command("index")(index.index)
app.command("duplicates")(duplicates.duplicates)
app.command("verify")(inspect.verify)
app.command("errors")(inspect.errors)
app.command("reindex")(inspect.reindex)
app.command("models")(surroundings.models)
app.command("doctor")(surroundings.doctor)
app.command("schema")(surroundings.schema)
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="eval")
