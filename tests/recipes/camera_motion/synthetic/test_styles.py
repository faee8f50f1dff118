"""Made-up videos: each style shows what its name says, at every length."""

from __future__ import annotations

import numpy as np
import pytest

from recipes.camera_motion.synthetic.labels import LABELS, TRANSITIONS, Motion
from recipes.camera_motion.synthetic.styles import (
    LONGEST,
    SHORT,
    SHORTEST,
    STYLES,
    Style,
    random_length,
    style_sequence,
)

MOVING: set[Motion] = set(LABELS) - {"static", "shake", *TRANSITIONS}
# What most of a video's clips show.
TYPICAL: dict[Style, set[Motion]] = {
    "locked_off": {"static"},
    "handheld": {"shake", "static", *MOVING},
    "sweeping": MOVING,
    "slideshow": {"static", "dissolve", "fade"},
    "fast_cut": {"cut"},
}


@pytest.mark.parametrize("style", TYPICAL)
def test_most_clips_are_typical(style: Style) -> None:
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sequence = style_sequence(rng, style, random_length(rng, style))
        shares.append(np.mean([label in TYPICAL[style] for label in sequence]))
    assert np.median(shares) > 0.55


@pytest.mark.parametrize("style", STYLES)
def test_sequences_have_the_length_asked_for_and_known_labels(style: Style) -> None:
    for seed, clips in enumerate((20, 21, 333, 2000)):
        sequence = style_sequence(np.random.default_rng(seed), style, clips)
        assert len(sequence) == clips and set(sequence) <= set(LABELS)
        assert sequence == style_sequence(np.random.default_rng(seed), style, clips)


def test_lengths_span_the_range() -> None:
    def lengths(style: Style) -> list[int]:
        return [random_length(np.random.default_rng(seed), style) for seed in range(300)]

    found = lengths("handheld")
    assert SHORTEST <= min(found) < 8 and 1400 < max(found) <= LONGEST
    assert sum(length >= SHORT for length in found) > 200
    assert min(lengths("mixed")) >= SHORT
