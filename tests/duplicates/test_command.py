"""`vfeat duplicates` over real files: extraction, command line, table, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vfeat
from tests.clipmaker.encode import Coding, write_clip
from tests.clipmaker.scenes import Frame
from tests.engine.commands import run
from vfeat.duplicates import clips
from vfeat.duplicates.find import find_duplicates
from vfeat.search.dataset import Dataset
from vfeat.tables.dataset import Sequence
from vfeat.tables.duplicates import DUPLICATES

DEMO = Path(__file__).parents[2] / "jobs" / "demo_clips"
FROM_S, TO_S = 5, 19  # of `sweeping`, cut into the host
AT_S = 5  # where the host holds it


def pictures(name: str) -> list[Frame]:
    with av.open(str(DEMO / f"{name}.mp4")) as file:
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return [np.asarray(cv2.resize(picture, (320, 180)), np.uint8) for picture in shown]


def write(path: Path, frames: list[Frame]) -> None:
    coding = Coding(options={"crf": "32", "preset": "ultrafast"}, tick_s=Fraction(1, 25))
    write_clip(path, frames, list(range(len(frames) + 1)), coding)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Films of drawn shots, the last of which hold a recoloured part of another; two datasets."""
    folder = tmp_path_factory.mktemp("duplicates")
    shots = {
        name: pictures(name)
        for name in ("zoom_in", "passer_by", "sweeping", "hard_cut", "pan_right", "bouncing_ball")
    }
    copied = [
        np.clip(frame * 0.9 + 12, 0, 255).astype(np.uint8)
        for frame in shots["sweeping"][FROM_S * 25 : TO_S * 25]
    ]
    films = {
        "first": {"sweeping": shots["sweeping"], "hard": shots["hard_cut"] + shots["passer_by"]},
        "second": {
            "host": shots["zoom_in"] + copied + shots["bouncing_ball"],
            "pan": shots["pan_right"],
        },
    }
    for part, named in films.items():
        (folder / part).mkdir()
        for name, frames in named.items():
            write(folder / part / f"{name}.mp4", frames)
    flags = ("--stride-seconds", "0.5", "--no-flips", "--executor", "inline", "--device", "cpu")
    for out, sources in {"all": ("first", "second"), "one": ("first",), "two": ("second",)}.items():
        given = [folder / source for source in sources]
        result = run("extract", *given, "--out", folder / out, *flags)
        assert result.returncode == 0, result.stderr
    return folder / "all", folder


def test_a_copied_part_is_found_by_the_command(datasets: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "duplicates.parquet"
    result = run("duplicates", datasets[0], "--json", "--out", out)
    assert result.returncode == 0, result.stderr
    [segment] = json.loads(result.stdout)["segments"]
    assert (Path(segment["a"]).name, Path(segment["b"]).name) == ("sweeping.mp4", "host.mp4")
    assert segment["a_start_s"] == pytest.approx(FROM_S, abs=2)
    assert segment["a_end_s"] == pytest.approx(TO_S, abs=2)
    assert segment["b_start_s"] == pytest.approx(AT_S, abs=2)
    assert segment["b_end_s"] == pytest.approx(AT_S + TO_S - FROM_S, abs=2)
    assert segment["speed"] == pytest.approx(1, abs=0.05)
    stored = pq.read_table(out)
    assert stored.schema.equals(DUPLICATES)
    assert stored.column("a_start_s").to_pylist() == [segment["a_start_s"]]


def test_the_table_for_people_has_the_times(datasets: tuple[Path, Path]) -> None:
    result = run("duplicates", datasets[0], COLUMNS="120")
    assert result.returncode == 0, result.stderr
    assert "sweeping.mp4" in result.stdout and "host.mp4" in result.stdout
    assert "1 shared stretches in 1 groups" in result.stdout


def test_two_datasets_are_compared_across(datasets: tuple[Path, Path]) -> None:
    folder = datasets[1]
    across = run("duplicates", folder / "one", "--against", folder / "two", "--json")
    assert across.returncode == 0, across.stderr
    [segment] = json.loads(across.stdout)["segments"]
    assert (Path(segment["a"]).name, Path(segment["b"]).name) == ("sweeping.mp4", "host.mp4")
    alone = run("duplicates", folder / "two", "--json")
    assert json.loads(alone.stdout)["segments"] == []


class Backwards(Dataset):
    """The same dataset whose videos come from its files in another order."""

    def sequences(self) -> Iterator[Sequence]:
        return reversed(list(super().sequences()))


def test_the_order_of_files_does_not_matter(datasets: tuple[Path, Path]) -> None:
    dataset = vfeat.open(str(datasets[0]))
    forwards = find_duplicates(dataset)
    backwards = find_duplicates(Backwards(dataset.root, dataset.recipe))
    assert len(forwards.segments) == 1
    assert forwards.segments == backwards.segments
    assert forwards.clips.uris == backwards.clips.uris


def test_a_removed_video_is_not_found(datasets: tuple[Path, Path], monkeypatch: Any) -> None:
    dataset = vfeat.open(str(datasets[0]))
    [host] = [s.video_id for s in dataset.sequences() if s.uri.endswith("host.mp4")]
    monkeypatch.setattr(clips, "gone_videos", lambda _: pa.array([host]))
    assert find_duplicates(dataset).segments == []


def test_refusals_are_one_sentence(datasets: tuple[Path, Path], tmp_path: Path) -> None:
    missing = run("duplicates", tmp_path / "nothing")
    assert missing.returncode == 2 and "Traceback" not in missing.stderr, missing.stderr
    other = run("duplicates", datasets[0], "--against", tmp_path / "nothing")
    assert other.returncode == 2 and "Traceback" not in other.stderr, other.stderr
