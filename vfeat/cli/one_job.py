"""One job of any kind: previewed or carried out, and drawn."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vfeat.job.kinds import KINDS, load

if TYPE_CHECKING:
    from vfeat.engine.stage_run import StageRun
    from vfeat.engine.watch import Watch
    from vfeat.job.spec import Job


@dataclass(frozen=True)
class Ended:
    """The end of a job.

    Attributes:
        result: as JSON has it.
        interrupted: a signal came while it went on, though perhaps after its last shard.
    """

    result: Any
    exit_code: int = 0
    interrupted: bool = False


def carry_out(job: Job, again: str, *, dry_run: bool, json_output: bool) -> Ended:
    """Carry a job out, or preview it, and print what a person reads of it.

    Args:
        again: the command that resumes.
        json_output: stdout is left to the result.

    Raises:
        VfeatError: what ends the command.
        Exit: a training was interrupted.
    """
    kind = KINDS[job.kind]
    if kind.carry_out is not None:
        return Ended(load(kind.carry_out)(job, dry_run, json_output))
    from vfeat.storage.temporary import check_temporary_folder

    check_temporary_folder()
    return _preview(job, json_output) if dry_run else _run(job, again, json_output)


def make_run(job: Job, watch: Watch) -> StageRun:
    """Make the run of a stage; it refuses what can be refused before anything starts."""
    stage = KINDS[job.kind].run
    assert stage is not None
    run: StageRun = load(stage)(job, watch)
    return run


def _preview(job: Job, json_output: bool) -> Ended:
    from vfeat.cli.progress import make_watch
    from vfeat.cli.report import print_preview

    with make_watch() as watch:
        run = make_run(job, watch)
        try:
            preview = run.preview()
        finally:
            run.close()
    if not json_output:
        print_preview(preview)
    return Ended(dataclasses.asdict(preview))


def _run(job: Job, again: str, json_output: bool) -> Ended:
    from vfeat.cli.interrupt import interruptible
    from vfeat.cli.progress import make_watch
    from vfeat.cli.report import print_summary

    with make_watch() as watch, interruptible(watch, again) as interruption:
        run = interruption.run = make_run(job, watch)
        try:
            summary = run.run()
        finally:
            run.close()
    print_summary(summary, again, to_stderr=json_output)
    return Ended(summary.to_json(), summary.exit_code, run.interrupted)
