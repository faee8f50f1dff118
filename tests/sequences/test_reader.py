"""Sequences: rows in order, holes masked, any range, at every level."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import vfeat
from tests.engine.jobs import tiny_job
from vfeat.engine.watch import Watch
from vfeat.errors import JobError
from vfeat.extract.run import ExtractRun, run_job
from vfeat.sequences.reader import SequenceReader
from vfeat.tables import features


@pytest.fixture(scope="module", params=["frame", "patch"])
def dataset(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> vfeat.FeatureDataset:
    """Three videos over several files, one with an hour's gap, one cut short."""
    clips = Path(__file__).parents[1] / "clips"
    out = tmp_path_factory.mktemp("features") / request.param
    videos = [clips / n for n in ("cfr25_bframes.mp4", "vfr_gap.mp4", "truncated_faststart.mp4")]
    run_job(tiny_job(out, *videos, tokens=request.param, clip_seconds=0.5, shard_minutes=1e-4))
    return vfeat.open(str(out))


@pytest.mark.parametrize("level", ["clip", "tokens"])
def test_sequences_are_the_rows_in_order_with_holes_masked(
    dataset: vfeat.FeatureDataset, level: str
) -> None:
    kept = dataset.recipe.output.tokens
    column = "embedding" if level == "clip" else f"{kept}_tokens"
    reader = SequenceReader(dataset, "clip" if level == "clip" else kept)  # type: ignore[arg-type]
    table = dataset.to_arrow().to_pylist()
    refs = list(reader.refs())
    assert len(refs) == 3
    for ref in refs:
        rows = {r["clip_index"]: r[column] for r in table if r["video_id"] == ref.video_id}
        sequence = reader.read(ref)
        steps = reader.steps_per_clip()
        values = sequence.values_LD.reshape(ref.clips, steps, reader.width())
        mask = sequence.mask_L.reshape(ref.clips, steps)
        assert ref.rows == len(rows) < ref.clips or "cfr25" in ref.uri
        for clip in range(ref.clips):
            assert mask[clip].all() == mask[clip].any() == (clip in rows)
            expected = np.zeros_like(values[clip])
            if clip in rows:
                expected = np.asarray(rows[clip], np.float32).reshape(expected.shape)
            np.testing.assert_array_equal(values[clip], expected)


def test_a_range_is_a_slice_of_the_whole(
    dataset: vfeat.FeatureDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SequenceReader(dataset)
    for ref in reader.refs():
        everything = reader.read(ref)
        middle = ref.clips // 2
        part = reader.read(ref, middle, ref.clips - 1)
        np.testing.assert_array_equal(part.values_LD, everything.values_LD[middle:])
        np.testing.assert_array_equal(part.mask_L, everything.mask_L[middle:])


def test_files_are_listed_once_however_much_is_read(
    dataset: vfeat.FeatureDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing is a request to the store: never one for each window."""
    reader = SequenceReader(dataset)
    refs = list(reader.refs())
    listed: list[str] = []
    list_files = vfeat.FeatureDataset.files

    def counted(self: vfeat.FeatureDataset) -> list[str]:
        listed.append(self.root.uri)
        return list_files(self)

    monkeypatch.setattr(vfeat.FeatureDataset, "files", counted)
    for ref in refs:
        for clip in range(ref.clips):
            reader.read(ref, clip, clip)
    assert len(listed) == 1


def test_many_row_groups_read_like_one(
    own_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = []
    for name, size in (("one", features.ROW_GROUP_BYTES), ("many", 300)):
        monkeypatch.setattr(features, "ROW_GROUP_BYTES", size)
        out = tmp_path / name
        run_job(tiny_job(out, own_clips / "cfr25_bframes.mp4", clip_seconds=0.25))
        reader = SequenceReader(vfeat.open(str(out)))
        sequences.append(next(reader.read(ref, 3, 17) for ref in reader.refs()))
    np.testing.assert_allclose(sequences[0].values_LD, sequences[1].values_LD, rtol=1e-5)
    assert sequences[0].mask_L.all()


def test_a_video_that_is_not_settled_is_left_for_later(own_clips: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    shutil.copy(own_clips / "cfr25_bframes.mp4", corpus)
    out = tmp_path / "out"
    run = ExtractRun(tiny_job(out, corpus, clip_seconds=0.1, shard_minutes=1e-4), Watch())
    run.interrupted = True  # everything is planned, nothing is worked
    run.run()
    assert list(SequenceReader(vfeat.open(str(out))).refs()) == []
    run_job(tiny_job(out, corpus, clip_seconds=0.1, shard_minutes=1e-4))
    assert [ref.clips for ref in SequenceReader(vfeat.open(str(out))).refs()] == [60]


def test_a_level_that_was_not_kept_is_a_sentence(dataset: vfeat.FeatureDataset) -> None:
    other = "patch" if dataset.recipe.output.tokens == "frame" else "frame"
    with pytest.raises(JobError, match=f"keeps no {other} tokens"):
        SequenceReader(dataset, other)  # type: ignore[arg-type]
