"""Commands about vfeat and this machine: `models`, `doctor`, `schema`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from vfeat.cli import flags


def models(json_output: flags.Json = False) -> None:
    """List the models, their sizes and what a clip costs."""
    from vfeat.cli.terminal import say, say_json
    from vfeat.models.videomamba_config import (
        MODELS,
        ModelInfo,
        clip_gflops,
        num_parameters,
        own_config,
    )

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

    entries = [*(entry(info) for info in MODELS.values()), *_packaged_words()]
    if json_output:
        say_json(entries)
        return
    _print_models(entries)
    say(
        "A clip is 8 frames of 224 pixels (the free `videomamba`: one image; a model in the "
        "package: its own). A multiply-add counts two.\n"
        "vit:FOLDER or vit:owner/repo runs a vision transformer of the transformers library "
        "frame by frame."
    )


def _packaged_words() -> list[dict[str, Any]]:
    """Return the entry of the words in the package, without the sizes of a model of clips."""
    from vfeat.models.packaged import in_box
    from vfeat.models.retrieval.packaged_words import CAMERA_WORDS

    if not in_box(CAMERA_WORDS):
        return []
    about = "in the package: sentences about the camera, for vfeat search --text with the above"
    return [{"name": CAMERA_WORDS, "description": about}]


def _print_models(entries: list[dict[str, Any]]) -> None:
    from vfeat.cli.terminal import make_console, make_table

    table = make_table()
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
    make_console().print(table)


_SIGNS = {"ok": ("✓", "green"), "missing": ("✗", "red"), "note": ("·", "")}


def doctor(
    address: Annotated[
        str | None,
        typer.Option(help="Examine the nodes of this Ray cluster, too.", show_default=False),
    ] = None,
    json_output: flags.Json = False,
) -> None:
    """Print what this machine has, what runs, and why something does not."""
    from rich.text import Text

    from vfeat.cli.terminal import make_console, make_table, say_json
    from vfeat.doctor import examine, examine_cluster

    findings = examine() + (examine_cluster(address) if address else [])
    if json_output:
        say_json([dataclasses.asdict(finding) for finding in findings])
    else:
        console, table = make_console(), make_table()
        for name in ("", "what", "found"):
            table.add_column(name, overflow="fold")
        for finding in findings:
            sign, style = _SIGNS[finding.state]
            mark = finding.state if console.options.ascii_only else sign
            table.add_row(Text(mark, style), finding.what, finding.found)
        console.print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(4)


def schema(
    name: Annotated[str | None, typer.Argument(help="job, features, predictions, ...")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write all schemas into this folder.", show_default=False)
    ] = None,
) -> None:
    """Print a published schema, or write them all."""
    from vfeat.cli.terminal import say
    from vfeat.errors import JobError
    from vfeat.schema import published_schemas

    schemas = published_schemas()
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        for key, content in schemas.items():
            (write / f"{key}.schema.json").write_text(content)
        return
    if name is None:
        say("\n".join(schemas))
        return
    if name not in schemas:
        raise JobError(f"no schema {name!r}; there are {', '.join(schemas)}")
    say(schemas[name].removesuffix("\n"))
