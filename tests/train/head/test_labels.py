"""Labels, splits and what is refused: each a sentence that says what and how many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.train.head.generated import video_id, write_dataset
from tests.train.head.jobs import head_job
from vfeat.cli.app import app
from vfeat.errors import JobError
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.train.head.matching import Matched, match
from vfeat.train.head.run import train_heads
from vfeat.train.labels import read_labels
from vfeat.train.task import present_classes

WIDTH = 4


def refs(*uris: str) -> list[SequenceRef]:
    return [SequenceRef(video_id(uri), uri, 5, 5, 5.0, ()) for uri in uris]


def matched(
    folder: Path, text: str, videos: list[SequenceRef], allow: bool = False, kind: str = ""
) -> Matched:
    path = folder / "labels.csv"
    path.write_text(text)
    tables = read_labels(str(path), [("label", kind or "classification")])  # type: ignore[list-item]
    return match(tables, videos, 0, allow)


def many(count: int) -> list[SequenceRef]:
    return refs(*(f"s3://b/v{n:03d}.mp4" for n in range(count)))


def lines(count: int, column: str = "uri") -> str:
    return f"{column},label\n" + "".join(f"v{n:03d},{'xy'[n % 2]}\n" for n in range(count))


@pytest.mark.parametrize("key", ["s3://b/a/film.one.mp4", "film.one.mp4", "film.one"])
def test_a_video_is_found_by_uri_base_name_or_stem(key: str, tmp_path: Path) -> None:
    text = f"uri,label,split\n{key},x,train\nother,x,val\n"
    found = matched(tmp_path, text, refs("s3://b/a/film.one.mp4", "s3://b/c/other.mkv"))
    (task,) = found.tasks
    assert found.videos[task.train[0].video].uri == "s3://b/a/film.one.mp4"


def test_a_video_is_found_by_its_id(tmp_path: Path) -> None:
    videos = many(2)
    text = "video_id,label,split\n" + "".join(
        f"{v.video_id},x,{s}\n" for v, s in zip(videos, ("train", "val"), strict=True)
    )
    assert len(matched(tmp_path, text, videos).tasks[0].train) == 1


def test_drawn_splits_are_eight_to_one_to_one_in_each_class(tmp_path: Path) -> None:
    (task,) = matched(tmp_path, lines(200), many(200)).tasks
    assert [len(task.train), len(task.val), len(task.test)] == [160, 20, 20]
    for split in (task.train, task.val, task.test):
        assert sum(e.target == 0 for e in split) == len(split) // 2
    every = [e.video for e in (*task.train, *task.val, *task.test)]
    assert sorted(every) == list(range(200))


def test_a_draw_does_not_depend_on_the_other_videos(tmp_path: Path) -> None:
    few = matched(tmp_path, lines(20), many(20))
    more = matched(tmp_path, lines(20), many(40), allow=True)
    for split in ("train", "val", "test"):
        assert [few.videos[e.video] for e in few.tasks[0].split(split)] == [
            more.videos[e.video] for e in more.tasks[0].split(split)
        ]


def test_regression_is_scaled_by_the_training_split_only(tmp_path: Path) -> None:
    text = "uri,label,split\nv000,1,train\nv001,3,train\nv002,100,val\n"
    (task,) = matched(tmp_path, text, many(3), kind="regression").tasks
    assert (task.centre, task.scale) == (2.0, 1.0)


def test_several_labels_of_a_video(tmp_path: Path) -> None:
    text = "uri,label,split\nv000,b;a,train\nv001,a;b,val\nv002,b;a; a ,test\n"
    (task,) = matched(tmp_path, text, many(3), kind="multilabel").tasks
    assert task.classes == ("a", "b")
    assert [present_classes(e.target) for e in task.train + task.test] == [(0, 1)] * 2


SENTENCES = [
    (lines(12), 10, "2 of 12 labelled videos are not in the features: v010, v011", True),
    (lines(10), 13, "3 of 13 videos of the features have no label: s3://b/v010.mp4", True),
    (
        "uri,label,split\nv000,x,train\nv001,y,train\nv002,x,val\n",
        3,
        "1 of 2 classes have no video in the val split: y",
        True,
    ),
    ("uri,label\nv000,x\nv001,y\n", 2, "no video in the val split", False),
    ("uri,label\nv000,x\nv000.mp4,y\n", 1, "labels 1 videos twice: v000.mp4", False),
    ("name,label\nv000,x\n", 1, "no column uri or video_id; it has: name, label", False),
    ("uri,genre\nv000,x\n", 1, "no column 'label'; it has: uri, genre", False),
    ("uri,label,split\nv000,x,dev\n", 1, "line 2: split is one of train, val, test", False),
    ("uri,label,split\nv000,x,train\nv001,x,\n", 2, "1 of 2 labelled videos have no split", False),
    ("uri,label\nw,x\n", 1, "1 of 1 labelled videos are not in the features: w", False),
]


@pytest.mark.parametrize(("text", "count", "sentence", "allowed"), SENTENCES)
def test_bad_labels_are_a_sentence(
    text: str, count: int, sentence: str, allowed: bool, tmp_path: Path
) -> None:
    with pytest.raises(JobError) as refused:
        matched(tmp_path, text, many(count))
    assert sentence in str(refused.value)
    if allowed:
        assert "--allow-missing" in str(refused.value)
        notes = matched(tmp_path, text, many(count), allow=True).notes
        assert any(sentence in note for note in notes)
    else:
        with pytest.raises(JobError):
            matched(tmp_path, text, many(count), allow=True)


def test_a_name_of_two_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"'a' may be 2 videos, such as /x/a\.mp4 and /y/a\.mp4"):
        matched(tmp_path, "uri,label\na,x\n", refs("/x/a.mp4", "/y/a.mp4"))


def test_a_label_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"line 3: a regression label is a number, not 'much'"):
        matched(tmp_path, "uri,label\nv000,1\nv001,much\n", many(2), kind="regression")


def test_nan_is_counted_and_may_be_taken_as_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = {f"v{n:03d}.mp4": rng.standard_normal((6, WIDTH), np.float32) for n in range(20)}
    videos["v003.mp4"][2, 1] = np.nan
    videos["v004.mp4"][[0, 5]] = np.inf
    write_dataset(tmp_path / "features", videos, WIDTH)
    (tmp_path / "labels.csv").write_text(lines(20))
    job = head_job(
        tmp_path / "features", tmp_path / "head", labels=str(tmp_path / "labels.csv"),
        tasks={"label": "classification"}, epochs=1, d_model=8, n_layers=1,
    )  # fmt: skip
    with pytest.raises(JobError, match="2 of 20 videos hold NaN or infinite values, in 3 clips"):
        train_heads(job)
    (result,) = train_heads(job.model_copy(update={"allow_missing": True}))
    assert np.isfinite(result.metrics["val"].loss) and np.isfinite(result.baseline["val"].loss)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--labels", "L"], "--labels needs --task"),
        (["--task", "classification"], "--labels"),
        (["--labels", "L", "--task", "guess"], "--task guess: expected one of classification"),
        (["--protocol", "lvu/scene"], "--protocol needs --annotations"),
        (["--protocol", "lvu/x", "--annotations", "."], "--protocol lvu/x: there are lvu/all"),
        (["--labels", "/no/such.csv", "--task", "regression"], "/no/such.csv: there is no such"),
        (
            ["--labels", "L", "--task", "regression", "--lr", "0"],
            "lr: Input should be greater than 0 (given: 0.0)",
        ),
    ],
)
def test_bad_flags_are_a_sentence(flags: list[str], sentence: str, tmp_path: Path) -> None:
    command = ["train", "head", str(tmp_path), "--out", str(tmp_path / "head"), *flags]
    refused = CliRunner().invoke(app, command).exception
    assert isinstance(refused, JobError) and refused.exit_code == 2
    assert sentence in str(refused)


def test_stretches_of_one_label_stand_for_their_video(tmp_path: Path) -> None:
    """A line of the whole video decides; stretches that disagree are no label of it."""
    text = "uri,start_s,end_s,label\n" + "".join(
        f"v{n:03d},{start},{start + 1},{'xy'[n % 2]}\n" for n in range(20) for start in (0, 1)
    )
    assert len(matched(tmp_path, text, many(20)).videos) == 20
    mixed = text + "v000,5,6,y\n"
    with pytest.raises(JobError, match="1 videos have stretches of different labels"):
        matched(tmp_path, mixed, many(20))
    left = matched(tmp_path, mixed, many(20), allow=True)
    assert len(left.videos) == 19 and any("different labels" in note for note in left.notes)
    whole = matched(tmp_path, mixed + "v000,,,y\n", many(20))
    [task] = whole.tasks
    every = [e for split in (task.train, task.val, task.test) for e in split]
    found = {whole.videos[e.video].uri: task.classes[int(str(e.target))] for e in every}
    assert found["s3://b/v000.mp4"] == "y"
