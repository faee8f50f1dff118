"""The jobs of one file, in order.

Failed units of one job do not keep the next one from its work; whatever ends a job ends all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from vfeat.cli.interrupt import INTERRUPTED, signals_to
from vfeat.cli.one_job import carry_out, make_run
from vfeat.cli.terminal import one_line, say, say_json, this_command
from vfeat.errors import Interrupted, VfeatError
from vfeat.job.kinds import KINDS

if TYPE_CHECKING:
    from vfeat.job.several import NamedJob


def carry_out_several(jobs: Sequence[NamedJob], *, dry_run: bool, json_output: bool) -> None:
    """Run or preview the jobs, draw each, and leave with the highest of their exit codes.

    Raises:
        VfeatError: of the job that could not go on; those behind it are not begun.
        Exit: with the exit code.
    """
    again = this_command()
    results: list[dict[str, Any]] = []
    with signals_to(lambda: _stop(again)), _printed(results, json_output):
        if not dry_run:
            _refuse_early(jobs)
        for place, named in enumerate(jobs):
            say(f"{named.name}: job {place + 1} of {len(jobs)}", to_stderr=json_output)
            if dry_run and (missing := _missing(jobs, place)):
                why = f"Not planned: it reads {missing}, which the first run makes"
                say(one_line(why), to_stderr=json_output)
                results.append({"job": named.name, "exit_code": 0, "waits_for": missing})
                continue
            with _failure_in(results, named.name):
                ended = carry_out(named.job, again, dry_run=dry_run, json_output=json_output)
            code = ended.exit_code
            results.append({"job": named.name, "exit_code": code, "result": ended.result})
            if code == INTERRUPTED:
                break
            if ended.interrupted and place + 1 < len(jobs):  # by a signal after its last shard
                _stop(again)
    raise typer.Exit(max(result["exit_code"] for result in results))


def _stop(again: str) -> None:
    raise Interrupted("stopped between two jobs; go on with:", f"  {again}")


@contextmanager
def _printed(results: list[dict[str, Any]], json_output: bool) -> Iterator[None]:
    """Print the results, however the block ends."""
    try:
        yield
    finally:
        if json_output:
            say_json(results)


@contextmanager
def _failure_in(results: list[dict[str, Any]], name: str) -> Iterator[None]:
    """Add a job to the results that could not go on."""
    try:
        yield
    except VfeatError as error:
        results.append({"job": name, "exit_code": error.exit_code, "error": list(error.lines)})
        raise
    except typer.Exit as error:
        results.append({"job": name, "exit_code": error.exit_code})
        raise


def _refuse_early(jobs: Sequence[NamedJob]) -> None:
    """Refuse what a later stage would refuse, where its input is there before the first job.

    Raises:
        VfeatError: such as missing heads, or features of another model.
    """
    from vfeat.engine.watch import Watch

    for place, named in enumerate(jobs):
        if place and KINDS[named.job.kind].run is not None and not _missing(jobs, place):
            try:
                make_run(named.job, Watch()).close()
            except VfeatError:
                say(f"{named.name} cannot run:", to_stderr=True)
                raise


def _missing(jobs: Sequence[NamedJob], place: int) -> str | None:
    """Return what a job reads of an earlier one and is not there yet; None if all is there."""
    from vfeat.job.several import places_read
    from vfeat.storage.root import Root

    earlier = [named.job for named in jobs[:place]]
    read = places_read(jobs[place].job, earlier)
    return next((uri for uri in read if not Root(uri).list("")), None)
