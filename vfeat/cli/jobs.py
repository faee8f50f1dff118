"""Job files: `vfeat run` and `vfeat plan`; and one job for the commands of the stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vfeat.cli import flags

if TYPE_CHECKING:
    from vfeat.job.several import NamedJob
    from vfeat.job.spec import Job

_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="key=value on top of the file, or NAME.key=value for one of several jobs."
    ),
]
_File = Annotated[str, typer.Argument(help="A job file (YAML).")]


def run(
    job: _File,
    set_: _Set = None,
    address: flags.Address = None,
    dry_run: flags.DryRun = False,
    json_output: flags.Json = False,
) -> None:
    """Run a job file: one job, or several in order."""
    _carry_out_file(_load(job, set_, address), dry_run, json_output)


def plan(job: _File, set_: _Set = None, json_output: flags.Json = False) -> None:
    """Print what a job file would do, and write nothing."""
    _carry_out_file(_load(job, set_, None), True, json_output)


def _load(path: str, overrides: list[str] | None, address: str | None) -> tuple[NamedJob, ...]:
    from vfeat.job.load import load_jobs

    extra = (f"address={address}",) if address else ()
    return load_jobs(path, (*(overrides or ()), *extra))


def _carry_out_file(jobs: tuple[NamedJob, ...], dry_run: bool, json_output: bool) -> None:
    if len(jobs) == 1:
        carry_out(jobs[0].job, dry_run, json_output)
        return
    from vfeat.cli.several_jobs import carry_out_several

    carry_out_several(jobs, dry_run=dry_run, json_output=json_output)


def carry_out(job: Job, dry_run: bool, json_output: bool) -> None:
    """Run or preview a job of any kind, draw it, and leave with its exit code."""
    from vfeat.cli import one_job
    from vfeat.cli.terminal import say_json, this_command

    ended = one_job.carry_out(job, this_command(), dry_run=dry_run, json_output=json_output)
    if json_output:
        say_json(ended.result)
    raise typer.Exit(ended.exit_code)
