"""`vfeat train encoder`: a VideoMamba from a list of labelled clips."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfeat.cli import flags, jobs
from vfeat.cli.job_command import JobCommand

if TYPE_CHECKING:
    from vfeat.job.train_encoder import TrainEncoderJob
    from vfeat.train.encoder.watch import EncoderWatch


def encoder(
    fields: dict[str, Any],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value on top of a job file; repeatable.")
    ] = None,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Train a VideoMamba on a list of clips; the same command again goes on or is done."""
    from vfeat.cli.training_job import read_training_job
    from vfeat.job.spec import parse_train_encoder

    job = read_training_job(fields, set_ or (), "train-encoder", parse_train_encoder)
    jobs.carry_out(job, dry_run, json_output)


def _swaps(words: list[str]) -> dict[str, dict[str, str]]:
    """Read `flip`, or `flip:label=label`."""
    from vfeat.errors import JobError

    swaps: dict[str, dict[str, str]] = {}
    for word in words:
        flip, colon, pair = word.partition(":")
        labels = swaps.setdefault(flip, {})
        left, equals, right = pair.partition("=")
        if colon and not (equals and left and right):
            raise JobError(f"--label-swap {word!r}: expected FLIP, or FLIP:label=label")
        if colon:
            labels[left] = right
    return swaps


def _train(job: TrainEncoderJob, watch: EncoderWatch) -> dict[str, Any]:
    if job.executor == "ray":
        from vfeat.train.encoder.ray_workers import train_on_ray

        return train_on_ray(job, watch)
    from vfeat.train.encoder.run import train_encoder

    return train_encoder(job, watch)


def carry_out(job: TrainEncoderJob, dry_run: bool, to_stderr: bool) -> Any:
    """Train or preview; return the result as JSON has it."""
    # Read when torch is imported: its idle threads would spin and steal from the decoders.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vfeat.cli.encoder_report import make_encoder_watch, print_encoder, print_outline
    from vfeat.cli.terminal import one_line, say, this_command
    from vfeat.errors import Interrupted
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    if dry_run:
        from vfeat.train.encoder.dry_run import outline

        found = outline(job)
        print_outline(found, to_stderr)
        return found.to_json()
    again = this_command()
    try:
        with make_encoder_watch(again) as watch:
            result = _train(job, watch)
    except (Interrupted, KeyboardInterrupt) as stop:
        why = str(stop) or "stopped; the last checkpoint is kept"
        say(f"{one_line(why)}; go on with:\n  {again}", to_stderr=True)
        raise typer.Exit(130) from None
    print_encoder(result, to_stderr)
    return result


READERS = {"label_swaps": _swaps}
COMMAND = JobCommand("train-encoder", encoder, READERS, from_file=True)
