"""What a user gets wrong with `train head` and `classify`: the command, its code, its sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.classify.classifying import make_head
from tests.train.head.generated import recipe_of, write_dataset
from vfeat.cli import main

WIDTH, VIDEOS = 4, 20
Vfeat = Callable[..., tuple[int, str]]


@pytest.fixture
def vfeat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vfeat:
    """Runs a command in this process: its exit code and what it said on stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["vfeat", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Twenty videos; one holds a NaN, another infinities in two of its clips."""
    rng = np.random.default_rng(0)
    videos = {f"v{n:02d}.mp4": rng.standard_normal((6, WIDTH), np.float32) for n in range(VIDEOS)}
    videos["v03.mp4"][2, 1] = np.nan
    videos["v04.mp4"][[0, 5]] = np.inf
    return write_dataset(tmp_path / "features", videos, WIDTH)


def labels(folder: Path, lines: list[str], header: str = "uri,label") -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def every(count: int = VIDEOS) -> list[str]:
    return [f"v{n:02d},{'xy'[n % 2]}" for n in range(count)]


def with_splits(lines: list[str]) -> list[str]:
    """No video of class y is tested."""
    splits = {0: "test", 1: "val", 2: "val"}
    return [f"{line},{splits.get(n, 'train')}" for n, line in enumerate(lines)]


def train(features: Path, path: Path) -> list[object]:
    return [
        *("train", "head", features, "--labels", path, "--task", "classification"),
        *("--out", features.parent / "head", "--epochs", 1, "--d-model", 8, "--n-layers", 1),
        *("--device", "cpu"),
    ]


CASES = {
    "unknown videos": (
        [*every(), "w1,x", "w2,y"],
        "uri,label",
        "2 of 22 labelled videos are not in the features: w1, w2",
    ),
    "no label": (every(17), "uri,label", "3 of 20 videos of the features have no label"),
    "a class that a split lacks": (
        with_splits(every()),
        "uri,label,split",
        "1 of 2 classes have no video in the test split: y",
    ),
    "not finite": (
        every(),
        "uri,label",
        "the features of 2 of 20 videos hold NaN or infinite values, in 3 clips: "
        "/videos/v03.mp4, /videos/v04.mp4",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_training_says_what_and_how_many_and_goes_on_when_told(
    case: str, features: Path, tmp_path: Path, vfeat: Vfeat
) -> None:
    lines, header, sentence = CASES[case]
    command = train(features, labels(tmp_path, lines, header))
    code, said = vfeat(*command)
    assert code == 2 and sentence in said and "--allow-missing" in said
    assert not (tmp_path / "head").exists()
    code, said = vfeat(*command, "--allow-missing")
    assert code == 0, said
    assert sentence in " ".join(said.split())  # told all the same
    assert json.loads((tmp_path / "head" / "head.json").read_text())["classes"] == ["x", "y"]


def test_labels_of_nothing_that_is_there_cannot_be_allowed(
    features: Path, tmp_path: Path, vfeat: Vfeat
) -> None:
    path = labels(tmp_path, ["w1,x", "w2,y"])
    code, said = vfeat(*train(features, path), "--allow-missing")
    assert code == 2 and "none of its 2 videos is in the features" in said


@pytest.mark.parametrize("broken", ["", "\x00\x01", "uri;label\nv00;x\n"])
def test_a_labels_file_that_is_none(
    broken: str, features: Path, tmp_path: Path, vfeat: Vfeat
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(broken)
    code, said = vfeat(*train(features, path))
    assert code == 2 and "no column uri or video_id" in said and str(path) in said


def test_training_on_a_damaged_file_names_it(features: Path, tmp_path: Path, vfeat: Vfeat) -> None:
    file = features / "features" / "p00001-00000.parquet"
    content = bytearray(file.read_bytes())
    for place in np.random.default_rng(1).integers(50, len(content) // 3, 40):
        content[place] ^= 0xFF
    file.write_bytes(content)
    code, said = vfeat(*train(features, labels(tmp_path, every())))
    assert code == 5 and file.name in said and "delete the file" in said


def classify(features: Path, head: Path) -> list[object]:
    out = features.parent / "out"
    return ["classify", features, "--head", head, "--out", out, "--executor", "inline"]


def test_features_that_a_head_was_not_made_for(
    features: Path, tmp_path: Path, vfeat: Vfeat
) -> None:
    head = make_head(tmp_path / "a head", features)
    video = {"a.mp4": np.ones((3, WIDTH), np.float32)}
    other = write_dataset(tmp_path / "other", video, WIDTH, recipe_of(WIDTH, clip_s=2.0))
    code, said = vfeat(*classify(other, head))
    assert code == 2 and "clip.clip_s: the dataset has 2.0, this job 1.0" in said
    wider = {"a.mp4": np.ones((3, 16), np.float32)}
    wide = write_dataset(tmp_path / "wide", wider, 16, recipe_of(WIDTH))
    code, said = vfeat(*classify(wide, head))
    assert code == 2 and f"features of width {WIDTH}" in said and "have width 16" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--hop-seconds", "1"], "hop_seconds needs window_seconds"),
        (["--window-seconds", "0"], "window_seconds"),
        (["--top-k", "0"], "top_k"),
        (["--retry-errors", "storag"], "retry_errors"),
        (["--device", "tpu"], "device"),
    ],
)
def test_flags_of_classify_that_cannot_be(
    flags: list[str], sentence: str, features: Path, tmp_path: Path, vfeat: Vfeat
) -> None:
    code, said = vfeat(*classify(features, make_head(tmp_path / "a head", features)), *flags)
    assert code == 2 and sentence in said and "Traceback" not in said


HEADS = [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "kind": "multilabel"}', b"\xff"]


@pytest.mark.parametrize("content", HEADS)
def test_a_head_file_that_is_none(
    content: bytes, features: Path, tmp_path: Path, vfeat: Vfeat
) -> None:
    head = make_head(tmp_path / "a head", features)
    (head / "head.json").write_bytes(content)
    code, said = vfeat(*classify(features, head))
    assert code == 2 and str(head) in said and "Traceback" not in said
    (head / "head.json").unlink()
    code, said = vfeat(*classify(features, head))
    assert code == 2 and "is not a head" in said


def test_a_head_whose_weights_are_damaged(features: Path, tmp_path: Path, vfeat: Vfeat) -> None:
    head = make_head(tmp_path / "a head", features)
    weights = head / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    code, said = vfeat(*classify(features, head))
    assert code == 2 and str(head) in said and "damaged" in said and "Traceback" not in said
    weights.unlink()
    code, said = vfeat(*classify(features, head))
    assert code in (2, 4) and str(head) in said and "Traceback" not in said


def test_all_videos_broken_stops_the_run(tmp_path: Path, vfeat: Vfeat) -> None:
    """The breaker: not a table of a million error rows, but a sentence."""
    values = {f"v{n}.mp4": np.full((3, WIDTH), np.nan, np.float32) for n in range(30)}
    features = write_dataset(tmp_path / "features", values, WIDTH)
    head = make_head(tmp_path / "a head", features)
    code, said = vfeat(*classify(features, head))
    assert code == 3 and "the first 25 units all failed" in said and "NaN" in said
