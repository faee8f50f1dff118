"""The feed: the clips of extraction, once decoded, whatever is broken among them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.encoder.jobs import tiny_job
from tests.train.encoder.moving import moving_frames, write_moving, write_video
from vfeat.errors import JobError
from vfeat.media.children.task import DecodeTask, TaskDone
from vfeat.train.encoder.cache import ClipCache, ClipKey
from vfeat.train.encoder.data.broken import BrokenSamples
from vfeat.train.encoder.data.clip_list import Sample, read_listing
from vfeat.train.encoder.data.epoch_order import evaluation_groups, spread, train_groups
from vfeat.train.encoder.data.feed import ClipFeed
from vfeat.train.encoder.data.footage import Footage, probe_samples
from vfeat.train.encoder.data.prefetch import Prefetch


def opened(feed: ClipFeed, job: Any, source: Path) -> tuple[list[Sample], dict[int, Footage]]:
    """All samples of a list, and the footage of those that open."""
    listing = read_listing(str(source), 0)
    samples = sorted((s for part in listing.splits.values() for s in part), key=lambda s: s.row)
    footage, _ = probe_samples(feed.pool(1), samples, job.clip_spec, 2, lambda done, total: None)
    return samples, footage


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving(tmp_path_factory.mktemp("moving"), {"train": 5})


@pytest.mark.parametrize("megabytes", [(100, 0), (0, 100), (0, 0)], ids=["memory", "file", "none"])
def test_each_epoch_has_the_same_clips_however_they_are_kept(
    clips: Path, tmp_path: Path, megabytes: tuple[int, int]
) -> None:
    memory, scratch = megabytes
    job = tiny_job(
        clips, tmp_path, batch_size=6, repeats=2, cache_megabytes=memory, scratch_megabytes=scratch
    )
    with ClipFeed(job, BrokenSamples(20, 0.0), 2, pin=False) as feed:
        samples, footage = opened(feed, job, clips)
        seen: list[dict[int, np.ndarray]] = []
        for epoch in (1, 2):
            found: dict[int, np.ndarray] = {}
            groups = train_groups(samples, footage, job, epoch)
            assert [len(group) for group in groups] == [6, 6, 6, 6, 6, 6, 4]
            for group, batch in zip(groups, feed.batches(groups), strict=True):
                assert batch.picks == group
                assert batch.frames_BVTSSC.shape == (len(group), 1, 8, 48, 48, 3)
                for pick, frames in zip(batch.picks, batch.frames_BVTSSC.numpy(), strict=True):
                    assert np.array_equal(found.setdefault(pick.row, frames), frames)
            seen.append(found)
        assert feed.decoded == 20 if memory or scratch else feed.decoded > 20
    assert seen[0].keys() == seen[1].keys() == set(range(20))
    assert all(np.array_equal(seen[0][row], seen[1][row]) for row in range(20))
    assert len({frames.tobytes() for frames in seen[0].values()}) == 20


def test_clips_are_those_of_extraction(clips: Path, tmp_path: Path) -> None:
    job = tiny_job(clips, tmp_path, crops=3, test_clips=2, clip_seconds=1.0)
    with ClipFeed(job, BrokenSamples(20, 0.0), 2, pin=False) as feed:
        _, footage = opened(feed, job, clips)
        groups = evaluation_groups([footage[0], footage[1]], job)
        (batch,) = feed.batches(groups, 3)
        assert [(p.row, p.clip_index) for p in batch.picks] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        assert batch.frames_BVTSSC.shape[:2] == (4, 3)
        video, line = footage[1].sample.video, footage[1].timeline
        pool = feed.pool(3)
        pool.submit(DecodeTask(99, video.uri, video.size_bytes, line, 0, 1))
        clips_of_it = []
        while not isinstance(event := pool.next_event(30), TaskDone):
            assert event is not None and hasattr(event, "frames")
            clips_of_it.append(np.array(event.frames))
            event.release()
        assert np.array_equal(np.stack(clips_of_it), batch.frames_BVTSSC[2:].numpy())


def test_an_order_depends_on_seed_and_epoch_and_not_on_what_is_broken(
    clips: Path, tmp_path: Path
) -> None:
    job = tiny_job(clips, tmp_path, batch_size=6)
    with ClipFeed(job, BrokenSamples(20, 0.0), 2, pin=False) as feed:
        samples, footage = opened(feed, job, clips)
    orders = [
        [[p.row for p in group] for group in train_groups(samples, footage, asked, epoch)]
        for asked, epoch in ((job, 1), (job, 1), (job, 2), (tiny_job(clips, tmp_path, seed=1), 1))
    ]
    assert orders[0] == orders[1] and orders[0] != orders[2]
    assert orders[0] != orders[3]
    without = train_groups(samples, {r: f for r, f in footage.items() if r != 7}, job, 1)
    kept = [[row for row in group if row != 7] for group in orders[0]]
    assert [[p.row for p in group] for group in without] == kept


def test_videos_rest_while_their_label_is_known(clips: Path, tmp_path: Path) -> None:
    job = tiny_job(clips, tmp_path, batch_size=6, rest=0.75)
    with ClipFeed(job, BrokenSamples(20, 0.0), 2, pin=False) as feed:
        samples, footage = opened(feed, job, clips)
    rows = {sample.row for sample in samples}
    sure = set(sorted(rows)[: len(rows) // 2])
    known = {row: 0.9 if row in sure else 0.89 for row in rows}
    comes = Counter(
        pick.row
        for epoch in range(2, 202)
        for group in train_groups(samples, footage, job, epoch, known)
        for pick in group
    )
    assert {row for row in rows if comes[row] == 200} == rows - sure
    assert 0.15 < sum(comes[row] for row in sure) / (200 * len(sure)) < 0.35
    everyone = dict.fromkeys(rows, 1.0)
    for epoch in range(2, 40):  # an epoch is never empty
        assert train_groups(samples, footage, job, epoch, everyone)


def test_what_does_not_decode_is_left_out_and_noted(clips: Path, tmp_path: Path) -> None:
    """A video whose header is fine and whose pictures are gone."""
    folder = tmp_path / "damaged"
    source = write_moving(folder, {"train": 3})
    whole = moving_frames(np.random.default_rng(0), "left", 16)
    write_video(folder / "left_train0.mp4", whole)
    content = bytearray((folder / "left_train0.mp4").read_bytes())
    job = tiny_job(source, tmp_path / "out", batch_size=20)
    broken = BrokenSamples(12, 0.1)
    with ClipFeed(job, broken, 2, pin=False) as feed:
        samples, footage = opened(feed, job, source)
        (folder / "left_train0.mp4").write_bytes(content[: len(content) // 50])
        (folder / "up_train0.mp4").unlink()
        groups = train_groups(samples, footage, job, 1)
        with pytest.raises(JobError, match="2 of 12 videos of the list cannot be used"):
            list(feed.batches(groups))
    rows = {s.row for s in samples if s.video.uri.endswith(("left_train0.mp4", "up_train0.mp4"))}
    assert all(row in broken for row in rows) and len(broken) == 2
    text = broken.to_csv().decode().splitlines()
    assert text[0] == "uri,row,error_class,message" and len(text) == 3


def test_a_full_cache_keeps_what_it_has() -> None:
    rng = np.random.default_rng(1)
    clip = [rng.integers(0, 256, (1, 2, 64, 64, 3), np.uint8) for _ in range(5)]
    cache = ClipCache(2 * clip[0].nbytes, 2 * clip[0].nbytes + 5)
    for place, frames in enumerate(clip):
        cache.put(ClipKey(place, 0, 1), frames)
    assert len(cache) == 4 and cache.get(ClipKey(4, 0, 1)) is None
    for place in range(4):
        found = cache.get(ClipKey(place, 0, 1))
        assert found is not None and np.array_equal(found, clip[place])


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [(1, 4, [0]), (5, 5, [0, 1, 2, 3, 4]), (10, 1, [5]), (10, 2, [2, 7]), (9, 3, [1, 4, 7])],
)
def test_clips_are_spread_evenly(count: int, wanted: int, expected: list[int]) -> None:
    assert spread(count, wanted) == expected


def test_prefetching_gives_items_in_order_and_errors_as_they_were() -> None:
    def source() -> Iterator[int]:
        yield from range(10)
        raise JobError("the disk is on fire")

    with Prefetch(source()) as items:
        assert [next(items) for _ in range(10)] == list(range(10))
        with pytest.raises(JobError, match="on fire"):
            next(items)


def test_prefetching_stops_with_its_reader() -> None:
    began = threading.active_count()
    made = []

    def source() -> Iterator[int]:
        for number in range(10**9):
            made.append(number)
            yield number

    with Prefetch(source(), depth=3) as items:
        assert [next(items), next(items)] == [0, 1]
    count = len(made)
    assert threading.active_count() == began and count <= 6
    time.sleep(0.05)
    assert len(made) == count
