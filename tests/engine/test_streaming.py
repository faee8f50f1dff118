"""Work begins with the first plan, while the input is still listed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.counting import CountJob, CountRun
from tests.engine.jobs import verified
from vfeat.corpus import iter_corpus
from vfeat.engine.watch import Watch
from vfeat.errors import JobError, StorageError
from vfeat.plan.unit import Unit
from vfeat.tables.plans import plan_table, publish_plan

PATIENCE_S = 60.0


class SlowListing(CountRun):
    """A stage whose second plan waits for the first one's shard, and may fail then."""

    def __init__(self, job: CountJob, failure: Exception | None = None) -> None:
        super().__init__(job, Watch())
        self.failure = failure
        self.first_done = threading.Event()

    def plan(self) -> Iterator[str]:
        videos = list(iter_corpus(self.job.sources))
        for number, video in enumerate(videos, 1):
            unit = Unit(video.video_id, video.uri, video.size_bytes, video.etag, 0, 0, 1.0)
            plan = publish_plan(self.root, number, plan_table([[unit]], {}))
            assert plan is not None
            yield plan
            assert self.first_done.wait(PATIENCE_S), "the first plan was not worked on meanwhile"
            if self.failure is not None:
                raise self.failure

    def follow_ups(self, lease: object, outcomes: object) -> Iterator[str]:
        self.first_done.set()
        yield from ()


def job(tmp_path: Path, own_clips: Path, *names: str) -> CountJob:
    sources = tuple(str(own_clips / name) for name in names)
    return CountJob(sources=sources, out=str(tmp_path / "out"), executor="inline")


def test_the_first_plan_is_worked_on_before_the_second_exists(
    own_clips: Path, tmp_path: Path
) -> None:
    run = SlowListing(job(tmp_path, own_clips, "one_frame.mp4", "av1.mp4"))
    summary = run.run()
    assert (summary.exit_code, summary.totals.rows) == (0, 2)
    assert summary.plans == ("p00001", "p00002")
    assert verified(tmp_path / "out").pending_shards == 0


@pytest.mark.parametrize("failure", [StorageError("the store is away"), JobError("no such source")])
def test_a_listing_that_fails_keeps_what_was_done_and_is_told_at_the_end(
    own_clips: Path, tmp_path: Path, failure: Exception
) -> None:
    run = SlowListing(job(tmp_path, own_clips, "one_frame.mp4", "av1.mp4"), failure)
    with pytest.raises(type(failure), match=str(failure)):
        run.run()
    report = verified(tmp_path / "out")
    assert (report.rows, report.pending_shards) == (1, 0)
    assert (tmp_path / "out" / "videos.parquet").exists()


def test_a_bug_in_one_follow_up_ends_nothing_and_is_told_at_the_end(
    own_clips: Path, tmp_path: Path
) -> None:
    class Buggy(SlowListing):
        def follow_ups(self, lease: object, outcomes: object) -> Iterator[str]:
            first = not self.first_done.is_set()
            self.first_done.set()
            if first:
                raise ValueError("a bug")
            yield from ()

    with pytest.raises(ValueError, match="a bug"):
        Buggy(job(tmp_path, own_clips, "one_frame.mp4", "av1.mp4")).run()
    assert verified(tmp_path / "out").rows == 2
