"""Captions of generated clips: true, varied, and with words to hold out."""

from __future__ import annotations

import csv
import re
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from recipes.camera_motion.captions import (
    HELD_OUT_FRAMES,
    PARAPHRASED,
    Statement,
    draw_statement,
    meanings,
    worded,
)
from recipes.camera_motion.clip_facts import ClipFacts, facts_of
from recipes.camera_motion.phrases import HELD_OUT, SPEED, SPEED_ADVERB, TRAINED
from recipes.camera_motion.synthetic.camera import CameraPath
from recipes.camera_motion.synthetic.labels import LABELS, Motion
from recipes.camera_motion.synthetic.script import Rendered, make_clip
from recipes.camera_motion.synthetic.transitions import Weights
from recipes.camera_motion.synthetic.truth import scene_maps
from recipes.camera_motion.words import write_captions
from recipes.camera_motion.words_corpus import HELD_OUT_PAIRS, SEEN_PAIRS, planned_clips

RATE, COUNT, ASPECT = 16, 32, 0.75


def facts(label: Motion, also: Motion | None = None, **fields: object) -> ClipFacts:
    content = {"label": label, "also": also, "speed": None, "amount": 0.0, "motions": (label,)}
    return ClipFacts.from_json({**content, **fields})


SAMPLES = (
    *(facts(label) for label in LABELS if label not in ("cut", "fade")),
    *(facts("pan_left", speed=speed) for speed in ("slow", "medium", "fast")),
    facts("cut", motions=("static", "static")), facts("cut", motions=("static",) * 3),
    *(facts("fade", fade=way, colour=colour)
      for way, colour in product(("in", "out", "through"), ("black", "white"))),
    *(facts(*pair, speed="slow") for pair in SEEN_PAIRS),
)  # fmt: skip


def test_a_caption_states_what_is_true() -> None:
    rng = np.random.default_rng(0)
    for sample in SAMPLES:
        for _ in range(40):
            statement = draw_statement(rng, sample)
            assert statement.is_true(sample)
            text = worded(rng, statement)
            assert text and "{" not in text
            slow = any(word in text.split() for word in (*SPEED["slow"], *SPEED_ADVERB["slow"]))
            assert not slow or (sample.speed == "slow" and sample.also is None)
    assert not Statement(("pan_left",)).is_true(facts("pan_right"))
    assert not Statement(("pan_left",), "fast").is_true(facts("pan_left", speed="slow"))
    assert not Statement(("pan_left", "zoom_in")).is_true(facts("pan_left"))
    assert Statement(("pan",)).is_true(facts("zoom_in", "pan_left"))
    assert Statement(("moving",)).is_true(facts("roll_cw"))
    assert not Statement(("moving",)).is_true(facts("static"))


def test_every_fact_has_a_phrase() -> None:
    for sample in SAMPLES:
        assert set(meanings(sample)) <= TRAINED.keys(), sample
    assert HELD_OUT.keys() <= TRAINED.keys()


def test_held_out_sentences_are_new_and_their_words_are_not() -> None:
    rng = np.random.default_rng(1)
    trained: set[str] = set()
    for sample in SAMPLES:
        trained |= {worded(rng, draw_statement(rng, sample)) or "" for _ in range(400)}
    words = {word for text in trained for word in re.findall(r"\w+", text.lower())}
    for sample in SAMPLES:
        for _ in range(20):
            text = worded(rng, draw_statement(rng, sample), PARAPHRASED)
            if text is not None:
                assert text not in trained
                assert set(re.findall(r"\w+", text.lower())) <= words, text
    for phrases in HELD_OUT.values():
        for phrase in (*phrases.nouns, *phrases.verbs):
            assert not any(phrase in (*p.nouns, *p.verbs, *p.wholes) for p in TRAINED.values())
    assert HELD_OUT_FRAMES.nouns


@pytest.mark.parametrize(
    ("label", "end", "amount", "speed"),
    [
        ("pan_right", (0.3, 0.0, 0.0, 0.0), 0.3, "medium"),
        ("tilt_up", (0.0, -0.15 * ASPECT, 0.0, 0.0), 0.15, "slow"),
        ("zoom_in", (0.0, 0.0, 0.7, 0.0), 0.7, "fast"),
        ("roll_ccw", (0.1, 0.0, 0.1, -1.0), 1.0, "fast"),
        ("shake", (0.1, 0.0, 0.0, 0.0), 0.0, None),
    ],
)
def test_the_speed_is_that_of_the_path(
    label: Motion, end: tuple[float, ...], amount: float, speed: str | None
) -> None:
    progress = np.linspace(0, 1, COUNT)
    path = CameraPath(*(value * progress for value in end))
    weights = Weights(np.ones((COUNT, 1)), np.zeros(COUNT), np.zeros(3, np.float32))
    maps = scene_maps([path], weights, 1, RATE, ASPECT)
    frames = np.zeros((COUNT, 48, 64, 3), np.uint8)
    clip = Rendered(label, frames, RATE, maps, frozenset(), (label,), weights)
    found = facts_of(clip)
    assert found.amount == pytest.approx(amount, abs=0.002) and found.speed == speed
    assert ClipFacts.from_json(asdict(found)) == found


def test_a_fade_is_named_by_its_pictures() -> None:
    seen = set()
    for seed in range(12):
        clip = make_clip("fade", (seed, 77))
        found = facts_of(clip)
        light = clip.frames.reshape(len(clip.frames), -1).mean(1).astype(float)
        nearest = np.abs(light - (255 if found.colour == "white" else 0))
        if found.fade == "out":
            assert nearest[-1] < nearest[0]
        elif found.fade == "in":
            assert nearest[0] < nearest[-1]
        else:
            assert nearest.min() < min(nearest[0], nearest[-1])
        seen.add(found.fade)
    assert seen == {"in", "out", "through"}


def test_a_second_motion_is_in_the_pictures() -> None:
    both = make_clip("pan_left", (3, 5), also="zoom_in")
    alone = make_clip("pan_left", (3, 5))
    turns = [np.linalg.det(c.maps[~np.isnan(c.maps).any((1, 2))][:, :, :2]) for c in (both, alone)]
    grown = [float(np.log(t[-1] / t[0])) / 2 for t in turns]
    assert grown[0] > grown[1] + 0.05
    assert facts_of(both, "zoom_in").also == "zoom_in"


def test_some_pairs_are_in_test_clips_only(tmp_path: Path) -> None:
    clips = planned_clips(1200)
    held_out = {(c.label, c.also) for c in clips} & set(HELD_OUT_PAIRS)
    assert held_out == set(HELD_OUT_PAIRS) and not set(HELD_OUT_PAIRS) & set(SEEN_PAIRS)
    assert {c.split for c in clips if (c.label, c.also) in held_out} == {"test"}
    assert {c.label for c in clips if c.split == "train" and not c.also} == set(LABELS)
    made = [(c, facts(c.label, c.also, fade="in", colour="black")) for c in clips[:50]]
    for name in ("one.csv", "two.csv"):
        write_captions(tmp_path / name, made)
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()
    rows = list(csv.DictReader((tmp_path / "one.csv").open()))
    assert len(rows) == sum({"train": 5, "val": 2, "test": 1}[c.split] for c, _ in made)
