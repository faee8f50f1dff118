"""`verify` finds what was done to a dataset behind vfeat's back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.engine.jobs import keys, tiny_job, verified
from vfeat.extract.run import run_job
from vfeat.outcome import Outcome, RangeError, subtract
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.footer import dump_outcomes, load_outcomes
from vfeat.tables.snapshot import cannot_tell, publish_snapshot
from vfeat.tables.verify import VerifyReport, verify_dataset


@pytest.fixture
def out(own_clips: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    videos = [own_clips / n for n in ("cfr25_bframes.mp4", "vp9.webm", "truncated_faststart.mp4")]
    run_job(tiny_job(folder, *videos, shard_minutes=1e-4, batch_size=2))
    return folder


def report(out: Path) -> VerifyReport:
    *_, last = verify_dataset(Root(str(out)))
    return last


def test_an_untouched_dataset_is_whole(out: Path) -> None:
    found = verified(out)
    assert found.exit_code == 0
    assert found.rows == len(keys(out))


def test_a_missing_file_is_work_to_do(out: Path) -> None:
    next((out / "features").iterdir()).unlink()
    found = report(out)
    assert found.exit_code == 3 and found.pending_shards == 1 and not found.problems


def test_a_doubled_file_is_found(out: Path) -> None:
    file = next((out / "features").iterdir())
    shutil.copy(file, file.with_name("p00001-99999.parquet"))
    assert "no plan has this shard" in "\n".join(report(out).problems)


def test_a_row_taken_out_is_found(out: Path) -> None:
    file = sorted((out / "features").iterdir())[0]
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    found = report(out)
    assert found.exit_code == 5
    assert "neither row nor error" in "\n".join(found.problems)


def test_a_flipped_byte_is_found(out: Path) -> None:
    file = sorted((out / "features").iterdir(), key=lambda f: f.stat().st_size)[-1]
    content = bytearray(file.read_bytes())
    rng = np.random.default_rng(7)
    for place in rng.integers(4, len(content) // 2, 20):
        content[place] ^= 0xFF
    file.write_bytes(content)
    assert report(out).exit_code == 5


def test_a_temporary_name_is_not_a_commit(out: Path) -> None:
    (out / "features" / ".tmp-p00001-00000.parquet").write_bytes(b"half")
    (out / "features" / "p00001-00000.parquet.part").write_bytes(b"half")
    verified(out)


def test_videos_and_errors_can_be_rebuilt_from_the_features(out: Path) -> None:
    before = [pq.read_table(out / name) for name in (layout.VIDEOS, layout.ERRORS)]
    for name in (layout.VIDEOS, layout.ERRORS):
        (out / name).unlink()
    publish_snapshot(Root(str(out)), cannot_tell)
    after = [pq.read_table(out / name) for name in (layout.VIDEOS, layout.ERRORS)]
    assert before == after


def test_outcomes_survive_the_footer() -> None:
    outcome = Outcome(
        "a" * 32, "/videos/très 映像.mp4", 3, 19, 10, ((4, 5),),
        (RangeError(6, 10, "undecodable", "why", 2),), 3, ("a warning",),
    )  # fmt: skip
    assert load_outcomes(dump_outcomes([outcome])) == [outcome]
    assert outcome.row_ranges() == [(3, 3), (11, 19)]


def test_subtract_leaves_the_rest() -> None:
    assert subtract([(0, 9)], [(0, 0), (3, 4), (9, 12)]) == [(1, 2), (5, 8)]
    assert subtract([(0, 3)], [(0, 3)]) == []
