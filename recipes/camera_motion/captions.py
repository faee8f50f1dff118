"""English captions of generated clips, from their facts.

    ClipFacts -> meanings (`phrases.py`) -> phrases -> a sentence

A caption states only what is true of the clip; it need not state all of it. Training and held-out
captions have phrases and frames of sentences of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recipes.camera_motion.clip_facts import ClipFacts
from recipes.camera_motion.phrases import HELD_OUT, SPEED, SPEED_ADVERB, TRAINED, Phrases

SPEED_SHARE = 0.75
"""Share of the captions of a slow or fast clip that state its speed."""
ALL_SHARE = 0.85
"""Share of the captions of a clip with two motions that state both."""
WIDE_SHARE = 0.2
"""Share of the captions that state something wider: a pan, a fade, a moving camera."""
NAME_SHARE = 0.2
"""Share of the captions that end with an invented name, which stands for any unknown word."""
SYLLABLES = ("ka", "lo", "mi", "ra", "tu", "ve", "so", "ni", "be", "do", "pa", "zu", "ri", "ha")


@dataclass(frozen=True)
class _Frames:
    """Frames of sentences: `{n}` a noun phrase, `{v}` a verb phrase, 1 and 2 for two motions."""

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    noun_pairs: tuple[str, ...]
    verb_pairs: tuple[str, ...]


TRAINED_FRAMES = _Frames(
    ("{n}", "{n}", "{n}", "a {n}", "shot with a {n}", "clip with a {n}", "this is a {n}",
     "video: {n}"),
    ("the camera {v}", "camera {v}", "the camera {v}", "a camera that {v}", "the shot {v}",
     "video in which the camera {v}"),
    ("{n1} and {n2}", "{n1} with a {n2}", "a {n1} and a {n2} at the same time", "{n1}, {n2}",
     "{n1} combined with a {n2}"),
    ("the camera {v1} and {v2}", "the camera {v1} while it {v2}", "camera {v1} and {v2}",
     "the camera {v1} and at the same time {v2}"),
)  # fmt: skip
HELD_OUT_FRAMES = _Frames(
    ("shot that is a {n}", "video with a {n}", "the {n}"),
    ("this camera {v}", "a clip in which the camera {v}", "shot in which it {v}"),
    ("clip with a {n1} and a {n2}", "{n1} while {n2}"),
    ("this camera {v1} and {v2}", "a camera that {v1} while it {v2}"),
)


@dataclass(frozen=True)
class Wording:
    """A set of phrases and frames of sentences.

    Attributes:
        phrases: by meaning.
        frames: frames of sentences.
        names: captions may end with an invented name.
    """

    phrases: Mapping[str, Phrases]
    frames: _Frames
    names: bool


TRAINING = Wording(TRAINED, TRAINED_FRAMES, names=True)
PARAPHRASED = Wording(HELD_OUT, HELD_OUT_FRAMES, names=False)


def meanings(facts: ClipFacts) -> tuple[str, ...]:
    """Return the keys of `TRAINED` that are true of a clip, the most telling ones first."""
    if facts.label == "fade":
        return (f"fade {facts.fade} {facts.colour}", "fade")
    if facts.label == "cut":
        return ("several cuts", "cut") if facts.cuts > 1 else ("cut",)
    motions = tuple(m for m in (facts.label, facts.also) if m is not None)
    kinds = tuple(m.partition("_")[0] for m in motions if "_" in m)
    return (*motions, *kinds, "moving") if kinds else motions


@dataclass(frozen=True)
class Statement:
    """Facts that a caption states.

    Attributes:
        meanings: one, or two motions at the same time.
        speed: slow or fast, or None where the speed is not stated.
    """

    meanings: tuple[str, ...]
    speed: str | None = None

    def is_true(self, facts: ClipFacts) -> bool:
        """Return whether it holds of a clip."""
        if not set(self.meanings) <= set(meanings(facts)):
            return False
        return self.speed is None or (facts.also is None and facts.speed == self.speed)


def draw_statement(rng: np.random.Generator, facts: ClipFacts) -> Statement:
    """Draw something that is true of a clip."""
    found = meanings(facts)
    # A second motion has a speed of its own, which the facts do not hold.
    has_speed = facts.also is None and facts.speed in SPEED
    speed = facts.speed if has_speed and rng.random() < SPEED_SHARE else None
    telling = 2 if facts.also is not None else 1
    if rng.random() < WIDE_SHARE and len(found) > telling:
        return Statement((_one(rng, found[telling:]),), speed)
    if telling == 1:
        return Statement(found[:1], speed)
    order = tuple(found[int(place)] for place in rng.permutation(2))
    return Statement(order if rng.random() < ALL_SHARE else order[:1])


def worded(
    rng: np.random.Generator, statement: Statement, wording: Wording = TRAINING
) -> str | None:
    """Draw a sentence for a statement; None where the wording has none for it."""
    if any(meaning not in wording.phrases for meaning in statement.meanings):
        return None
    if len(statement.meanings) == 2:
        text = _double(rng, wording, *statement.meanings)
    else:
        text = _single(rng, wording, statement.meanings[0], statement.speed)
    text = re.sub(r"\ba(?= [aeiou])", "an", text)
    if wording.names and rng.random() < NAME_SHARE:
        text += f" {_one(rng, ('in', 'of', 'over', 'at', 'near'))} {_name(rng)}"
    return text


def _single(rng: np.random.Generator, wording: Wording, meaning: str, speed: str | None) -> str:
    phrases, frames = wording.phrases[meaning], wording.frames
    kinds = [kind for kind in ("nouns", "verbs", "wholes") if getattr(phrases, kind)]
    kind = _one(rng, kinds)
    phrase = _one(rng, getattr(phrases, kind))
    if kind == "nouns":
        adjective = f"{_one(rng, SPEED[speed])} " if speed else ""
        return _one(rng, frames.nouns).format(n=adjective + phrase)
    if kind == "verbs":
        if speed:
            adverb = _one(rng, SPEED_ADVERB[speed])
            before = rng.random() < 0.3 and not phrase.startswith("is ")
            phrase = f"{adverb} {phrase}" if before else f"{phrase} {adverb}"
        return _one(rng, frames.verbs).format(v=phrase)
    return f"{phrase} {_one(rng, SPEED_ADVERB[speed])}" if speed else phrase


def _double(rng: np.random.Generator, wording: Wording, first: str, second: str) -> str:
    one, two = wording.phrases[first], wording.phrases[second]
    if rng.random() < 0.5:
        frame = _one(rng, wording.frames.noun_pairs)
        return frame.format(n1=_one(rng, one.nouns), n2=_one(rng, two.nouns))
    frame = _one(rng, wording.frames.verb_pairs)
    return frame.format(v1=_one(rng, one.verbs), v2=_one(rng, two.verbs))


def _name(rng: np.random.Generator) -> str:
    return "".join(_one(rng, SYLLABLES) for _ in range(4)).capitalize()


def _one(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
