"""Which names a model's classes get, and what is said of lists that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.labels import LABEL_SETS, label_set
from vfeat.models import VideoMamba, save_model
from vfeat.models.class_names import find_class_names, read_class_names

FIVE = ("walk", "run", "jump", "naïve 映像", "rest")


@pytest.fixture
def folder(small: VideoMamba, tmp_path: Path) -> Path:
    """A folder of ours with five classes, unnamed so far."""
    save_model(small, tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.mark.parametrize("name", LABEL_SETS)
def test_a_set_by_its_name(name: str) -> None:
    found = find_class_names(name, "w.pth", LABEL_SETS[name])
    assert found is not None and found.names == label_set(name)


@pytest.mark.parametrize("text", ["{}\n{}\n", "{}\r\n{}", "\ufeff{}\n{}\n\n\n", " {} \n{}\t\n"])
def test_a_list_of_lines(text: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(text.format(*FIVE[2:4]).encode())
    assert read_class_names(str(tmp_path / "names.txt")) == FIVE[2:4]


def test_json_beside_the_weights(folder: Path) -> None:
    assert find_class_names(None, str(folder), 5) is None
    (folder / "labels.json").write_text(json.dumps(FIVE))
    found = find_class_names(None, str(folder), 5)
    assert found is not None and found.names == FIVE == read_class_names(found.source)


def test_what_the_user_asks_for_comes_first(folder: Path, tmp_path: Path) -> None:
    (folder / "labels.json").write_text(json.dumps(FIVE))
    (tmp_path / "mine.txt").write_text("a\nb\nc\nd\ne\n")
    found = find_class_names(str(tmp_path / "mine.txt"), str(folder), 5)
    assert found is not None and found.names == tuple("abcde")


def test_lists_on_a_remote_store() -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/class_names/mine.txt", "\n".join(FIVE).encode())
    assert read_class_names("memory://class_names/mine.txt") == FIVE
    for name, content in (("config.json", "{}"), ("labels.json", json.dumps(FIVE))):
        memory.pipe(f"/class_names/encoder/{name}", content.encode())
    found = find_class_names(None, "memory://class_names/encoder", 5)
    assert found is not None and found.names == FIVE
    assert read_class_names(found.source) == FIVE


@pytest.mark.parametrize(("classes", "name"), [(400, "k400"), (174, "ssv2"), (1000, "imagenet")])
def test_published_checkpoints_are_known_by_their_size(classes: int, name: str) -> None:
    found = find_class_names(None, "w.pth", classes, published=classes)
    assert found is not None and found.source == name
    assert find_class_names(None, "w.pth", classes, published=None) is None
    # an untrained head took the place of the checkpoint's own: names would be lies
    assert find_class_names(None, "w.pth", classes, published=classes + 1) is None
    assert find_class_names(None, "w.pth", 13, published=13) is None


def test_another_number_of_names_says_both(folder: Path) -> None:
    with pytest.raises(JobError, match="k400 has 400 class names, and the model 174 outputs"):
        find_class_names("k400", "w.pth", 174)
    (folder / "labels.json").write_text(json.dumps(FIVE[:4]))
    with pytest.raises(JobError, match=r"labels\.json has 4 class names, and the model 5 outputs"):
        find_class_names(None, str(folder), 5)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "there is none in it"),
        (b"a\n\nb\n", r"number 1 \(from 0\) is empty"),
        (b'["a", "b"', "not JSON"),
        (b'{"a": 0}', "JSON of another form"),
        (b'["a", 3]', "JSON of another form"),
        (b"\xff\xfe\x00a", "not text in UTF-8"),
    ],
)
def test_a_list_that_cannot_be_understood(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(content)
    with pytest.raises(JobError, match=sentence):
        read_class_names(str(tmp_path / "names"))


def test_a_list_that_is_not_there_names_the_sets() -> None:
    with pytest.raises(EnvironmentMissing, match=r"k700: there is no such file.*k400, ssv2"):
        read_class_names("k700")
