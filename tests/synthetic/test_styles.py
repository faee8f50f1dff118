"""Made-up videos: each style shows what its name says, at every length."""

from __future__ import annotations

import numpy as np
import pytest

from vfeat.synthetic.labels import LABELS, TRANSITIONS, Motion
from vfeat.synthetic.styles import LONGEST, SHORTEST, STYLES, Style, random_length, style_sequence

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
        sequence = style_sequence(rng, style, random_length(rng))
        shares.append(np.mean([label in TYPICAL[style] for label in sequence]))
    assert np.median(shares) > 0.55


@pytest.mark.parametrize("style", STYLES)
def test_sequences_have_the_length_asked_for_and_known_labels(style: Style) -> None:
    for seed, clips in enumerate((20, 21, 333, 2000)):
        sequence = style_sequence(np.random.default_rng(seed), style, clips)
        assert len(sequence) == clips and set(sequence) <= set(LABELS)
        assert sequence == style_sequence(np.random.default_rng(seed), style, clips)


def test_lengths_span_the_range() -> None:
    lengths = [random_length(np.random.default_rng(seed)) for seed in range(300)]
    assert min(lengths) >= SHORTEST and max(lengths) <= LONGEST
    assert min(lengths) < 30 and max(lengths) > 1400
