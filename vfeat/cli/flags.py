"""Flags that more than one command takes."""

from __future__ import annotations

from typing import Annotated

import typer

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Dataset = Annotated[str, typer.Argument(metavar="OUT", help="Dataset root.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; default: a local one.")]
