"""Published protocols: counts of the real files, and aggregation by numbers worked out by hand."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vfeat
from tests.train.head.generated import random_videos, write_dataset
from tests.train.head.jobs import ANY_LABELS, head_job
from vfeat.errors import JobError
from vfeat.sequences.head import load_heads
from vfeat.sequences.reader import SequenceReader
from vfeat.sequences.windows import sliding
from vfeat.train.head.feed import Feed
from vfeat.train.head.loop import evaluate
from vfeat.train.head.protocols import LVU_TASKS, read_protocols
from vfeat.train.head.run import train_heads
from vfeat.train.head.trainer import HeadTrainer
from vfeat.train.head.watch import TrainWatch
from vfeat.train.task import Example, Task

CPU = torch.device("cpu")
# Of the published files: videos of train, val and test (lines), windows of the test videos
# (the sum of max(1, duration - 59) over lvu_durations.csv).
LVU = {
    "relationship": (149, 53, 42, 2929),
    "way_speaking": (939, 205, 201, 15137),
    "scene": (557, 120, 86, 6903),
    "director": (680, 163, 107, 8345),
    "writer": (769, 174, 168, 12773),
    "year": (770, 165, 143, 10601),
    "genre": (3063, 597, 647, 44212),
    "like_ratio": (658, 142, 140, 14245),
    "view_count": (577, 124, 126, 6975),
}


@pytest.fixture(scope="module")
def annotations(shared: Path) -> Path:
    folder = shared / "annotations"
    if not (folder / "lvu_1.0").is_dir():
        pytest.skip(f"no published annotations at {folder}")
    return folder


@pytest.fixture(scope="module")
def durations(annotations: Path) -> dict[str, int]:
    with (annotations / "lvu_1.0" / "lvu_durations.csv").open() as file:
        return {row["videoid"]: int(row["duration"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("task", LVU_TASKS)
def test_counts_of_the_real_files(task: str, annotations: Path, durations: dict[str, int]) -> None:
    (table,) = read_protocols((f"lvu/{task}",), str(annotations))
    counts = [sum(row.split == split for row in table.rows) for split in ("train", "val", "test")]
    windows = sum(
        len(list(sliding(durations[row.key], 1.0, 1.0, 60.0, 1.0)))
        for row in table.rows
        if row.split == "test"
    )
    assert (*counts, windows) == LVU[task]
    assert (table.window_s, table.hop_s, table.published) == (60.0, 1.0, True)


def test_classes_and_transforms_of_the_real_files(annotations: Path) -> None:
    tables = {t.name: t for t in read_protocols(("lvu/all",), str(annotations))}
    assert {n: len(t.classes) for n, t in tables.items() if t.classes} == {
        "relationship": 4, "way_speaking": 5, "scene": 6, "director": 10, "writer": 10,
        "year": 9, "genre": 4,
    }  # fmt: skip
    assert tables["year"].classes[0] == "1930" and tables["year"].classes[8] == "2010"
    # test.csv: `100101 39251 Gl5GVViqvjo`, and `1021209 TLZClsaDEw0`
    ratio = {row.key: row.target for row in tables["like_ratio"].rows}["Gl5GVViqvjo"]
    views = {row.key: row.target for row in tables["view_count"].rows}["TLZClsaDEw0"]
    assert ratio == pytest.approx(1001010 / 139352) and ratio == pytest.approx(7.18332, abs=1e-5)
    assert views == pytest.approx(math.log(1021209))
    assert tables["like_ratio"].centre == 9.138220535629456
    assert tables["view_count"].centre == 11.76425435683139


def test_breakfast_skips_its_three_files(annotations: Path) -> None:
    (table,) = read_protocols(("breakfast",), str(annotations))
    assert sum(row.split == "train" for row in table.rows) == 1357 - 3
    assert sum(row.split == "test" for row in table.rows) == 355
    assert len(table.classes) == 10 and table.classes[2] == "tea" and table.window_s is None


class CountWindows(TrainWatch):
    """Videos of each phase, and what was said."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.notes: list[str] = []

    def advanced(self, phase: str, epoch: int, done: int, total: int) -> None:
        self.totals[phase] = total

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_lvu_from_end_to_end(
    annotations: Path, durations: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`relationship` with its real splits and durations on generated features."""
    (table,) = read_protocols(("lvu/relationship",), str(annotations))
    names = [row.key for row in table.rows]
    lost = next(row.key for row in table.rows if row.split == "test")
    videos = random_videos(
        (f"{name}.mp4" for name in names if name != lost), lambda name: durations[name[:-4]], 4
    )
    features = write_dataset(tmp_path / "features", videos, 4)
    job = head_job(
        features, tmp_path / "head", protocols=("lvu/relationship",),
        annotations=str(annotations), epochs=1, batch_size=64, d_model=8, n_layers=1,
    )  # fmt: skip
    with pytest.raises(JobError, match=f"1 of 244 labelled videos are not in the features: {lost}"):
        train_heads(job)
    stretches: list[int] = []
    predict = HeadTrainer.predict

    def counted(self: HeadTrainer, batch: object) -> Tensor:
        found = predict(self, batch)  # type: ignore[arg-type]
        stretches.append(len(found))
        return found

    monkeypatch.setattr(HeadTrainer, "predict", counted)
    watch = CountWindows()
    allowed = job.model_copy(update={"allow_missing": True})
    (result,) = train_heads(allowed, watch)
    assert result.videos == {"train": 149, "val": 53, "test": 41}
    assert watch.totals == {"scan": 243, "train": 149, "val": 53, "test": 41}
    val = [row.key for row in table.rows if row.split == "val"]
    val_windows = sum(max(1, durations[name] - 59) for name in val)
    test_windows = 2929 - max(1, durations[lost] - 59)
    assert sum(stretches) == 2 * val_windows + test_windows  # once in the epoch, once at the end
    assert result.metrics["test"].videos == 41 and result.metrics["test"].top1 is not None
    assert np.array(result.metrics["test"].confusion).shape == (4, 4)


class FirstStep(nn.Module):
    """Logits are the first step's features, as they are."""

    def forward(self, values_BLD: Tensor, mask_BL: Tensor | None) -> Tensor:
        return values_BLD[:, 0]


def hand_made(tmp_path: Path, kind: str, firsts: dict[str, list[list[float]]]) -> Feed:
    """Videos of 59 seconds and one for each window, whose first steps are given."""
    videos = {}
    for name, rows in firsts.items():
        values = np.full((59 + len(rows), 2), 7.0, np.float32)
        values[: len(rows)] = rows
        videos[name] = values
    dataset = vfeat.open(str(write_dataset(tmp_path / kind, videos, 2)))
    reader = SequenceReader(dataset)
    feed = Feed(reader, list(reader.refs()), 60.0, 1.0, 1 << 20, 0, False)
    feed.scan(lambda done, total: None)
    assert [len(spans) for spans in feed.spans] == [len(rows) for rows in firsts.values()]
    return feed


def test_softmaxed_windows_are_averaged_for_each_video(tmp_path: Path) -> None:
    """Windows of .6, .6, .05 for class 0 give 1.25 / 3: class 1, though two of three say 0."""
    odds = lambda p: [math.log(p), math.log(1 - p)]  # noqa: E731
    feed = hand_made(
        tmp_path, "class", {"a.mp4": [odds(0.6), odds(0.6), odds(0.05)], "b.mp4": [odds(0.8)]}
    )
    both = (Example(0, 0), Example(1, 0))
    task = Task("t", "classification", ("x", "y"), both, both, both)
    job = head_job("features", "head", **ANY_LABELS, d_model=8, batch_size=2)
    trainer = HeadTrainer(task, job, 2, 60, CPU)
    trainer.model = FirstStep()  # type: ignore[assignment]
    (metrics,) = evaluate([trainer], feed, "test", 1, CPU, TrainWatch())
    assert metrics is not None
    assert metrics.confusion == [[1, 1], [0, 0]] and metrics.top1 == 0.5
    assert metrics.loss == pytest.approx(-(math.log(1.25 / 3) + math.log(0.8)) / 2, rel=1e-5)


def test_regression_is_the_error_of_the_mean(tmp_path: Path) -> None:
    """Windows of 1, 2 and 6 over the centre 10 give 13; the truth is 15: squared, 4. And 0."""
    feed = hand_made(
        tmp_path, "value", {"a.mp4": [[1, 0], [2, 0], [6, 0]], "b.mp4": [[-3, 0], [3, 0]]}
    )
    both = (Example(0, 15.0), Example(1, 10.0))
    task = Task("t", "regression", (), both, both, both, centre=10.0)
    job = head_job("features", "head", **ANY_LABELS, d_model=8, batch_size=2)
    trainer = HeadTrainer(task, job, 2, 60, CPU)
    trainer.model = FirstStep()  # type: ignore[assignment]
    (metrics,) = evaluate([trainer], feed, "test", 1, CPU, TrainWatch())
    assert metrics is not None and metrics.mse == pytest.approx(2.0)


def small_lvu(folder: Path) -> Path:
    """The file format in a few lines, for those who have not the files."""
    for task in LVU_TASKS:
        (folder / "lvu_1.0" / task).mkdir(parents=True)
        columns = {"like_ratio": "like_count dislike_count", "view_count": "view_count"}
        header = columns.get(task, "class_id class_name") + " youtube_id imdb_id\n"
        number = 0
        for split, count in (("train", 8), ("val", 4), ("test", 2)):
            text = header
            for _ in range(count):
                number += 1
                fields = {"like_ratio": f"{number * 30} 10", "view_count": f"{number * 100}"}
                values = fields.get(task, f"{number % 2} name{number % 2}")
                text += f"{values} -v_{number:02d} tt{number:07d}\n"
            (folder / "lvu_1.0" / task / f"{split}.csv").write_text(text)
    return folder


def test_nine_tasks_in_one_pass(tmp_path: Path) -> None:
    annotations = small_lvu(tmp_path / "annotations")
    names = [f"-v_{number:02d}.mp4" for number in range(1, 15)]
    features = write_dataset(
        tmp_path / "features", random_videos(names, lambda name: 58 + int(name[3:5]), 4), 4
    )
    job = head_job(
        features, tmp_path / "heads", protocols=("lvu/all",), n_layers=1,
        annotations=str(annotations), epochs=1, batch_size=32, d_model=4,
    )  # fmt: skip
    watch = CountWindows()
    results = train_heads(job, watch)
    assert [r.task for r in results] == list(LVU_TASKS)
    assert watch.totals == {"scan": 14, "train": 8, "val": 4, "test": 2}
    assert all(dict(r.videos) == {"train": 8, "val": 4, "test": 2} for r in results)
    heads = {head.task: head for head in load_heads(str(tmp_path / "heads"))}
    assert heads["scene"].classes == ("name0", "name1", *(f"class {n}" for n in range(2, 6)))
    assert (heads["like_ratio"].centre, heads["like_ratio"].scale) == (9.138220535629456, 1.0)
    assert (heads["year"].window_s, heads["year"].hop_s) == (60.0, 1.0)


def test_coin_and_its_held_out_videos(tmp_path: Path) -> None:
    database = {
        f"v{n:02d}": {
            "recipe_type": 10 + n % 2,
            "class": ("AssembleBed", "BoilNoodles")[n % 2],
            "subset": "testing" if n >= 20 else "training",
        }
        for n in range(24)
    }
    (tmp_path / "COIN.json").write_text(json.dumps({"database": database}))
    names = [f"v{n:02d}.mp4" for n in range(24)]
    features = write_dataset(tmp_path / "features", random_videos(names, lambda name: 5, 4), 4)
    watch = CountWindows()
    (result,) = train_heads(
        head_job(
            features, tmp_path / "head", protocols=("coin",), annotations=str(tmp_path),
            epochs=1, d_model=4, n_layers=1,
        ),
        watch,
    )  # fmt: skip
    assert result.videos == {"train": 18, "val": 2, "test": 4}
    assert result.classes == ("AssembleBed", "BoilNoodles")
    assert "2 training videos are held out" in watch.notes[0]


def test_coin_as_its_authors_show_it(tmp_path: Path) -> None:
    """The record in the README of coin-dataset/annotations, and one of each other subset."""
    shown = {
        "duration": 131.0309,
        "class": "ReplaceCDDriveWithSSD",
        "video_url": "https://www.youtube.com/embed/LtRSn-ntcLY",
        "start": 56.640895694775196,
        "annotation": [
            {"id": "212", "segment": [60.0, 69.0], "label": "take out the laptop CD drive"}
        ],
        "subset": "training",
        "end": 85.714362947023,
        "recipe_type": 131,
    }
    other = {"class": "ChangeCarTire", "recipe_type": 13, "annotation": []}
    database = {
        "LtRSn-ntcLY": shown,
        "-_aaaaaaaaa": {**other, "subset": "testing"},
        "0bbbbbbbbbb": {**other, "subset": "validation"},
    }
    (tmp_path / "COIN.json").write_text(json.dumps({"database": database}))
    (table,) = read_protocols(("coin",), str(tmp_path))
    assert table.classes == ("ChangeCarTire", "ReplaceCDDriveWithSSD")
    assert [(row.key, row.target, row.split) for row in table.rows] == [
        ("LtRSn-ntcLY", 1, "train"),
        ("-_aaaaaaaaa", 0, "test"),
        ("0bbbbbbbbbb", 0, "test"),
    ]
    shown["subset"] = "unknown"
    (tmp_path / "COIN.json").write_text(json.dumps({"database": database}))
    with pytest.raises(JobError, match=r"COIN\.json is not COIN's annotation file .*'unknown'"):
        read_protocols(("coin",), str(tmp_path))


def test_an_annotation_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = small_lvu(tmp_path)
    (folder / "lvu_1.0/scene/val.csv").write_text(
        "class_id class_name youtube_id imdb_id\n9 x y z\n"
    )
    with pytest.raises(JobError, match=r"scene/val\.csv, line 2: cannot be read: '9 x y z'"):
        read_protocols(("lvu/scene",), str(folder))
