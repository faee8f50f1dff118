"""`vfeat train retrieval`: words that find clips, from a list of clips with captions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vfeat.cli import flags, jobs
from vfeat.cli.job_command import JobCommand

if TYPE_CHECKING:
    from vfeat.job.train_retrieval import TrainRetrievalJob


def retrieval(
    fields: dict[str, Any],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value on top of a job file; repeatable.")
    ] = None,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Train words that find clips; the same command again goes on or is done."""
    from vfeat.cli.training_job import read_training_job
    from vfeat.job.spec import parse_train_retrieval

    job = read_training_job(fields, set_ or (), "train-retrieval", parse_train_retrieval)
    jobs.carry_out(job, dry_run, json_output)


def carry_out(job: TrainRetrievalJob, dry_run: bool, to_stderr: bool) -> Any:
    """Train or preview; return the result as JSON has it."""
    # Read when torch is imported: its idle threads would spin and steal from the decoders.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vfeat.cli.encoder_report import make_encoder_watch
    from vfeat.cli.retrieval_report import print_outline, print_retrieval
    from vfeat.cli.terminal import one_line, say, this_command
    from vfeat.errors import Interrupted
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    if dry_run:
        from vfeat.train.retrieval.dry_run import outline

        found = outline(job)
        print_outline(found, to_stderr)
        return found.to_json()
    from vfeat.train.retrieval.run import train_retrieval

    again = this_command()
    try:
        with make_encoder_watch(again) as watch:
            result = train_retrieval(job, watch)
    except (Interrupted, KeyboardInterrupt) as stop:
        why = str(stop) or "stopped; the last checkpoint is kept"
        say(f"{one_line(why)}; go on with:\n  {again}", to_stderr=True)
        raise typer.Exit(130) from None
    print_retrieval(result, to_stderr)
    return result


COMMAND = JobCommand("train-retrieval", retrieval, from_file=True)
