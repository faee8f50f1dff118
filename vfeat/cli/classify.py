"""`vfeat classify`: heads over a stored features dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from vfeat.cli import flags
from vfeat.cli.jobs import carry_out


def classify(
    features: Annotated[str, typer.Argument(help="Features dataset.", show_default=False)],
    out: flags.Out,
    head: Annotated[
        list[str] | None,
        typer.Option(help="Folder of a head, or of several; repeatable. Default: the package's."),
    ] = None,
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
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Also keep the head's mean over time.")
    ] = False,
    executor: flags.Executor = "ray",
    address: flags.Address = None,
    device: flags.Device = "auto",
    actors: flags.Actors = None,
    gpus_per_actor: flags.GpusPerActor = 1.0,
    breaker_first_units: flags.BreakerFirstUnits = 25,
    breaker_error_share: flags.BreakerErrorShare = 0.5,
    storage_patience_seconds: flags.StoragePatience = 120.0,
    shard_minutes: flags.ShardMinutes = 5.0,
    retry_errors: Annotated[
        list[str] | None, typer.Option(help="Do failed videos again: a class, or `all`.")
    ] = None,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Classify whole videos, and windows of them, from stored features."""
    fields = dict(locals())
    from vfeat.job.spec import parse_job

    others = ("dry_run", "json_output", "head")
    job = {name: value for name, value in fields.items() if name not in others}
    job["retry_errors"] = retry_errors or None
    carry_out(parse_job({**job, "kind": "classify", "heads": head or ()}), dry_run, json_output)
