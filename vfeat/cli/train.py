"""`vfeat train head`: heads on stored features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from vfeat.cli import flags, jobs, train_encoder, train_retrieval
from vfeat.cli.job_command import JobCommand

if TYPE_CHECKING:
    from vfeat.job.train_head import TrainHeadJob

app = typer.Typer(
    help="Train a head on stored features, an encoder on clips, or words on clips with captions.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def head(fields: dict[str, Any], json_output: flags.Json = False) -> None:
    """Train ViS4mer heads on stored features; the same command again goes on or is done."""
    from vfeat.job.spec import parse_train_head

    jobs.carry_out(parse_train_head(fields), dry_run=False, json_output=json_output)


def _tasks(words: list[str]) -> dict[str, str]:
    """Read `kind` or `name=kind`."""
    from vfeat.errors import JobError
    from vfeat.job.recipe import HEAD_KINDS

    tasks: dict[str, str] = {}
    for word in words:
        name, equals, kind = word.rpartition("=")
        if kind not in HEAD_KINDS or (equals and not name):
            raise JobError(f"--task {word}: expected one of {', '.join(HEAD_KINDS)}, or name=kind")
        name = name or "label"
        if name in tasks:
            raise JobError(f"--task {name}: named twice")
        tasks[name] = kind
    return tasks


def carry_out(job: TrainHeadJob, dry_run: bool, to_stderr: bool) -> Any:
    """Train or preview heads; return the result as JSON has it."""
    from vfeat.cli.interrupt import leave, signals_to
    from vfeat.cli.terminal import say, this_command
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    if dry_run:
        from vfeat.cli.train_report import print_outline
        from vfeat.train.head.dry_run import outline

        found = outline(job)
        print_outline(found, to_stderr)
        return found.to_json()
    from vfeat.cli.train_report import make_train_watch, print_heads
    from vfeat.train.head.run import train_heads

    again = this_command()
    try:
        with signals_to(leave), make_train_watch() as watch:
            results = train_heads(job, watch)
    except KeyboardInterrupt:
        say(f"Stopped. The last whole epoch is kept; go on with:\n  {again}", to_stderr=True)
        raise typer.Exit(130) from None
    print_heads(results, to_stderr)
    return [result.to_json() for result in results]


COMMAND = JobCommand("train-head", head, {"tasks": _tasks})
COMMAND.add_to(app, "head")
train_encoder.COMMAND.add_to(app, "encoder")
train_retrieval.COMMAND.add_to(app, "retrieval")
