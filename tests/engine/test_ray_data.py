"""The evidence behind decision 0001, kept as a test: rerunning is where Ray Data and we differ."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as pads

from tests.engine.commands import TINY_FLAGS, environment, run
from tests.engine.jobs import keys

PIPELINE = """
import sys, ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
ray.data.DataContext.get_current().enable_progress_bars = False
videos = ray.data.from_items([{"video": i} for i in range(3)])
clips = videos.flat_map(lambda row: [{**row, "clip": clip} for clip in range(4)])
clips.write_parquet(sys.argv[1])
"""


def test_the_same_job_twice_doubles_rows_in_ray_data_and_none_here(
    own_clips: Path, tmp_path: Path
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", PIPELINE, theirs],
            check=True, capture_output=True, timeout=180, env=environment(),
        )  # fmt: skip
    rows = pads.dataset(theirs, format="parquet").to_table().to_pylist()
    assert len(rows) == 2 * len({(row["video"], row["clip"]) for row in rows})
    command = ["extract", own_clips / "cfr25_bframes.mp4", "--out", ours, *TINY_FLAGS]
    for _ in range(2):
        assert run(*command).returncode == 0
    assert len(keys(ours)) == len(set(keys(ours)))
