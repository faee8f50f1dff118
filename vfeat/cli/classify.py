"""`vfeat classify`: heads over a stored features dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from vfeat.cli.extract import DryRun, Json, Out, carry_out


def classify(
    features: Annotated[str, typer.Argument(help="Features dataset.", show_default=False)],
    out: Out,
    head: Annotated[list[str], typer.Option(help="Folder of a head, or of several; repeatable.")],
    window_seconds: Annotated[
        float | None, typer.Option(help="Sliding window; default: the head's own.")
    ] = None,
    hop_seconds: Annotated[
        float | None, typer.Option(help="Seconds between windows; default: the head's own.")
    ] = None,
    windows: Annotated[
        bool, typer.Option("--windows", help="Also write a row for each window.")
    ] = False,
    top_k: Annotated[int, typer.Option(help="Labels kept in a row.")] = 5,
    executor: Annotated[str, typer.Option(help="ray, or inline for debugging.")] = "ray",
    address: Annotated[str | None, typer.Option(help="Ray cluster; default: a local one.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    actors: Annotated[int | None, typer.Option(help="Actors; default one per GPU or node.")] = None,
    gpus_per_actor: Annotated[float, typer.Option(help="GPU share of an actor.")] = 1.0,
    breaker_first_units: Annotated[
        int, typer.Option(help="Stop when this many first units all fail.")
    ] = 25,
    breaker_error_share: Annotated[
        float, typer.Option(help="Stop when more than this share fails in one way.")
    ] = 0.5,
    storage_patience_seconds: Annotated[
        float, typer.Option(help="How long an unreachable store is waited for.")
    ] = 120.0,
    dry_run: DryRun = False,
    json_output: Json = False,
) -> None:
    """Classify whole videos, and windows of them, from stored features."""
    fields = dict(locals())
    from vfeat.job.spec import parse_job

    flags = ("dry_run", "json_output", "head")
    job = {name: value for name, value in fields.items() if name not in flags}
    carry_out(parse_job({**job, "kind": "classify", "heads": head}), dry_run, json_output)
