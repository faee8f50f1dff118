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
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.unit import Unit
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.plans import plan_table, publish_plan
from vfeat.tables.schema import RowShape
from vfeat.video_facts import Probe, Timeline

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
    extras: Mapping[str, dict[str, str]] | None = None,
) -> Path:
    """A finished dataset of one plan.

    Args:
        videos: file name and [clips, width] of each, or with frame tokens (of a recipe that
            keeps them) [clips, 4, width]; its uri is `/videos/<name>`.
        failed: clips of a video that are errors instead of rows.
        extras: further columns of the list, by file name.
    """
    recipe = recipe or recipe_of(width)
    content = {
        "format": "vfeat-features",
        "fingerprint": recipe.fingerprint,
        "untrained": True,
        "recipe": recipe.to_json(),
    }
    assert Root(str(out)).create_bytes(layout.DATASET, json.dumps(content).encode())
    write_plan(out, 1, videos, recipe, failed, videos_per_shard, extras=extras)
    return out


def write_plan(
    out: Path,
    number: int,
    videos: Values,
    recipe: Recipe,
    failed: Mapping[str, Sequence[int]] | None = None,
    videos_per_shard: int = 50,
    only: tuple[int, int] | None = None,
    extras: Mapping[str, dict[str, str]] | None = None,
) -> None:
    """A further plan of a dataset, worked empty: a night's new videos, or a retry.

    Args:
        only: first and last clip of a retry; all of each video otherwise.
    """
    root = Root(str(out))
    named = list(videos.items() if isinstance(videos, Mapping) else videos)
    groups = [
        named[start : start + videos_per_shard] for start in range(0, len(named), videos_per_shard)
    ]
    units = [[_unit(name, len(values), recipe, only) for name, values in group] for group in groups]
    columns = {video_id(name): fields for name, fields in (extras or {}).items()}
    plan = publish_plan(root, number, plan_table(units, columns))
    assert plan is not None
    (out / "features").mkdir(parents=True, exist_ok=True)
    for place, (group, planned) in enumerate(zip(groups, units, strict=True)):
        shard = layout.shard_name(plan, place)
        rows, outcomes = [], []
        for (name, values), unit in zip(group, planned, strict=True):
            lost = set((failed or {}).get(name, ())) & set(
                range(unit.first_clip, unit.last_clip + 1)
            )
            rows += _rows(unit, values, lost, recipe)
            errors = tuple(RangeError(c, c, "crashed", "gone", 2) for c in sorted(lost))
            first, last = unit.first_clip, unit.last_clip
            count = last - first + 1 - len(lost)
            outcomes.append(Outcome(unit.video_id, unit.uri, first, last, count, errors=errors))
        shape = RowShape(next(iter(group))[1].shape[-1], 4, 4)
        table = features_table(rows, shape, recipe, shard)
        write_features(str(out / "features" / f"{shard}.parquet"), table, outcomes, recipe, shape)


def _rows(unit: Unit, values: np.ndarray, lost: set[int], recipe: Recipe) -> list[ClipRow]:
    stored = np.float16 if recipe.output.dtype == "bfloat16" else np.float32
    return [
        ClipRow(
            unit.video_id,
            unit.uri,
            clip,
            clip * recipe.clip.stride_s,
            clip * recipe.clip.stride_s + recipe.clip.clip_s,
            (values[clip] if values.ndim == 2 else values[clip].mean(0)).astype(stored),
            tokens=None if values.ndim == 2 else values[clip].astype(stored),
        )
        for clip in range(unit.first_clip, unit.last_clip + 1)
        if clip not in lost
    ]


def video_id(name: str) -> str:
    """Of the video of that name."""
    return Video(f"/videos/{name}", 1, "etag").video_id


def _unit(name: str, clips: int, recipe: Recipe, only: tuple[int, int] | None) -> Unit:
    first, last = only or (0, clips - 1)
    length = Fraction(repr(recipe.clip.stride_s)) * clips
    timeline = Timeline(1, 1000, 0, int(length * 1000), clips)
    probe = Probe("mp4", "h264", 32, 32, 0, timeline, clips, 0, 1.0, True)
    return Unit(video_id(name), f"/videos/{name}", 1, "etag", first, last, 1.0, probe)


def random_videos(
    names: Iterable[str], clips: Callable[[str], int], width: int, seed: int = 0
) -> Iterable[tuple[str, np.ndarray]]:
    """Noise."""
    rng = np.random.default_rng(seed)
    for name in names:
        yield name, rng.standard_normal((clips(name), width), np.float32)
