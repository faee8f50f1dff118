"""`vfeat import`: features that something else extracted, by flags."""

from __future__ import annotations

from typing import Any

from vfeat.cli import flags
from vfeat.cli.job_command import JobCommand
from vfeat.cli.jobs import carry_out


def import_features(
    fields: dict[str, Any], dry_run: flags.DryRun = False, json_output: flags.Json = False
) -> None:
    """Make a features dataset of .npy, .npz, .h5 or .parquet files that hold feature vectors."""
    from vfeat.job.spec import parse_job

    carry_out(parse_job({**fields, "kind": "import"}), dry_run, json_output)


COMMAND = JobCommand("import", import_features)
