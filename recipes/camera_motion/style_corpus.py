"""Feature sequences of invented videos, for the head in the package.

The bank holds features of generated clips, one a video, whose list has a column `label`. A video
of the corpus is a sequence of a style (`synthetic/styles.py`); each of its clips takes the
embedding of a random clip of the bank with the same label, mistakes of the encoder included. A
video uses half of the bank by its split, so that no clip is both learnt from and tested on.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from recipes.camera_motion.synthetic.labels import LABELS, Motion
from recipes.camera_motion.synthetic.styles import STYLES, Style, random_length, style_sequence
from vfeat.corpus import Video
from vfeat.errors import JobError
from vfeat.outcome import Outcome
from vfeat.plan.unit import Unit
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.dataset import FeatureDataset
from vfeat.tables.dataset import open as open_dataset
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.plans import plan_table, publish_plan
from vfeat.tables.schema import RowShape
from vfeat.tables.snapshot import video_tables
from vfeat.video_facts import Probe, Timeline

VIDEOS_PER_SHARD = 60
LABELS_FILE = "labels.csv"
SPLITS = ("train", "train", "train", "train", "train", "train", "val", "test")
"""Splits of successive videos of a style."""


class Bank:
    """Embeddings of generated clips by label.

    Attributes:
        dataset: features of the clips; the sequences get its recipe.
        width: D of an embedding.
    """

    def __init__(self, uri: str) -> None:
        self.dataset: FeatureDataset = open_dataset(uri)
        shown = _labels_of(self.dataset)
        rows = self.dataset.to_arrow(["video_id", "embedding"])
        values = np.stack(rows["embedding"].to_numpy(zero_copy_only=False))
        kinds = np.array([shown.get(v, "") for v in rows["video_id"].to_pylist()])
        self.width = values.shape[1]
        # Every second clip of a kind is for training.
        self._halves = {
            (label, half): values[kinds == label][half::2] for label in LABELS for half in (0, 1)
        }
        missing = [label for label in LABELS if (kinds == label).sum() < 4]
        if missing:
            raise JobError(
                f"{uri}: fewer than four clips show {', '.join(missing)}; extract a list of "
                "generated clips with a column `label`"
            )

    def draw(self, rng: np.random.Generator, sequence: Sequence[Motion], split: str) -> np.ndarray:
        """Draw an embedding for each clip, [clips, D]."""
        half = 0 if split == "train" else 1
        pools = [self._halves[label, half] for label in sequence]
        return np.stack([pool[rng.integers(len(pool))] for pool in pools])


def write_style_corpus(bank: Bank, out: str, videos: int, seed: int) -> None:
    """Write a features dataset of `videos` sequences, and `labels.csv` beside it.

    Raises:
        JobError: `out` holds a dataset already.
    """
    root, source = Root(out), bank.dataset.root
    if not root.create_bytes(layout.DATASET, source.read_bytes(layout.DATASET)):
        raise JobError(f"{out} holds a dataset already; name another folder")
    invented = [_InventedVideo(number, seed) for number in range(videos)]
    shards = [invented[at : at + VIDEOS_PER_SHARD] for at in range(0, videos, VIDEOS_PER_SHARD)]
    recipe = bank.dataset.recipe
    stride_s = Fraction(repr(recipe.clip.stride_s))
    units = [[one.unit(stride_s) for one in shard] for shard in shards]
    plan = publish_plan(root, 1, plan_table(units, {}))
    assert plan is not None  # the dataset was created above
    shape = RowShape(bank.width, 1, 1)
    for place, shard in enumerate(shards):
        name = layout.shard_name(plan, place)
        rows = [row for one in shard for row in one.rows(bank)]
        outcomes = [Outcome(u.video_id, u.uri, 0, u.clips - 1, u.clips) for u in units[place]]
        table = features_table(rows, shape, recipe, name)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/{name}.parquet"
            write_features(path, table, outcomes, recipe, shape)
            root.create_file(f"features/{name}.parquet", path)
    root.create_bytes(LABELS_FILE, _labels_csv(invented))


class _InventedVideo:
    """Invented video: a style, a split and the label of each clip."""

    def __init__(self, number: int, seed: int) -> None:
        self.rng = np.random.default_rng((seed, number))
        self.style: Style = STYLES[number % len(STYLES)]
        self.split = SPLITS[number // len(STYLES) % len(SPLITS)]
        self.sequence = style_sequence(self.rng, self.style, random_length(self.rng, self.style))
        self.video = Video(f"style:{seed}/{number:05d}_{self.style}", 1, "generated")

    def unit(self, stride_s: Fraction) -> Unit:
        clips = len(self.sequence)
        timeline = Timeline(1, 1000, 0, int(stride_s * clips * 1000), clips)
        probe = Probe("generated", "none", 1, 1, 0, timeline, clips, 0, 0.0, True)
        video = self.video
        return Unit(video.video_id, video.uri, 1, video.etag, 0, clips - 1, 0.0, probe)

    def rows(self, bank: Bank) -> list[ClipRow]:
        clip = bank.dataset.recipe.clip
        values = bank.draw(self.rng, self.sequence, self.split)
        starts_s = [float(Fraction(repr(clip.stride_s)) * k) for k in range(len(values))]
        return [
            ClipRow(self.video.video_id, self.video.uri, k, s, s + clip.clip_s, value)
            for k, (s, value) in enumerate(zip(starts_s, values, strict=True))
        ]


def _labels_of(dataset: FeatureDataset) -> dict[str, str]:
    """Read the clip list's column `label`, by video."""
    shown: dict[str, str] = {}
    for videos in video_tables(dataset.root):
        if "label" not in videos.column_names:
            raise JobError(f"{dataset.root.uri}: its list of clips had no column `label`")
        names, labels = videos["video_id"].to_pylist(), videos["label"].to_pylist()
        shown.update(zip(names, labels, strict=True))
    return shown


def _labels_csv(invented: Sequence[_InventedVideo]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["video_id", "style", "split"])
    rows.writerows([one.video.video_id, one.style, one.split] for one in invented)
    return text.getvalue().encode()
