"""The fingerprint: what changes it, and that it holds for datasets that exist already."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vfeat.job.fingerprint import Recipe, difference, fingerprint
from vfeat.job.recipe import ClipSpec, FrameSpec, LabelSpec, ModelSpec, OutputSpec

MODEL = ModelSpec("videomamba_tiny", "a.pth", (("depth", 2),))
RECIPE = Recipe(MODEL, "sha256:00", ClipSpec(), FrameSpec(), OutputSpec())
NAMED = replace(RECIPE, labels=LabelSpec("k400", "400 names, 12ab"))


def test_a_recipe_without_names_is_what_it_was_before_there_were_any() -> None:
    assert "labels" not in RECIPE.to_json()
    assert RECIPE.fingerprint == "6111e4782e348a35df88059c20cc1ea6"


@pytest.mark.parametrize("recipe", [RECIPE, NAMED], ids=["numbers", "names"])
def test_json_brings_the_recipe_back(recipe: Recipe) -> None:
    content = json.loads(json.dumps(recipe.to_json()))
    assert Recipe.from_json(content) == recipe
    assert fingerprint(content) == recipe.fingerprint


def test_names_are_part_of_it_and_their_place_is_not() -> None:
    other = replace(NAMED, labels=LabelSpec("k400", "400 names, 34cd"))
    moved = replace(NAMED, labels=LabelSpec("s3://bucket/names.txt", "400 names, 12ab"))
    assert len({r.fingerprint for r in (RECIPE, NAMED, other)}) == 3
    assert moved.fingerprint == NAMED.fingerprint
    assert difference(NAMED.to_json(), moved.to_json()) == []
    assert difference(RECIPE.to_json(), NAMED.to_json()) == [
        "labels.digest: the dataset has None, this job '400 names, 12ab'"
    ]
