"""Jobs of any kind: `vfeat run`, `vfeat plan`, and what the commands of the stages share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vfeat.cli import flags
from vfeat.job.kinds import KINDS, load

if TYPE_CHECKING:
    from vfeat.engine.stage_run import StageRun
    from vfeat.job.spec import Job


def run(
    job: Annotated[str, typer.Argument(help="A job file (YAML).")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value on top of the file.")
    ] = None,
    address: flags.Address = None,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Run a job file."""
    carry_out(_load(job, set_, address), dry_run, json_output)


def plan(
    job: Annotated[str, typer.Argument(help="A job file (YAML).")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value on top of the file.")
    ] = None,
    json_output: flags.Json = False,
) -> None:
    """Print what a job file would do, and write nothing."""
    carry_out(_load(job, set_, None), True, json_output)


def _load(path: str, overrides: list[str] | None, address: str | None) -> Job:
    from vfeat.job.load import load_job

    extra = (f"address={address}",) if address else ()
    return load_job(path, (*(overrides or ()), *extra))


def carry_out(job: Job, dry_run: bool, json_output: bool) -> None:
    """Run or preview a job of any kind, draw it, and leave with its exit code."""
    kind = KINDS[job.kind]
    if kind.carry_out is not None:
        load(kind.carry_out)(job, dry_run, json_output)
        return
    assert kind.run is not None
    from vfeat.cli.interrupt import interruptible
    from vfeat.cli.progress import make_watch
    from vfeat.cli.report import print_preview, print_summary
    from vfeat.cli.terminal import say_json, this_command
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    again = this_command()
    with make_watch() as watch:
        run: StageRun = load(kind.run)(job, watch)
        try:
            if dry_run:
                preview = run.preview()
            else:
                with interruptible(run, watch, again):
                    summary = run.run()
        finally:
            run.close()
    if dry_run:
        print_preview(preview, json_output)
        return
    if json_output:
        say_json(summary.to_json())
    print_summary(summary, again, to_stderr=json_output)
    raise typer.Exit(summary.exit_code)
