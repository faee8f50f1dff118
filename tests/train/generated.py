"""Features datasets in the real format, from arrays instead of videos."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from vfeat.corpus import Video
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import ClipSpec, FrameSpec, ModelSpec, OutputSpec
from vfeat.media.task import Probe
from vfeat.media.timeline import Timeline
from vfeat.plan.unit import Unit
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.outcome import Outcome, RangeError
from vfeat.tables.plans import plan_table, publish_plan
from vfeat.tables.schema import RowShape

Values = Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]


def recipe_of(
    width: int,
    clip_s: float = 1.0,
    dtype: str = "float32",
    digest: str = "random:0",
    tokens: str = "none",
) -> Recipe:
    """A recipe whose features have that width."""
    return Recipe(
        ModelSpec("videomamba", "random", (("depth", 1), ("embed_dim", width))),
        digest,
        ClipSpec(4, clip_s, clip_s),
        FrameSpec(32),
        OutputSpec(tokens, dtype, 0),  # type: ignore[arg-type]
    )


def write_dataset(
    out: Path,
    videos: Values,
    width: int,
    recipe: Recipe | None = None,
    failed: Mapping[str, Sequence[int]] | None = None,
    videos_per_shard: int = 50,
) -> Path:
    """A finished dataset of one plan.

    Args:
        videos: file name and [clips, width] of each, or with frame tokens (of a recipe that
            keeps them) [clips, 4, width]; its uri is `/videos/<name>`.
        failed: clips of a video that are errors instead of rows.
    """
    recipe = recipe or recipe_of(width)
    root, shape = Root(str(out)), RowShape(width, 4, 4)
    content = {
        "format": "vfeat-features",
        "fingerprint": recipe.fingerprint,
        "untrained": True,
        "recipe": recipe.to_json(),
    }
    assert root.create_bytes(layout.DATASET, json.dumps(content).encode())
    named = list(videos.items() if isinstance(videos, Mapping) else videos)
    groups = [
        named[start : start + videos_per_shard] for start in range(0, len(named), videos_per_shard)
    ]
    units = [[_unit(name, len(values), recipe) for name, values in group] for group in groups]
    plan = publish_plan(root, 1, plan_table(units, {}))
    assert plan is not None
    (out / "features").mkdir(parents=True, exist_ok=True)
    stored = np.float16 if recipe.output.dtype == "bfloat16" else np.float32
    for number, (group, planned) in enumerate(zip(groups, units, strict=True)):
        shard = layout.shard_name(plan, number)
        rows, outcomes = [], []
        for (name, values), unit in zip(group, planned, strict=True):
            lost = set((failed or {}).get(name, ()))
            rows += [
                ClipRow(
                    unit.video_id,
                    unit.uri,
                    clip,
                    clip * recipe.clip.stride_s,
                    clip * recipe.clip.stride_s + recipe.clip.clip_s,
                    (values[clip] if values.ndim == 2 else values[clip].mean(0)).astype(stored),
                    tokens=None if values.ndim == 2 else values[clip].astype(stored),
                )
                for clip in range(len(values))
                if clip not in lost
            ]
            errors = tuple(RangeError(c, c, "crashed", "gone", 2) for c in sorted(lost))
            count = len(values) - len(lost)
            last = unit.last_clip
            outcomes.append(Outcome(unit.video_id, unit.uri, 0, last, count, errors=errors))
        table = features_table(rows, shape, recipe, shard)
        write_features(str(out / "features" / f"{shard}.parquet"), table, outcomes, recipe, shape)
    return out


def video_id(name: str) -> str:
    """Of the video of that name."""
    return Video(f"/videos/{name}", 1, "etag").video_id


def _unit(name: str, clips: int, recipe: Recipe) -> Unit:
    length = Fraction(repr(recipe.clip.stride_s)) * clips
    timeline = Timeline(1, 1000, 0, int(length * 1000), clips)
    probe = Probe("mp4", "h264", 32, 32, 0, timeline, clips, 0, 1.0, True)
    return Unit(video_id(name), f"/videos/{name}", 1, "etag", 0, clips - 1, 1.0, probe)


def random_videos(
    names: Iterable[str], clips: Callable[[str], int], width: int, seed: int = 0
) -> Iterable[tuple[str, np.ndarray]]:
    """Noise."""
    rng = np.random.default_rng(seed)
    for name in names:
        yield name, rng.standard_normal((clips(name), width), np.float32)
