"""The job of a training command: its flags, or a job file with flags on top."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

JOB_SUFFIXES = (".yaml", ".yml")
Job = TypeVar("Job")


def read_training_job(
    fields: dict[str, Any], overrides: Sequence[str], kind: str, parse: Callable[..., Job]
) -> Job:
    """Return the job that a command line asks for.

    Args:
        fields: given flags; `source` may be a job file, and the other flags count on top of it.
        overrides: key=value of `--set`, on top of a job file.
        kind: of the job.
        parse: makes a job of flags alone.

    Raises:
        JobError: a wrong value, or a job file of another kind.
    """
    source = fields.get("source")
    if source is None or not source.lower().endswith(JOB_SUFFIXES):
        return parse(fields)
    from vfeat.errors import JobError
    from vfeat.job.load import load_job

    given = (f"{name}={json.dumps(v)}" for name, v in fields.items() if name != "source")
    job = load_job(source, (*overrides, *given), kind=kind)
    if job.kind != kind:
        raise JobError(f"job file {source} is of kind {job.kind}; run it with `vfeat run {source}`")
    return cast(Job, job)
