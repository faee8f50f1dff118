"""Commands about vfeat and this machine: `models`, `doctor`, `schema`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from vfeat.cli import flags


def models(json_output: flags.Json = False) -> None:
    """List the models, their sizes and what a clip costs."""
    from rich.console import Console
    from rich.table import Table

    from vfeat.models.registry import MODELS, clip_gflops, num_parameters

    if json_output:
        entries = [
            {
                "name": info.name,
                "description": info.description,
                "config": dataclasses.asdict(info.config),
                "parameters": num_parameters(info.config),
                "clip_gflops": round(clip_gflops(info.config), 2),
            }
            for info in MODELS.values()
        ]
        print(json.dumps(entries, indent=1))
        return
    table = Table()
    for name in ("model", "width", "depth", "parameters", "GFLOP", "what it is"):
        is_text = name in ("model", "what it is")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name == "model")
    for info in MODELS.values():
        config = info.config
        table.add_row(
            info.name,
            str(config.embed_dim),
            str(config.depth),
            f"{num_parameters(config) / 1e6:.1f} M",
            f"{clip_gflops(config):.1f}",
            info.description,
        )
    Console().print(table)
    print(
        "A clip is 8 frames of 224 pixels (the free `videomamba`: one image). "
        "A multiply-add counts two.\n"
        "vit:FOLDER or vit:owner/repo runs a vision transformer of the transformers library "
        "frame by frame."
    )


def doctor(json_output: flags.Json = False) -> None:
    """Say what this machine has, what runs, and why something does not."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vfeat.doctor import examine

    findings = examine()
    if json_output:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    else:
        table = Table()
        for name in ("", "what", "found"):
            table.add_column(name, overflow="fold")
        for finding in findings:
            mark = {"ok": "[green]✓[/green]", "missing": "[red]✗[/red]", "note": "·"}
            table.add_row(mark[finding.state], finding.what, escape(finding.found))
        Console().print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(4)


def schema(
    name: Annotated[str | None, typer.Argument(help="One of job, features, predictions…")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write all schemas into this folder.", show_default=False)
    ] = None,
) -> None:
    """Print a published schema, or write them all."""
    from vfeat.errors import JobError
    from vfeat.schema import published_schemas

    schemas = published_schemas()
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for key, content in schemas.items():
            (write / f"{key}.schema.json").write_text(content)
        return
    if name is None:
        print("\n".join(schemas))
        return
    if name not in schemas:
        raise JobError(f"no schema {name!r}; there are {', '.join(schemas)}")
    print(schemas[name], end="")
