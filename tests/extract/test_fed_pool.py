"""Clips from feeders: the same rows, whatever happens to a feeder."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.jobs import tiny_job
from vfeat.corpus import iter_corpus
from vfeat.engine.feeder_host import FeederHost
from vfeat.engine.feeding import Attachment, Credits, FeedLost, Portion
from vfeat.engine.worker_protocol import UnitResult
from vfeat.errors import StorageError
from vfeat.extract import decode_feeder
from vfeat.extract.decode_feeder import DecodedBatch, DecodeFeeder, FedClip
from vfeat.extract.model_outline import outline
from vfeat.extract.prepare import make_recipe
from vfeat.extract.spec import DecodeFeederSpec, WorkerSettings
from vfeat.extract.worker import ExtractWorker
from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import DecodeTask, Task, TaskDone
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.root import Root
from vfeat.tables.features import ClipRow

FAULTY = "tests.engine.faults:faulty"
CLIP_BYTES = 4 * 32 * 32 * 3
SMALL = Credits(pulls=2, batch_bytes=2 * CLIP_BYTES)


class NearFeed:
    """A feed whose feeder is in this process; it may be lost after some portions.

    Attributes:
        out: portions that came and were not released, now and at most.
    """

    sessions = itertools.count(1)

    def __init__(self, host: FeederHost, lost_after: int | None = None) -> None:
        self.attachment = Attachment(next(self.sessions), 1, SMALL)
        self.host, self.lost_after = host, lost_after
        self.number = self.clips = self.out = self.most_out = 0
        self.sent: list[DecodeTask] = []
        self.lock = threading.Lock()

    def open(self) -> None:
        self.host.open(self.attachment.session)

    def submit(self, tasks: Sequence[Any]) -> None:
        self.sent += tasks
        self.host.submit(self.attachment.session, tasks)

    def next_portion(self, timeout_s: float) -> Portion | None:
        if self.lost_after is not None and self.number >= self.lost_after and self.clips:
            raise FeedLost("the test lost it")
        credits = self.attachment.credits
        if self.out >= credits.pulls:
            return None
        batch = self.host.pull(self.attachment.session, self.number, credits.batch_bytes, timeout_s)
        self.number += 1
        if batch.content is not None:
            self.clips += sum(isinstance(event, FedClip) for event in batch.content.events)
        with self.lock:
            self.out += 1
            self.most_out = max(self.most_out, self.out)
        return Portion(batch.content, self._release)

    def _release(self) -> None:
        with self.lock:
            self.out -= 1

    def close(self) -> None:
        pass


def spec(children: int = 1) -> DecodeFeederSpec:
    job = tiny_job("-", "-", decoder=FAULTY)
    return DecodeFeederSpec(make_recipe(job, outline(job)), DecodeLimits(), children)


@contextmanager
def worker(out: Path, children: int = 1) -> Iterator[ExtractWorker]:
    settings = WorkerSettings(str(out), "cpu", batch_size=3, decode_workers=children)
    with ExtractWorker(spec().recipe, settings) as made:
        yield made


def lease_of(folder: Path, names: Sequence[str], alone: int | None = None) -> Lease:
    """A lease over several names of one video; a name decides what its decoder does."""
    folder.mkdir(exist_ok=True)
    source = Path(__file__).parents[1] / "clips" / "cfr25_bframes.mp4"
    for name in names:
        if not (folder / name).exists():
            (folder / name).write_bytes(source.read_bytes())
    videos = {Path(v.uri).name: v for v in iter_corpus([str(folder)])}
    units = tuple(
        Unit(v.video_id, v.uri, v.size_bytes, v.etag, 0, None, 1.0)
        for v in (videos[name] for name in names)
    )
    return Lease("p00001-00000", units, alone=alone)


def results(monkeypatch: pytest.MonkeyPatch, made: ExtractWorker, lease: Lease) -> list[UnitResult]:
    """Run a lease; return what would be written."""
    found: list[UnitResult] = []

    def publish(_root: Root, _shard: str, these: list[UnitResult], *_: object) -> bool:
        found.extend(these)
        return True

    monkeypatch.setattr("vfeat.extract.worker.publish_shard", publish)
    made.run(lease)
    return found


def rows(found: list[UnitResult]) -> dict[tuple[str, int], np.ndarray]:
    every = [row for one in found for row in one.rows if isinstance(row, ClipRow)]
    assert len({(row.uri, row.clip_index) for row in every}) == len(every)
    return {(row.uri, row.clip_index): row.embedding for row in every}


def assert_same(found: list[UnitResult], truth: list[UnitResult]) -> None:
    """Rows, error classes and attempts are equal."""
    ours, theirs = rows(found), rows(truth)
    assert ours.keys() == theirs.keys()
    for key, vector in theirs.items():
        assert ours[key] == pytest.approx(vector, rel=1e-3, abs=1e-4)
    errors = [
        [[(e.first_clip, e.last_clip, e.error_class, e.attempts) for e in r.outcome.errors]
         for r in side] for side in (found, truth)
    ]  # fmt: skip
    assert errors[0] == errors[1]


def test_rows_and_blame_are_those_of_one_machine_and_what_is_under_way_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"v{i}.mp4" for i in range(8)] + ["crash_1.mp4", "crash_2.mp4", "raise_KeyError_.mp4"]
    lease = lease_of(tmp_path / "videos", names)
    with worker(tmp_path / "out") as made:
        truth = results(monkeypatch, made, lease)
        assert made.progress().fed_clips == 0
    host = FeederHost(spec(2), 2)
    with worker(tmp_path / "out") as made:
        feed = NearFeed(host)
        made.attach(feed)
        found = results(monkeypatch, made, lease)
        assert made.progress().feeds == (feed.attachment.session,)
        assert made.progress().fed_clips == feed.clips > 0
        assert made.progress().clips == len(rows(truth))
    host.close()
    assert_same(found, truth)
    assert [len(r.outcome.errors) for r in found[-3:]] == [1, 1, 1]
    assert feed.most_out <= SMALL.pulls


def test_a_feeder_that_is_lost_again_and_again_costs_no_row_twice_and_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = lease_of(tmp_path / "videos", [f"v{i}.mp4" for i in range(6)])
    with worker(tmp_path / "out") as made:
        truth = results(monkeypatch, made, lease)
    host = FeederHost(spec(), 1)
    feeds = [NearFeed(host, lost_after=portions) for portions in (1, 2)]
    with worker(tmp_path / "out") as made:
        made.attach(feeds[0])
        threading.Thread(target=_attach_after, args=(made, *feeds), daemon=True).start()
        found = results(monkeypatch, made, lease)
        assert made.progress().clips == len(rows(truth)), "a clip was encoded twice"
    host.close()
    assert feeds[0].clips > 0, "lost before it had delivered anything"
    assert_same(found, truth)


def _attach_after(made: ExtractWorker, first: NearFeed, second: NearFeed) -> None:
    """Attach a feeder when the first is lost, as the driver would."""
    while first.attachment.session in made.fed_pool.sessions:
        threading.Event().wait(0.02)
    made.attach(second)


def test_a_suspect_stays_on_the_worker_that_is_blamed_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = lease_of(tmp_path / "videos", ["slow0.mp4", "slow1.mp4"], alone=1)
    host = FeederHost(spec(), 1)
    with worker(tmp_path / "out") as made:
        feed = NearFeed(host)
        made.attach(feed)
        report = made.run(lease)
    host.close()
    assert report.result is not None and report.result.outcome.rows == 6
    assert feed.sent == [] and feed.clips == 0


class Unmounted(DecodeFeeder):
    """A feeder on a node that lacks the folder of the videos."""

    def submit(self, task: Task) -> None:
        assert isinstance(task, DecodeTask)
        away = {**vars(task), "uri": task.uri.replace("/videos/", "/not_mounted/")}
        super().submit(DecodeTask(**away))


def test_videos_that_only_a_feeder_cannot_read_have_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = lease_of(tmp_path / "videos", [f"v{i}.mp4" for i in range(4)])
    monkeypatch.setattr("vfeat.extract.spec.DecodeFeeder", Unmounted)
    host = FeederHost(spec(2), 2)
    with worker(tmp_path / "out") as made:
        feed = NearFeed(host)
        made.attach(feed)
        found = results(monkeypatch, made, lease)
    host.close()
    assert feed.sent, "the feeder had no part in it"
    assert feed.clips == 0
    assert [(r.outcome.rows, r.outcome.errors) for r in found] == [(6, ())] * 4


def decode_task(number: int, uri: str) -> DecodeTask:
    return DecodeTask(number, "0" * 32, uri, None, None, 0, None)


def batches(feeder: DecodeFeeder, tasks: int, max_bytes: int) -> Iterator[DecodedBatch]:
    done = 0
    while done < tasks:
        batch = feeder.next_batch(max_bytes, 20.0)
        assert batch is not None, "nothing came for 20 s"
        done += sum(isinstance(event, TaskDone) for event in batch.events)
        yield batch


@pytest.mark.parametrize("max_clips", [0, 1, 3])
def test_a_batch_holds_no_more_than_its_bytes_but_one_clip_at_least(
    own_clips: Path, max_clips: int
) -> None:
    recipe = spec().recipe
    with DecodePool(recipe.clip, recipe.frame, DecodeLimits(), 1) as pool:
        feeder = DecodeFeeder(pool)
        feeder.submit(decode_task(1, str(own_clips / "cfr25_bframes.mp4")))
        sizes = []
        for batch in batches(feeder, 1, max_clips * CLIP_BYTES):
            clips = sum(isinstance(event, FedClip) for event in batch.events)
            assert clips == (0 if batch.frames is None else len(batch.frames))
            sizes.append(clips)
    assert sum(sizes) == 6 and max(sizes) <= max(max_clips, 1)


def test_a_node_that_can_read_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_feeder, "STORAGE_FAILURES", 2)
    recipe = spec().recipe
    with DecodePool(recipe.clip, recipe.frame, DecodeLimits(), 1) as pool:
        feeder = DecodeFeeder(pool)
        for number in range(2):
            feeder.submit(decode_task(number, str(tmp_path / "missing.mp4")))
        with pytest.raises(StorageError, match="2 videos in a row cannot be read"):
            list(batches(feeder, 3, 1 << 20))


def test_a_session_begins_with_nothing_of_the_one_before(own_clips: Path) -> None:
    host = FeederHost(spec(), 1)
    host.open(5)
    host.submit(5, [decode_task(1, str(own_clips / "cfr25_bframes.mp4"))])
    host.open(7)
    host.open(6)  # a late call of an earlier worker
    assert host.pull(5, 0, 1 << 20, 1.0).is_over and host.pull(6, 0, 1 << 20, 1.0).is_over
    host.submit(5, [decode_task(2, str(own_clips / "cfr25_bframes.mp4"))])
    host.submit(7, [decode_task(3, str(own_clips / "one_frame.mp4"))])
    seen: set[int] = set()
    for number in itertools.count():
        batch = host.pull(7, number, 1 << 20, 1.0)
        assert not batch.is_over
        for event in batch.content.events if batch.content else ():
            seen.add(event.task_id)
            if isinstance(event, TaskDone):
                host.close()
                assert seen == {3}
                return
