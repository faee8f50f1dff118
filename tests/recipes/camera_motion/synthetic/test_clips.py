"""Generated clips: their pictures do what their labels say, and the same seed makes the same."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from recipes.camera_motion.synthetic import LABELS, write_corpus
from recipes.camera_motion.synthetic.camera import (
    CREEP,
    PAN_WIDTHS,
    ROLL_RADIANS,
    ZOOM_LOGARITHM,
    camera_path,
)
from recipes.camera_motion.synthetic.labels import HARDSHIPS, TRANSITIONS, Motion
from recipes.camera_motion.synthetic.render import Shot, render
from recipes.camera_motion.synthetic.scenes import make_scene
from recipes.camera_motion.synthetic.script import make_clip
from recipes.camera_motion.synthetic.transitions import transition_weights
from vfeat.errors import JobError

pytest.importorskip("skimage", reason="generated video needs scikit-image")

TIMES_S = np.linspace(0, 2, 16)
# How a point of the world moves in the picture: right, down, outwards, clockwise; 0: not.
CONTENT: dict[Motion, tuple[int, int, int, int]] = {
    "static": (0, 0, 0, 0),
    "pan_right": (-1, 0, 0, 0),
    "pan_left": (1, 0, 0, 0),
    "tilt_up": (0, 1, 0, 0),
    "tilt_down": (0, -1, 0, 0),
    "zoom_in": (0, 0, 1, 0),
    "zoom_out": (0, 0, -1, 0),
    "roll_cw": (0, 0, 0, -1),
    "roll_ccw": (0, 0, 0, 1),
}


def content_motion(label: Motion, seed: int) -> tuple[float, float, float, float]:
    """Shift right and down in widths, log-magnification and clockwise turn of the content.

    Measured in the rendered pictures by feature points and a similarity fit, not read from
    the path.
    """
    rng = np.random.default_rng((seed, LABELS.index(label)))
    path = camera_path(rng, label, TIMES_S, 1.0)
    scene = make_scene(np.random.default_rng(7), 400)
    shot = Shot(lambda _: scene, 1.5, path, ())
    total = np.eye(3)
    pictures = [cv2.cvtColor(render(shot, t, 160, 160), cv2.COLOR_RGB2GRAY) for t in range(16)]
    for before, after in itertools.pairwise(pictures):
        points = cv2.goodFeaturesToTrack(before, 300, 0.01, 5)
        moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, maxLevel=4)
        kept = found[:, 0] == 1
        step, _ = cv2.estimateAffinePartial2D(points[kept] - 79.5, moved[kept] - 79.5)
        total = np.concatenate([step, [[0, 0, 1]]]) @ total
    # Where the middle went, so that a turn about it is no shift.
    magnification = float(np.log(np.hypot(total[0, 0], total[1, 0])))
    turn = float(np.arctan2(total[1, 0], total[0, 0]))
    return total[0, 2] / 160, total[1, 2] / 160, magnification, turn


@pytest.mark.parametrize("label", CONTENT)
def test_content_moves_against_the_camera(label: Motion) -> None:
    for seed in range(3):
        measured = content_motion(label, seed)
        expected = CONTENT[label]
        least = (0.045, 0.045, 0.05, 0.05)
        for axis, sign in enumerate(expected):
            if sign:
                assert measured[axis] * sign > least[axis], (label, seed, measured)
        if label == "static":
            assert np.abs(measured).max() < 0.01, (seed, measured)


@pytest.mark.parametrize("label", LABELS)
def test_the_same_seed_makes_the_same_clip(label: Motion) -> None:
    one, two, other = (make_clip(label, (seed, 3)) for seed in (11, 11, 12))
    assert np.array_equal(one.frames, two.frames)
    assert one.frames.dtype == np.uint8
    assert not (one.frames.shape == other.frames.shape and np.array_equal(one.frames, other.frames))


def test_a_cut_is_one_jump_and_a_static_clip_none() -> None:
    def largest_jump(label: Motion, seed: int) -> float:
        frames = make_clip(label, (seed,)).frames.astype(np.float32)
        steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        return float(steps.max() / (np.median(steps) + 1))

    cuts = [largest_jump("cut", seed) for seed in range(12)]
    stills = [largest_jump("static", seed) for seed in range(12)]
    assert np.median(cuts) > 8 * np.median(stills)


def test_some_static_clips_creep_and_none_goes_far() -> None:
    """By the truth beside the clips: shift in the picture's sides, turn and growth of the map."""
    moved = []
    for seed in range(16):
        maps = make_clip("static", (seed,)).maps
        assert not np.isnan(maps).any()
        moved.append(float(np.abs(maps[-1] - maps[0]).max()))
    assert max(moved) < 2 * CREEP < min(PAN_WIDTHS[0], ZOOM_LOGARITHM[0], ROLL_RADIANS[0])
    assert sum(way > CREEP / 5 for way in moved) > 4


def test_a_fade_reaches_its_colour() -> None:
    for seed in range(8):
        frames = make_clip("fade", (seed,)).frames
        spread = frames.reshape(len(frames), -1).std(axis=1)
        assert spread.min() < 0.45 * spread.max()


def test_a_corpus_is_balanced_and_finished_by_a_second_call(tmp_path: Path) -> None:
    count = 2 * len(LABELS)
    told: list[tuple[int, int]] = []
    path = write_corpus(tmp_path, clips=count, seed=3, progress=lambda *at: told.append(at))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list(LABELS) * 2
    assert told[-1] == (count, count)
    lost = tmp_path / rows[5]["uri"]
    before = lost.read_bytes()
    lost.unlink()
    told.clear()
    write_corpus(tmp_path, clips=count, seed=3, progress=lambda *at: told.append(at))
    assert told == [(count, count)] and lost.read_bytes() == before
    with pytest.raises(JobError, match="another folder"):
        write_corpus(tmp_path, clips=count, seed=4)


def test_some_labels_may_have_more_turns(tmp_path: Path) -> None:
    path = write_corpus(tmp_path, clips=17, seed=3, turns={"cut": 3, "static": 2})
    with open(path, newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert labels == [*LABELS, "static", "cut", "cut", LABELS[0]]
    assert (tmp_path / "000" / "000015_cut.mp4").exists()
    with pytest.raises(JobError, match="another folder"):
        write_corpus(tmp_path, clips=17, seed=3)
    with pytest.raises(JobError, match=r"turns: pan: expected at least 1"):
        write_corpus(tmp_path, clips=17, seed=3, turns={"pan": 2})


def test_half_of_the_cuts_lie_on_seams() -> None:
    times_s = np.arange(120) / 60
    near, away = 0, 0
    for seed in range(200):
        weights = transition_weights(np.random.default_rng(seed), "cut", times_s, seams_s=0.5)
        at_s = times_s[1:][np.diff(weights.of_shots_TN.argmax(1)) != 0]
        assert len(at_s) and at_s.min() > 0.1 and at_s.max() < 1.95
        from_seam = np.abs(at_s / 0.5 - np.clip(np.round(at_s / 0.5), 1, 3))
        near, away = near + bool((from_seam < 0.17).any()), away + bool((from_seam >= 0.17).all())
    assert near > 0.55 * 200 and away > 0.2 * 200


def test_transitions_are_labels() -> None:
    assert set(TRANSITIONS) < set(LABELS) and set(LABELS) - set(TRANSITIONS) == {*CONTENT, "shake"}


def test_a_clip_tells_what_makes_it_hard() -> None:
    """A camera that stands follows nobody; a camera that moves may meet all of it."""
    labels: tuple[Motion, ...] = ("static", "pan_left")
    found = {label: [make_clip(label, (9, n)).hardships for n in range(30)] for label in labels}
    assert frozenset().union(*found["static"]) == {"large subject", "living scene"}
    assert frozenset().union(*found["pan_left"]) == set(HARDSHIPS)
    for hardships in found.values():
        assert 5 < hardships.count(frozenset()) < 25
