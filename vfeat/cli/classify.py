"""`vfeat classify`: heads over a stored features dataset."""

from __future__ import annotations

from typing import Any

from vfeat.cli import flags
from vfeat.cli.job_command import JobCommand
from vfeat.cli.jobs import carry_out


def classify(
    fields: dict[str, Any], dry_run: flags.DryRun = False, json_output: flags.Json = False
) -> None:
    """Classify whole videos, and windows of them, from stored features."""
    from vfeat.job.spec import parse_job

    carry_out(parse_job({**fields, "kind": "classify"}), dry_run, json_output)


COMMAND = JobCommand("classify", classify)
