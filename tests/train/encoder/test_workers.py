"""Several processes learn what one would from the same batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.train.encoder.jobs import SWAPS, tiny_job
from tests.train.encoder.moving import write_moving
from tests.train.encoder.test_resume import StopAfter
from vfeat.corpus import Video
from vfeat.errors import Interrupted, JobError
from vfeat.train.encoder.data.clip_list import Sample
from vfeat.train.encoder.data.epoch_order import Pick
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.encoder.peers import shares
from vfeat.train.encoder.run import train_encoder
from vfeat.video_facts import Timeline

FIELDS: dict[str, Any] = {
    "epochs": 2, "batch_size": 7, "repeats": 2, "lr": 2e-3, "ema_decay": 0.9, "jitter": 0.3,
    "label_swaps": SWAPS, "label_smoothing": 0.1, "seed": 3, "test_clips": 2, "clip_seconds": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of seven never halves, and one video of it is missing."""
    path = write_moving(tmp_path_factory.mktemp("moving"), {"train": 5, "val": 2, "test": 2})
    with path.open("a") as file:
        file.write("gone.mp4,left,train\n")
    return path


@pytest.fixture(scope="module")
def alone(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return train_encoder(tiny_job(clips, tmp_path_factory.mktemp("alone"), **FIELDS))


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["finished"] and found["broken"] == expected["broken"] == 1
    for one, other in zip(found["history"], expected["history"], strict=True):
        assert one["clips"] == other["clips"]
        assert one["losses"] == pytest.approx(other["losses"], abs=1e-4)
        assert one["val"]["loss"] == pytest.approx(other["val"]["loss"], abs=1e-4)
        assert one["val"]["videos"] == other["val"]["videos"]
    for split in ("val", "test"):
        loss = expected["metrics"][split]["loss"]
        assert found["metrics"][split]["loss"] == pytest.approx(loss, abs=1e-4)


@pytest.mark.slow
def test_losses_are_those_of_one_process(
    clips: Path, alone: dict[str, Any], tmp_path: Path
) -> None:
    assert_same(train_encoder(tiny_job(clips, tmp_path, **FIELDS, workers=2)), alone)


@pytest.mark.slow
def test_one_process_goes_on_where_two_were_stopped(
    clips: Path, alone: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        train_encoder(tiny_job(clips, tmp_path, **FIELDS, workers=2), StopAfter(4))
    assert_same(train_encoder(tiny_job(clips, tmp_path, **FIELDS)), alone)


@pytest.mark.slow
def test_what_ends_a_worker_ends_the_training_in_its_words(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="1 of 37 videos of the list cannot be used"):
        train_encoder(tiny_job(clips, tmp_path, **FIELDS, workers=2, max_broken_share=0.0))
    with pytest.raises(JobError, match=r"the (loss|norm of the gradient) became (nan|inf)"):
        wild = {**FIELDS, "lr": 1e30, "warmup_epochs": 0}
        train_encoder(tiny_job(clips, tmp_path / "wild", **wild, workers=2))


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_batch_is_dealt_out_in_equal_parts_that_stay_at_home(count: int) -> None:
    line = Timeline(1, 8, 0, 16, 16)
    group = tuple(
        Pick(Footage(Sample(row, Video(f"{row}", 1, ""), 0), line, 0, 0), 0)
        for row in (3, 1, 4, 15, 9, 2, 6, 5, 35, 8, 97)
    )
    parts = shares(group, count)
    assert sorted(p.row for part in parts for p in part) == sorted(p.row for p in group)
    sizes = [len(part) for part in parts]
    assert len(sizes) == count and max(sizes) - min(sizes) <= 1
    at_home = sum(pick.row % count == rank for rank, part in enumerate(parts) for pick in part)
    assert at_home >= len(group) / 2
