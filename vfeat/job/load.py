"""Job files: YAML, with `--set key=value` on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vfeat.errors import JobError
from vfeat.job.spec import Job, parse_job

# Dates that are none and numbers of a thousand digits are plain ValueErrors.
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)


def load_job(path: str, overrides: tuple[str, ...] = (), kind: str | None = None) -> Job:
    """Read a YAML job file. Relative sources and `out` count from the current folder.

    Args:
        path: the file.
        overrides: `key=value` strings; values are YAML (`num_frames=16`, `sources=[a, b]`).
        kind: kind of a job whose file names none.

    Raises:
        JobError: missing file, not YAML, or a field that is wrong.
    """
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
    if kind is not None:
        fields.setdefault("kind", kind)
    for override in overrides:
        key, value = _split(override)
        fields[key] = value
    try:
        return parse_job(fields)
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
