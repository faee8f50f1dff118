"""The recipe of imported features: what is known of them."""

from __future__ import annotations

from vfeat.addresses import public
from vfeat.job.fingerprint import IMPORTED, Recipe
from vfeat.job.recipe import ClipSpec, FrameSpec, ModelSpec, OutputSpec
from vfeat.job.spec import ImportJob
from vfeat.tables.schema import RowShape

_WIDTH = "width"


def imported_recipe(job: ImportJob, width: int, *, half: bool) -> Recipe:
    """Return the recipe: name, width, step and type; frames and weights are unknown.

    Args:
        job: names what made the features.
        width: of the vectors.
        half: they are stored as float16.
    """
    return Recipe(
        ModelSpec(f"{IMPORTED}{job.name}", public(job.sources[0]), ((_WIDTH, width),)),
        "imported",
        ClipSpec(1, job.step_seconds, job.step_seconds),
        FrameSpec(0, decoder="imported", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        OutputSpec("none", "bfloat16" if half else "float32", 0),
    )


def width_of(recipe: Recipe) -> int:
    """Return the width of the vectors of an imported dataset."""
    return dict(recipe.model.config)[_WIDTH]


def is_half(recipe: Recipe) -> bool:
    """Return whether vectors are stored as float16."""
    return recipe.output.dtype == "bfloat16"


def shape_of(recipe: Recipe) -> RowShape:
    """Return the widths of a row."""
    return RowShape(width_of(recipe), 1, 1)
