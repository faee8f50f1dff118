"""Sequences of videos that were never filmed: a features dataset like any other."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import vfeat
from recipes.camera_motion.style_corpus import Bank, write_style_corpus
from recipes.camera_motion.synthetic.labels import LABELS
from recipes.camera_motion.synthetic.styles import STYLES
from tests.train.head.generated import write_dataset
from vfeat.errors import JobError

WIDTH, EACH = 16, 6


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """One-clip videos; the first number of an embedding is its label, the second its clip."""
    rng = np.random.default_rng(0)
    videos, extras = {}, {}
    for kind, label in enumerate(LABELS):
        for number in range(EACH):
            name = f"{label}{number}.mp4"
            values = rng.standard_normal((1, WIDTH))
            values[0, :2] = kind, number
            videos[name], extras[name] = values, {"label": label}
    return Bank(str(write_dataset(tmp_path / "bank", videos, WIDTH, extras=extras)))


def test_clips_show_what_the_style_says_and_splits_share_none(bank: Bank, tmp_path: Path) -> None:
    out = str(tmp_path / "styles")
    write_style_corpus(bank, out, videos=96, seed=3)
    with open(f"{out}/labels.csv", newline="") as file:
        told = {row["video_id"]: row for row in csv.DictReader(file)}
    assert Counter(row["style"] for row in told.values()) == dict.fromkeys(STYLES, 16)
    used: dict[str, set[tuple[float, ...]]] = {"train": set(), "val": set(), "test": set()}
    dataset = vfeat.open(out)
    assert dataset.recipe.fingerprint == bank.dataset.recipe.fingerprint
    for video in dataset.sequences():
        row = told.pop(video.video_id)
        kinds = Counter(LABELS[int(kind)] for kind in video.embeddings[:, 0])
        used[row["split"]] |= {tuple(clip.tolist()) for clip in video.embeddings[:, :2]}
        assert list(video.clip_index) == list(range(len(video.embeddings)))
        if row["style"] == "locked_off":
            assert kinds["static"] > len(video.embeddings) / 2
    assert not told
    assert not used["train"] & (used["val"] | used["test"])


def test_the_same_seed_tells_the_same_videos(bank: Bank, tmp_path: Path) -> None:
    tables = []
    for folder in ("one", "two"):
        write_style_corpus(bank, str(tmp_path / folder), videos=12, seed=5)
        tables.append(vfeat.open(str(tmp_path / folder)).to_arrow())
    assert tables[0].equals(tables[1])
    with pytest.raises(JobError, match="another folder"):
        write_style_corpus(bank, str(tmp_path / "one"), videos=12, seed=5)


def test_a_bank_without_labels_is_refused(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "bank", {"a.mp4": np.ones((1, WIDTH))}, WIDTH)
    with pytest.raises(JobError, match="no column `label`"):
        Bank(str(out))
