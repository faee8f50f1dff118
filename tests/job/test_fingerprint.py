"""The fingerprint: what changes it, and that it holds for datasets that exist already."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vfeat.job.fingerprint import Recipe, difference, fingerprint
from vfeat.job.recipe import ClipSpec, FlipSpec, FrameSpec, LabelSpec, ModelSpec, OutputSpec

MODEL = ModelSpec("videomamba_tiny", "a.pth", (("depth", 2),))
RECIPE = Recipe(MODEL, "sha256:00", ClipSpec(), FrameSpec(), OutputSpec())
NAMED = replace(RECIPE, labels=LabelSpec("k400", "400 names, 12ab"))
SQUASHED = replace(RECIPE, frame=FrameSpec(resize="bicubic", fit="squash"))
FLIPPED = replace(NAMED, flips=(FlipSpec("horizontal", (1, 0, 2)), FlipSpec("reverse", (0, 1, 2))))


def test_a_recipe_without_names_is_what_it_was_before_there_were_any() -> None:
    assert not {"labels", "flips"} & RECIPE.to_json().keys()
    assert "fit" not in RECIPE.to_json()["frame"]
    assert RECIPE.fingerprint == "6111e4782e348a35df88059c20cc1ea6"


@pytest.mark.parametrize(
    "recipe", [RECIPE, NAMED, FLIPPED, SQUASHED], ids=["numbers", "names", "flips", "squash"]
)
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


def test_how_a_picture_fits_is_part_of_it() -> None:
    squashed = replace(RECIPE, frame=FrameSpec(fit="squash"))
    assert squashed.fingerprint != RECIPE.fingerprint
    assert difference(RECIPE.to_json(), squashed.to_json()) == [
        "frame.fit: the dataset has None, this job 'squash'"
    ]


def test_flips_are_part_of_it() -> None:
    other = replace(NAMED, flips=(FlipSpec("horizontal", (0, 1, 2)), FLIPPED.flips[1]))
    assert len({r.fingerprint for r in (NAMED, FLIPPED, other)}) == 3
    lines = difference(FLIPPED.to_json(), other.to_json())
    assert lines == ["flips.horizontal: the dataset has [1, 0, 2], this job [0, 1, 2]"]
