"""The truth about generated clips, held against their pixels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from recipes.camera_motion.synthetic import script
from recipes.camera_motion.synthetic.labels import LABELS, Motion
from recipes.camera_motion.synthetic.script import make_clip
from recipes.camera_motion.synthetic.truth import MOMENTS_PER_S

MOVING: tuple[Motion, ...] = (
    "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out", "roll_cw", "roll_ccw",
    "shake",
)  # fmt: skip


def warped(frame: np.ndarray, first_23: np.ndarray, last_23: np.ndarray) -> np.ndarray:
    """The frame of the first moment as the maps say that it looks at the last."""
    height, width = frame.shape[:2]
    pixels = np.array([[width, 0, (width - 1) / 2], [0, height, (height - 1) / 2], [0, 0, 1]])
    first, last = (pixels @ np.vstack([m, [0, 0, 1]]) for m in (first_23, last_23))
    return cv2.warpAffine(frame, (last @ np.linalg.inv(first))[:2], (width, height))


@pytest.mark.parametrize("label", MOVING)
def test_the_maps_say_where_the_content_goes(
    label: Motion, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_actors = script._shot
    monkeypatch.setattr(script, "_shot", lambda *a: replace(with_actors(*a), actors=(), life=None))
    better = 0
    for seed in range(6):
        clip = make_clip(label, (seed, 1))
        moments = (4, 10)
        first, last = (clip.frames[m * clip.rate_fps // MOMENTS_PER_S] for m in moments)
        moved = warped(first, *(clip.maps[m].astype(np.float64) for m in moments))
        seen = warped(np.full_like(first, 255), *(clip.maps[m] for m in moments)).min(-1) == 255
        error, still = (np.abs(p.astype(float) - last)[seen].mean() for p in (moved, first))
        better += bool(error < 0.6 * still)
    assert better >= 5, label


def test_transitions_are_unknown_and_both_sides_known() -> None:
    for seed in range(5):
        for label in ("cut", "dissolve", "fade"):
            unknown_M = np.isnan(make_clip(label, (seed,)).maps).any((1, 2))
            assert unknown_M.any(), label
            assert not unknown_M.all() or label == "fade"


@pytest.mark.parametrize("label", LABELS)
def test_there_is_a_map_for_each_moment(label: Motion) -> None:
    clip = make_clip(label, (7,))
    assert clip.maps.shape == (2 * MOMENTS_PER_S + 1, 2, 3)
    assert clip.maps.dtype == np.float32
