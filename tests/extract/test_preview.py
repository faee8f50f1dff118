"""The dry run's sample: the same for the same corpus, bounded, and honest about its spread."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.engine.jobs import tiny_job, tree
from vfeat.engine.watch import Watch
from vfeat.extract.preview import Sample, extrapolate
from vfeat.extract.run import ExtractRun
from vfeat.plan.estimate import Estimate
from vfeat.video_facts import Probe, Timeline

ESTIMATE = Estimate(0.5, 0.1, 1000.0, 0, 2, 4, "a test")


def batch(names: list[str], sizes: list[int], problems: list[str | None] | None = None) -> pa.Table:
    ids = [hashlib.blake2b(name.encode(), digest_size=16).hexdigest() for name in names]
    return pa.table(
        {
            "video_id": ids,
            "uri": names,
            "size_bytes": pa.array(sizes, pa.int64()),
            "etag": ["e"] * len(names),
            "address": pa.nulls(len(names), pa.string()),
            "problem": pa.array(problems or [None] * len(names), pa.string()),
        }
    )


def opened(clips: int, decode_s: float = 0.0) -> Probe:
    line = Timeline(1, 1000, 0, clips * 1000, 25)
    return Probe("mp4", "h264", 320, 180, 0, line, clips, 0, decode_s, True)


def test_the_sample_does_not_depend_on_how_the_corpus_is_listed() -> None:
    names = [f"/videos/{i}" for i in range(5000)]
    one, many = Sample(50), Sample(50)
    one.add(batch(names, list(range(5000))))
    shuffled = random.Random(1).sample(names, len(names))
    for start in range(0, 5000, 700):
        part = shuffled[start : start + 700]
        many.add(batch(part, [int(name.rpartition("/")[2]) for name in part]))
    assert {v.uri for v in one.chosen} == {v.uri for v in many.chosen}
    assert len(one.chosen) == 50
    assert one.size_bytes == many.size_bytes == sum(range(5000))


@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_is_within_its_spread(seed: int) -> None:
    """Of 40 corpora whose clips follow from sizes only roughly, nearly all are."""
    rng = random.Random(seed)
    inside = 0
    for trial in range(40):
        names = [f"/{seed}/{trial}/{i}" for i in range(3000)]
        sizes = [int(rng.lognormvariate(14, 1)) for _ in names]
        clips = {
            n: max(1, int(s / rng.uniform(1e5, 5e5))) for n, s in zip(names, sizes, strict=True)
        }
        sample = Sample(200)
        sample.add(batch(names, sizes))
        found = [(video.size_bytes, opened(clips[video.uri])) for video in sample.chosen]
        outlook = extrapolate(sample, found, ESTIMATE)
        assert outlook.opened == 200 and 0 < outlook.spread < 0.5
        true = sum(clips.values())
        inside += abs(outlook.clips - true) <= outlook.spread * outlook.clips
    assert inside >= 34  # two standard errors: 38 of 40 are expected


def test_of_a_small_corpus_everything_is_opened() -> None:
    sample = Sample(10)
    sample.add(batch(["/a", "/b", "/c"], [10, 20, 0], [None, None, "/c does not exist"]))
    outlook = extrapolate(sample, [(10, opened(3)), (20, None)], ESTIMATE)
    assert (outlook.opened, outlook.spread, outlook.unreadable) == (2, 0.0, 2)
    assert outlook.clips == 3 + 1 + 1  # an unreadable video is planned as its first clip


def test_the_time_counts_what_is_slower_model_or_decoders() -> None:
    sample = Sample(10)
    sample.add(batch(["/a"], [10]))
    fast = extrapolate(sample, [(10, opened(10, decode_s=1.0))], ESTIMATE)
    slow = extrapolate(sample, [(10, opened(10, decode_s=100.0))], ESTIMATE)
    assert fast.cost_s == pytest.approx(10 * 0.5)
    assert slow.cost_s == pytest.approx(100.0 / 4)


def test_a_dry_run_of_a_larger_corpus_says_what_it_rests_on(
    own_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfeat.extract.run.SAMPLE", 4)
    folder = tmp_path / "videos"
    folder.mkdir()
    for i in range(12):
        shutil.copy(
            own_clips / ("one_frame.mp4", "av1.mp4", "vp9.webm")[i % 3], folder / f"{i}.mp4"
        )
    before = tree(tmp_path)
    preview = ExtractRun(tiny_job(tmp_path / "out", folder), Watch()).preview()
    assert (preview.videos, preview.new_videos, preview.opened) == (12, 12, 4)
    assert preview.spread > 0
    assert 12 <= preview.clips <= 60  # 24 in truth
    assert tree(tmp_path) == before
