"""Lists, jobs, weights, labels and datasets of others: read, or refused by name.

The long form is `python -m tests.fuzz --inputs 2000`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import inputs
from tests.fuzz.inputs import DOORS, enter
from tests.fuzz.strategies import (
    csv_lists,
    damaged,
    job_files,
    many,
    parquet_lists,
    retyped,
    reworded,
)
from vfeat.models import create_model

SEEDS = Path(__file__).parent / "seeds"
JOBS = Path(__file__).parents[2] / "jobs"
LIST = b'uri,size,etag,scene\n"a ,b.mp4",12,x,3\nc.mp4,7,"q""z",4.5\nd.mp4,,,\n'
LABELS = b"uri,scene,likes,tags,split\na.mp4,x,1.5,a;b,train\nb.mp4,y,2,c,val\n"


def is_offline(content: bytes) -> bool:
    """Return whether a list names no server that reading it would look for."""
    return b":" not in content


@many()
@given(content=st.one_of(csv_lists(), damaged(LIST)).filter(is_offline))
def test_a_csv_list(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    enter_file("videos_of_list", "list.csv", content, tmp_path_factory)


@many()
@given(data=st.data())
def test_a_parquet_list(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = data.draw(parquet_lists())
    content = data.draw(st.one_of(st.just(whole), damaged(whole)))
    enter_file("videos_of_list", "list.parquet", content, tmp_path_factory)


@many(2.0)
@given(data=st.data())
def test_a_job_file(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    ours = data.draw(st.sampled_from(sorted(JOBS.glob("*.yaml")))).read_bytes()
    drawn = job_files()
    content = data.draw(st.one_of(drawn, drawn.flatmap(damaged), damaged(ours), reworded(ours)))
    enter_file("job", "job.yaml", content, tmp_path_factory)


@many()
@given(content=st.one_of(damaged(LABELS), csv_lists()))
def test_labels_and_class_names(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    enter_file("labels", "labels.csv", content, tmp_path_factory)
    enter_file("class_names", "names.json", content, tmp_path_factory)


@pytest.fixture(scope="module", params=["zip", "pickle"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole checkpoint, as torch writes it and as it did before 1.6."""
    state = create_model("videomamba", weights="random", **inputs.SMALL).state_dict()
    path = tmp_path_factory.mktemp("whole") / "w.pth"
    is_zip = request.param == "zip"
    torch.save({"model": state, "epoch": 3}, path, _use_new_zipfile_serialization=is_zip)
    return path.read_bytes()


def test_a_checkpoint(checkpoint: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    @many()
    @given(content=damaged(checkpoint))
    def law(content: bytes) -> None:
        enter_file("model", "w.pth", content, tmp_path_factory)

    law()


@pytest.mark.parametrize(
    ("write", "files", "doors"),
    [
        (
            inputs.model_folder,
            ("config.json", "model.safetensors", "labels.json", "train.json"),
            ("settings", "model"),
        ),
        (inputs.head_folder, ("config.json", "model.safetensors", "head.json"), ("head",)),
    ],
)
def test_a_model_folder(
    write: Callable[[Path], Path],
    files: tuple[str, ...],
    doors: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    whole = write(tmp_path_factory.mktemp("whole") / "folder")

    @many()
    @given(name=st.sampled_from(files), data=st.data())
    def law(name: str, data: st.DataObject) -> None:
        content = (whole / name).read_bytes()
        new = data.draw(st.one_of(damaged(content), reworded(content)))
        for door in doors:
            enter_folder(door, whole, name, new, tmp_path_factory)

    law()


def test_a_features_dataset(tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = inputs.features_dataset(tmp_path_factory.mktemp("whole") / "dataset")
    files = sorted(str(p.relative_to(whole)) for p in whole.glob("features/*"))

    @many()
    @given(name=st.sampled_from([*files, "dataset.json"]), data=st.data())
    def law(name: str, data: st.DataObject) -> None:
        content = (whole / name).read_bytes()
        ways = [damaged(content), reworded(content)]
        if name.endswith(".parquet"):
            ways.append(retyped(content))
        enter_folder("features", whole, name, data.draw(st.one_of(ways)), tmp_path_factory)

    law()


def enter_file(door: str, name: str, content: bytes, factory: pytest.TempPathFactory) -> None:
    """Write a file and read it through a door."""
    path = factory.getbasetemp() / name
    path.write_bytes(content)
    enter(DOORS[door], path)


def enter_folder(
    door: str, whole: Path, name: str, content: bytes, factory: pytest.TempPathFactory
) -> None:
    """Copy a folder with another content of one file, and read it through a door."""
    folder = factory.getbasetemp() / "copied"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(content)
    enter(DOORS[door], folder)


FOUND = sorted(path for path in SEEDS.iterdir() if path.name.partition("-")[0] in DOORS)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_once(path: Path) -> None:
    """Files in whose reading something else than a VfeatError was raised; DOOR-NAME."""
    assert path.stat().st_size < 20_000
    assert enter(DOORS[path.name.partition("-")[0]], path) != "read"


def test_whole_files_are_read(checkpoint: bytes, tmp_path: Path) -> None:
    for door, name, content in (
        ("videos_of_list", "list.csv", b"uri\nc.mp4\n"),
        ("labels", "labels.csv", LABELS),
        ("class_names", "names.json", b'["a", "b"]'),
        ("job", "job.yaml", b"sources: [a]\nout: x\n"),
        ("model", "w.pth", checkpoint),
    ):
        (tmp_path / name).write_bytes(content)
        assert enter(DOORS[door], tmp_path / name) == "read", door
    model = inputs.model_folder(tmp_path / "model")
    assert enter(DOORS["model"], model) == enter(DOORS["settings"], model) == "read"
    assert enter(DOORS["head"], inputs.head_folder(tmp_path / "head")) == "read"
    assert enter(DOORS["features"], inputs.features_dataset(tmp_path / "dataset")) == "read"


def test_no_traceback_at_the_command_line(tmp_path: Path) -> None:
    """A damaged dataset, and a job whose values stand for a billion others."""
    dataset = inputs.features_dataset(tmp_path / "dataset")
    (dataset / "dataset.json").write_text('{"format": "vfeat-features", "recipe": [')
    bomb = tmp_path / "bomb.yaml"
    bomb.write_text(
        "out: x\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
        + "sources: *a9\n"
    )
    for command in (["status", str(dataset)], ["run", str(bomb)]):
        told = subprocess.run(
            [sys.executable, "-m", "vfeat", *command], capture_output=True, text=True, timeout=300
        )
        assert told.returncode in (2, 5), told
        assert "Traceback" not in told.stderr and Path(command[1]).name in told.stderr
        assert len(told.stderr) < 20_000
