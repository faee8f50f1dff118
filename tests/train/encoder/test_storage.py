"""From S3 to S3: the list, the videos, the starting weights and the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.train.encoder.jobs import tiny_job
from tests.train.encoder.moving import write_moving
from vfeat.models import create_model
from vfeat.storage import Root
from vfeat.train.encoder.run import train_encoder


def test_a_training_on_s3_is_the_local_one(bucket: str, tmp_path: Path) -> None:
    clips = write_moving(tmp_path / "videos", {"train": 3, "val": 1})
    root = Root(f"{bucket}/in")
    for path in clips.parent.iterdir():
        root.create_file(path.name, path)
    fields: dict[str, Any] = {"epochs": 2, "batch_size": 5, "seed": 2}
    local = train_encoder(tiny_job(clips, tmp_path / "out", **fields))
    out = f"{bucket}/encoder"
    source = f"{bucket}/in/clips.csv"
    remote = train_encoder(tiny_job(source, out, **fields))
    for one, other in zip(local["history"], remote["history"], strict=True):
        assert one["losses"] == other["losses"] and one["val"] == other["val"]
    names = set(Root(out).list(""))
    assert {"config.json", "model.safetensors", "labels.json", "train.json", "metrics.json"} < names
    assert "checkpoint.pt" not in names
    assert create_model("videomamba", weights=out).config.num_classes == 4
    again = train_encoder(tiny_job(source, f"{out}-2", **fields, weights=out))
    assert again["history"][0]["losses"]["loss"] < local["history"][0]["losses"]["loss"]
