"""Commands about vfeat and this machine: `models`, `doctor`, `schema`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vfeat.cli import flags


def models(json_output: flags.Json = False) -> None:
    """List the models, their sizes and what a clip costs."""
    from vfeat.models.registry import MODELS, ModelInfo, clip_gflops, num_parameters, own_config

    def entry(info: ModelInfo) -> dict[str, Any]:
        config = own_config(info)
        if config is None:
            return {"name": info.name, "description": "not in this package"}
        return {
            "name": info.name,
            "description": info.description,
            "config": dataclasses.asdict(config),
            "parameters": num_parameters(config),
            "clip_gflops": round(clip_gflops(config), 2),
        }

    entries = [entry(info) for info in MODELS.values()]
    if json_output:
        print(json.dumps(entries, indent=1))
        return
    _print_models(entries)
    print(
        "A clip is 8 frames of 224 pixels (the free `videomamba`: one image; a model in the "
        "package: its own). A multiply-add counts two.\n"
        "vit:FOLDER or vit:owner/repo runs a vision transformer of the transformers library "
        "frame by frame."
    )


def _print_models(entries: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in ("model", "width", "depth", "parameters", "GFLOP", "what it is"):
        is_text = name in ("model", "what it is")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name == "model")
    for entry in entries:
        sizes = ["", "", "", ""]
        if config := entry.get("config"):
            million, gflops = entry["parameters"] / 1e6, entry["clip_gflops"]
            sizes = [str(config["embed_dim"]), str(config["depth"]), f"{million:.1f} M"]
            sizes.append(f"{gflops:.1f}")
        table.add_row(entry["name"], *sizes, entry["description"])
    Console().print(table)


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
