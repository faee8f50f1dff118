"""Job files: YAML, with `--set key=value` on top."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from vfeat.errors import JobError
from vfeat.job.several import JOBS, NamedJob, parse_several
from vfeat.job.spec import Job, parse_job

# Dates that are none and numbers of a thousand digits are plain ValueErrors.
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)


def load_jobs(path: str, overrides: tuple[str, ...] = ()) -> tuple[NamedJob, ...]:
    """Read a YAML file of one job or of several (see `several.py`).

    Relative sources and `out` count from the current folder.

    Args:
        path: the file.
        overrides: `key=value` strings; values are YAML (`num_frames=16`, `sources=[a, b]`). In a
            file of several jobs, `NAME.key=value` is for one of them.

    Raises:
        JobError: missing file, not YAML, or a field that is wrong.
    """
    fields = _read(path)
    pairs = [_split(override) for override in overrides]
    with _named(path):
        if JOBS in fields:
            return parse_several(fields, pairs)
        job = parse_job(fields | dict(pairs))
    return (NamedJob(job.kind, job),)


def load_job(path: str, overrides: tuple[str, ...] = (), kind: str | None = None) -> Job:
    """Read a YAML file of one job; see `load_jobs`.

    Args:
        kind: kind of a job whose file names none.

    Raises:
        JobError: as of `load_jobs`, or there are several jobs in the file.
    """
    fields = _read(path)
    if JOBS in fields:
        raise JobError(f"job file {path} holds several jobs; run it with `vfeat run {path}`")
    if kind is not None:
        fields.setdefault("kind", kind)
    pairs = dict(map(_split, overrides))
    with _named(path):
        return parse_job(fields | pairs)


def _read(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise JobError(f"job file {path} is not UTF-8 text: {error}") from None
    except OSError as error:
        raise JobError(f"job file {path}: {error.strerror or error}") from None
    try:
        fields = yaml.safe_load(text)
    except _NOT_YAML as error:
        raise JobError(f"job file {path} is not YAML:", *str(error).splitlines()) from None
    if not isinstance(fields, dict):
        raise JobError(
            f"job file {path}: expected a mapping of fields, found {type(fields).__name__}"
        )
    return fields


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Name the file in what its fields are refused with."""
    try:
        yield
    except JobError as error:
        raise JobError(f"job file {path}:", *(f"  {line}" for line in error.lines)) from None


def _split(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise JobError(f"--set {override!r}: expected key=value")
    try:
        return key.strip(), yaml.safe_load(value)
    except _NOT_YAML as error:
        raise JobError(
            f"--set {override!r}: the value is not YAML:", *str(error).splitlines()
        ) from None
