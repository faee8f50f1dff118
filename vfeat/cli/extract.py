"""`vfeat extract`: the first stage, by flags."""

from __future__ import annotations

from typing import Any

from vfeat.cli import flags
from vfeat.cli.job_command import JobCommand
from vfeat.cli.jobs import carry_out


def extract(
    fields: dict[str, Any], dry_run: flags.DryRun = False, json_output: flags.Json = False
) -> None:
    """Extract clip embeddings and labels from videos into a Parquet dataset."""
    from vfeat.job.spec import parse_extract

    carry_out(parse_extract(fields), dry_run, json_output)


COMMAND = JobCommand("extract", extract)
