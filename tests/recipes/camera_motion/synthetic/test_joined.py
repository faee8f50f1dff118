"""A corpus with earlier ones: all of its own rows, of theirs only what may be learnt."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recipes.camera_motion.synthetic import check_earlier, write_corpus, write_joined
from recipes.camera_motion.synthetic.corpus import FLOW_FILE
from recipes.camera_motion.synthetic.joined import JOINED_FLOW_FILE
from tests.train.encoder.jobs import tiny_job
from vfeat.corpus import iter_corpus
from vfeat.errors import JobError
from vfeat.models.videomamba_config import VideoMambaConfig
from vfeat.train.encoder.objectives.optical_flow import FlowTable

pytest.importorskip("skimage", reason="generated video needs scikit-image")

CLIPS = 20  # of 13 labels: the first round is held out


def rows_of(path: str | Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora; clips of the same number and label have the same name in both."""
    folder = tmp_path_factory.mktemp("corpora")
    for name, seed in (("first", 3), ("second", 4)):
        write_corpus(folder / name, clips=CLIPS, seed=seed)
    return folder


def test_what_was_held_out_stays_out(folder: Path) -> None:
    first, second = (rows_of(folder / name / "clips.csv") for name in ("first", "second"))
    joined = rows_of(write_joined(folder / "second", [str(folder / "first")]))
    assert joined[:CLIPS] == second
    learnt = [row for row in first if row["split"] == "train"]
    assert 0 < len(learnt) < CLIPS
    assert joined[CLIPS:] == [row | {"uri": f"../first/{row['uri']}"} for row in learnt]
    videos = list(iter_corpus([str(folder / "second" / "joined.csv")]))
    assert all(video.problem is None for video in videos)


def test_each_clip_has_its_own_flow(folder: Path) -> None:
    """Also where a clip of the other corpus has the same name."""
    path = write_joined(folder / "second", [str(folder / "first")])
    truth = {name: pq.read_table(folder / name / FLOW_FILE) for name in ("first", "second")}
    flow = str(folder / "second" / JOINED_FLOW_FILE)
    table = FlowTable(tiny_job(path, folder, flow=flow, flow_loss=1.0), VideoMambaConfig())
    for video in iter_corpus([path]):
        place = Path(video.uri).resolve().relative_to(folder.resolve())
        corpus, name = place.parts[0], "/".join(place.parts[1:])
        expected = truth[corpus]["maps"][truth[corpus]["uri"].to_pylist().index(name)].as_py()
        _, maps = table._of_video(video.uri)
        np.testing.assert_array_equal(maps.ravel(), np.float32(expected))


def test_what_cannot_be_joined_is_told_before_clips_are_made(folder: Path, tmp_path: Path) -> None:
    first = str(folder / "first")
    check_earlier(tmp_path, [first])
    with pytest.raises(JobError, match="empty is not a folder of generated clips"):
        check_earlier(tmp_path, [first, str(tmp_path / "empty")])
    for earlier in ([first, f"{first}/"], [str(tmp_path)]):
        with pytest.raises(JobError, match="is named twice"):
            check_earlier(tmp_path, earlier)
