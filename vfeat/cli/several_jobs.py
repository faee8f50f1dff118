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
    from vfeat.job.spec import Job


def carry_out_several(jobs: Sequence[NamedJob], *, dry_run: bool, json_output: bool) -> None:
    """Run or preview the jobs, draw each, and leave with the highest of their exit codes.

    Raises:
        VfeatError: the first job that did not end; those behind it were not begun.
        Exit: with the exit code.
    """
    again, ends = this_command(), []
    with signals_to(lambda: _stop(again)), _results(json_output) as results:
        if not dry_run:
            _refuse_early(jobs)
        for place, named in enumerate(jobs):
            say(f"{named.name}: job {place + 1} of {len(jobs)}", to_stderr=json_output)
            earlier = [before.job for before in jobs[:place]]
            if dry_run and (missing := _missing(named.job, earlier)):
                say(
                    one_line(f"Not planned: {missing} does not exist yet, and this job reads it"),
                    to_stderr=json_output,
                )
                results.append({"job": named.name, "exit_code": 0, "waits_for": missing})
                continue
            try:
                ended = carry_out(named.job, again, dry_run=dry_run, json_output=json_output)
            except (VfeatError, typer.Exit) as error:
                result = {"job": named.name, "exit_code": error.exit_code}
                if isinstance(error, VfeatError):
                    result["error"] = list(error.lines)
                results.append(result)
                raise
            result = {"job": named.name, "exit_code": ended.exit_code, "result": ended.result}
            results.append(result)
            ends.append(ended.exit_code)
            if ended.interrupted and place + 1 < len(jobs):
                if ended.exit_code != INTERRUPTED:  # it had ended all the same
                    say(f"Stopped. Go on with:\n  {again}", to_stderr=True)
                ends.append(INTERRUPTED)
                break
    raise typer.Exit(max(ends, default=0))


def _stop(again: str) -> None:
    raise Interrupted("stopped between two jobs; go on with:", f"  {again}")


@contextmanager
def _results(json_output: bool) -> Iterator[list[dict[str, Any]]]:
    """Collect the results of the jobs, and print them however they end."""
    results: list[dict[str, Any]] = []
    try:
        yield results
    finally:
        if json_output:
            say_json(results)


def _refuse_early(jobs: Sequence[NamedJob]) -> None:
    """Refuse what a later job would refuse, as far as its input is there before the first one.

    Raises:
        VfeatError: such as missing heads, or features of another model.
    """
    from vfeat.engine.watch import Watch

    for place, named in enumerate(jobs[1:], start=1):
        earlier = [before.job for before in jobs[:place]]
        if KINDS[named.job.kind].run is not None and not _missing(named.job, earlier):
            try:
                make_run(named.job, Watch()).close()
            except VfeatError as error:
                say(f"{named.name} cannot run:", to_stderr=True)
                raise error


def _missing(job: Job, earlier: Sequence[Job]) -> str | None:
    """Return what a job reads of an earlier one that is not there yet; None if nothing."""
    from vfeat.storage.root import Root

    fields = job.model_dump(exclude={"kind", "out"})
    named = {v for field in fields.values() for v in (field if _is_list(field) else [field])}
    for before in earlier:
        places = [v for v in named if isinstance(v, str) and _is_in(v, before.out)]
        for place in sorted(places):
            if not Root(place).list(""):
                return place
    return None


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_in(place: str, out: str) -> bool:
    """Return whether a place is the `out` of a job, or inside of it."""
    out = out.rstrip("/")
    return place.rstrip("/") == out or place.startswith(f"{out}/")
