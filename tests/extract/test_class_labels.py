"""The column `labels`: whose names, and that they stand beside the right scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import vfeat
from tests.engine.jobs import tiny_job, verified
from vfeat.engine.watch import Watch
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.extract.encoder import Encoder
from vfeat.extract.run import ExtractRun, run_job
from vfeat.labels import label_set
from vfeat.models import create_model, save_model

VIDEO = "one_frame.mp4"
CONFIG = {"img_size": 32, "depth": 1, "embed_dim": 16, "num_frames": 4}


class Heard(Watch):
    """Keeps the sentences."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def checkpoint(path: Path, classes: int) -> Path:
    """A file as others publish it, whose head has large weights so that scores differ."""
    torch.manual_seed(classes)
    model = create_model("videomamba", num_classes=classes, **CONFIG)
    torch.nn.init.normal_(model.head.weight)
    torch.save({"model": model.state_dict()}, path)
    return path


def labels(out: Path) -> list[tuple[str, float]]:
    """Of the only row."""
    (row,) = vfeat.open(str(out)).to_arrow().to_pylist()
    return [(label["label"], label["score"]) for label in row["labels"]]


@pytest.mark.parametrize(("classes", "name"), [(400, "k400"), (174, "ssv2"), (1000, "imagenet")])
def test_published_weights_give_the_names_of_their_dataset(
    classes: int, name: str, own_clips: Path, tmp_path: Path
) -> None:
    weights, watch = str(checkpoint(tmp_path / "w.pth", classes)), Heard()
    job = tiny_job(tmp_path / "named", own_clips / VIDEO, weights=weights, top_k=3)
    run = ExtractRun(job, watch)
    run.run()
    verified(tmp_path / "named")
    # the same weights with the numbers of their classes for names
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("".join(f"{index}\n" for index in range(classes)))
    plain = {"weights": weights, "label_names": str(numbers), "top_k": 3}
    run_job(tiny_job(tmp_path / "plain", own_clips / VIDEO, **plain))
    expected = [(label_set(name)[int(n)], score) for n, score in labels(tmp_path / "plain")]
    assert labels(tmp_path / "named") == expected
    assert [note for note in watch.notes if f"taken for those of {name};" in note]
    recipe = json.loads((tmp_path / "named/dataset.json").read_text())["recipe"]
    assert recipe["labels"]["source"] == name
    assert recipe["labels"]["digest"].startswith(f"{classes} names, ")


def test_a_trained_encoder_brings_its_own_names(own_clips: Path, tmp_path: Path) -> None:
    names = ["pan", "tilt", "zoom"]
    model = create_model("videomamba", weights="random", num_classes=3, **CONFIG)
    save_model(model, tmp_path / "encoder")
    own = {"weights": str(tmp_path / "encoder"), "model_options": {}}
    run_job(tiny_job(tmp_path / "before", own_clips / VIDEO, **own))
    assert {label for label, _ in labels(tmp_path / "before")} == {"0", "1", "2"}
    (tmp_path / "encoder/labels.json").write_text(json.dumps(names))
    run_job(tiny_job(tmp_path / "after", own_clips / VIDEO, **own))
    assert labels(tmp_path / "after") == [
        (names[int(number)], score) for number, score in labels(tmp_path / "before")
    ]
    with pytest.raises(JobError, match=r"labels\.digest: the dataset has None, this job '3 names"):
        run_job(tiny_job(tmp_path / "before", own_clips / VIDEO, **own))


def test_untrained_classes_and_labels_nobody_keeps_have_no_names(
    own_clips: Path, tmp_path: Path
) -> None:
    run_job(tiny_job(tmp_path / "random", own_clips / VIDEO))  # 400 classes, none trained
    assert all(label.isdigit() for label, _ in labels(tmp_path / "random"))
    weights = str(checkpoint(tmp_path / "w.pth", 174))
    with pytest.warns(UserWarning, match="The head is untrained"):
        options = {"embed_dim": 16, "depth": 1, "num_classes": 400}
        encoder_job = {"weights": weights, "model_options": options}
        run_job(tiny_job(tmp_path / "dropped", own_clips / VIDEO, **encoder_job))
    assert all(label.isdigit() for label, _ in labels(tmp_path / "dropped"))
    recipe = ExtractRun(tiny_job(tmp_path, own_clips / VIDEO, weights=weights, top_k=0), Watch())
    assert recipe.recipe.labels is None


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"label_names": "k400"}, JobError, "k400 has 400 class names, and the model 174 outputs"),
        ({"label_names": "k700"}, EnvironmentMissing, "k700: there is no such file"),
        ({"label_names": "ssv2", "model": "vit:folder", "model_options": {}, "weights": None},
         JobError, "leave out --labels"),
    ],
)  # fmt: skip
def test_names_that_do_not_fit_are_one_sentence(
    fields: dict[str, Any], error: type[Exception], sentence: str, own_clips: Path, tmp_path: Path
) -> None:
    weights = str(checkpoint(tmp_path / "w.pth", 174))
    with pytest.raises(error, match=sentence):
        run_job(tiny_job(tmp_path / "out", own_clips / VIDEO, **{"weights": weights, **fields}))
    assert not (tmp_path / "out").exists()


def test_a_worker_needs_only_the_recipe(own_clips: Path, tmp_path: Path) -> None:
    """On another node, from what dataset.json says."""
    weights = str(checkpoint(tmp_path / "w.pth", 174))
    run_job(tiny_job(tmp_path / "out", own_clips / VIDEO, weights=weights))
    encoder = Encoder(vfeat.open(str(tmp_path / "out")).recipe, "cpu")
    assert encoder.network.label_names == label_set("ssv2")
