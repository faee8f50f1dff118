"""Datasets of generated embeddings: videos whose clips wander, as those of real videos do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads

from tests.train.head.generated import recipe_of
from vfeat.storage.root import Root
from vfeat.storage.temporary import temporary_file
from vfeat.tables import layout
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.schema import RowShape

WIDTH = 24
CLIPS = 100  # of each video


def make(folder: Path | str, dtype: str = "bfloat16", width: int = WIDTH) -> Root:
    """Begin a dataset without rows."""
    recipe = recipe_of(width)
    recipe = replace(recipe, output=replace(recipe.output, dtype=dtype))
    root = Root(str(folder))
    about = {
        "format": "vfeat-features", "fingerprint": recipe.fingerprint, "recipe": recipe.to_json(),
        "untrained": True,
    }  # fmt: skip
    assert root.create_bytes(layout.DATASET, json.dumps(about).encode())
    return root


def vectors(videos: int, seed: int, width: int = WIDTH) -> np.ndarray:
    """Embeddings of some videos, [videos * CLIPS, width]."""
    draw = np.random.default_rng(seed)
    starts = draw.normal(size=(videos, 1, width))
    steps = draw.normal(scale=0.1, size=(videos, CLIPS, width))
    return (starts + np.cumsum(steps, axis=1)).reshape(-1, width)


def add_file(root: Root, number: int, rows_ND: np.ndarray, again: bool = False) -> str:
    """Commit a file of such rows; return its key."""
    from vfeat.tables.about import read_recipe

    recipe = read_recipe(root)
    kind = np.float16 if recipe.output.dtype == "bfloat16" else np.float32
    clips = [
        ClipRow(
            f"{number:016x}{n // CLIPS:016x}", f"/made/{number}-{n // CLIPS}.mp4", n % CLIPS,
            float(n % CLIPS), n % CLIPS + 1.0, row.astype(kind),
        )
        for n, row in enumerate(rows_ND)
    ]  # fmt: skip
    shape = RowShape(rows_ND.shape[1], 1, 0)
    shard = layout.shard_name(layout.plan_name(1), number)
    key = f"{layout.FEATURES}/{shard}.parquet"
    with temporary_file("shard", ".parquet") as path:
        write_features(path, features_table(clips, shape, recipe, shard), [], recipe, shape)
        if again:
            root.replace_file(key, path)
        else:
            assert root.create_file(key, path)
    return key


def brute_force(folder: Path, query: np.ndarray, k: int) -> list[tuple[str, int, float]]:
    """The nearest rows by their cosine in float64, read without vfeat."""
    rows = pads.dataset(folder / "features", format="parquet").to_table().to_pylist()
    stored = np.array([row["embedding"] for row in rows], np.float64)
    scores = stored @ query / np.linalg.norm(stored, axis=1) / np.linalg.norm(query)
    order = np.argsort(-scores, kind="stable")[:k]
    return [(rows[i]["uri"], rows[i]["clip_index"], float(scores[i])) for i in order]
