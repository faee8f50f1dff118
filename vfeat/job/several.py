"""A file of several jobs, which are done in order; each of them is a whole job of its own kind.

    jobs:
      - kind: extract
        sources: [s3://bucket/archive/]
        out: s3://bucket/features
      - kind: classify
        features: ${extract.out}
        out: s3://bucket/predictions

A job's name is its kind, with a number where the file has several of that kind (`classify-1`,
`classify-2`). `${NAME.FIELD}`, alone or inside of a text, is the value of an earlier job's field.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vfeat.errors import JobError, did_you_mean
from vfeat.job.spec import Job, kind_name, parse_job

JOBS = "jobs"
_REFERENCE = re.compile(r"\$\{([^.{}]*)\.([^{}]*)\}")


@dataclass(frozen=True)
class NamedJob:
    """A job of a file, with its name in that file."""

    name: str
    job: Job


class SeveralJobs(BaseModel):
    """A file of several jobs, for the published schema."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: tuple[Job, ...] = Field(
        min_length=1,
        description="Jobs, done in order; ${NAME.FIELD} is the value of an earlier job's field",
    )


def parse_several(
    fields: dict[str, Any], overrides: Iterable[tuple[str, Any]] = ()
) -> tuple[NamedJob, ...]:
    """Validate the content of a file of several jobs.

    Args:
        fields: a mapping with the key `jobs`.
        overrides: keys and values to set; NAME.FIELD sets the field of one job, FIELD that of
            every job.

    Raises:
        JobError: naming every wrong field of every job, with the name of the job.
    """
    parts = _parts(fields)
    for key, value in overrides:
        _set(parts, key, value)
    jobs: dict[str, Job] = {}
    read: dict[str, Job | None] = {}  # None: a job that is wrong
    wrong: list[str] = []
    for name, part in parts.items():
        try:
            fields = {key: _resolved(value, read) for key, value in part.items()}
            jobs[name] = read[name] = parse_job(fields)
        except JobError as error:
            read[name] = None
            wrong += [f"{name}: {line}" for line in error.lines]
    if wrong:
        raise JobError(*wrong)
    _refuse_one_place(jobs)
    return tuple(NamedJob(name, job) for name, job in jobs.items())


def _parts(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fields of each job by its name, in order."""
    if others := [str(key) for key in fields if key != JOBS]:
        raise JobError(
            f"{', '.join(others)}: unknown beside {JOBS}; a field stands inside of the job that "
            "it belongs to"
        )
    found = fields[JOBS]
    if not isinstance(found, list) or not found or not all(isinstance(x, dict) for x in found):
        raise JobError(f"{JOBS}: expected a list of jobs, each a mapping of fields")
    kinds = [kind_name(part) for part in found]
    count, seen = Counter(kinds), Counter[str]()
    parts = {}
    for kind, part in zip(kinds, found, strict=True):
        seen[kind] += 1
        parts[kind if count[kind] == 1 else f"{kind}-{seen[kind]}"] = dict(part)
    return parts


def _set(parts: dict[str, dict[str, Any]], key: str, value: Any) -> None:
    name, dot, field = key.partition(".")
    if not dot:
        for part in parts.values():
            part[key] = value
    elif name in parts:
        parts[name][field] = value
    else:
        hint = did_you_mean(name, parts) or f"there are {', '.join(parts)}"
        raise JobError(f"--set {key}: the file has no job {name!r}; {hint}")


def _resolved(value: Any, earlier: dict[str, Job | None]) -> Any:
    """Return a value with references replaced by what they stand for."""
    if isinstance(value, list):
        return [_resolved(item, earlier) for item in value]
    if not isinstance(value, str):
        return value
    if (whole := _REFERENCE.fullmatch(value)) is not None:
        return _field(whole, earlier)
    return _REFERENCE.sub(lambda match: str(_field(match, earlier)), value)


def _field(reference: re.Match[str], earlier: dict[str, Job | None]) -> Any:
    name, field = reference.groups()
    job = earlier.get(name)
    if name in earlier and job is None:  # it has its own message
        return reference[0]
    if job is None or field not in type(job).model_fields:
        known = ", ".join(earlier) or "none"
        raise JobError(f"{reference[0]}: expected a field of a job before this one ({known})")
    return getattr(job, field)


def _refuse_one_place(jobs: dict[str, Job]) -> None:
    """Refuse two jobs that write to the same place: the second would fail after the first."""
    writers: dict[str, str] = {}
    for name, job in jobs.items():
        place = job.out.rstrip("/")
        if place in writers:
            raise JobError(f"{name}: out: {job.out} is the out of {writers[place]} too")
        writers[place] = name


def places_read(job: Job, earlier: Iterable[Job]) -> list[str]:
    """Return the places that a job names and that an earlier one writes, each once."""
    fields = job.model_dump(exclude={"kind", "out"}).values()
    values = [v for field in fields for v in (field if isinstance(field, tuple) else (field,))]
    outs = [before.out.rstrip("/") for before in earlier]
    places = [v for v in values if isinstance(v, str) and any(_is_in(v, out) for out in outs)]
    return list(dict.fromkeys(places))


def _is_in(place: str, out: str) -> bool:
    return place.rstrip("/") == out or place.startswith(f"{out}/")
