"""Clips for words about the camera, with the facts that their captions state.

    FOLDER/clips/000/000123_pan_left.mp4    and beside each its facts, `.json`

Beside clips of one label there are clips with two motions at the same time. Some pairs of motions
occur in no training clip: they measure whether a sentence finds a combination that was not learnt.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.camera_motion.clip_facts import ClipFacts, facts_of
from recipes.camera_motion.synthetic.encode import write_video
from recipes.camera_motion.synthetic.labels import LABELS, Motion
from recipes.camera_motion.synthetic.processes import rendered
from recipes.camera_motion.synthetic.script import make_clip
from recipes.camera_motion.synthetic.wear import worn
from recipes.camera_motion.synthetic.whole import whole

Pair = tuple[Motion, Motion]

SEEN_PAIRS: tuple[Pair, ...] = (
    ("pan_left", "tilt_up"), ("pan_right", "tilt_up"), ("pan_right", "tilt_down"),
    ("pan_right", "zoom_in"), ("pan_left", "zoom_out"), ("pan_left", "zoom_in"),
    ("tilt_up", "zoom_in"), ("tilt_down", "zoom_out"), ("tilt_down", "zoom_in"),
    ("pan_left", "shake"), ("tilt_up", "shake"), ("zoom_in", "shake"), ("zoom_out", "shake"),
    ("roll_cw", "zoom_in"), ("roll_ccw", "zoom_out"), ("roll_ccw", "zoom_in"),
)  # fmt: skip
HELD_OUT_PAIRS: tuple[Pair, ...] = (
    ("pan_left", "tilt_down"), ("pan_right", "zoom_out"), ("tilt_up", "zoom_out"),
    ("pan_right", "shake"), ("tilt_down", "shake"), ("roll_cw", "zoom_out"),
)  # fmt: skip
"""In test clips only."""
ROUNDS = 5  # turns of each label for one of each of `SEEN_PAIRS`
PER_FOLDER = 1000
VAL_SHARE, TEST_SHARE = 0.06, 0.12


@dataclass(frozen=True)
class WordClip:
    """One clip of the corpus, before it is rendered.

    Attributes:
        index: number in the corpus, from 0.
        label, also: motions of the camera, or a transition.
        split: train, val or test.
    """

    index: int
    label: Motion
    also: Motion | None
    split: str

    @property
    def name(self) -> str:
        """Path below the folder of the clips."""
        second = f"_{self.also}" if self.also else ""
        return f"{self.index // PER_FOLDER:03d}/{self.index:06d}_{self.label}{second}.mp4"


def planned_clips(count: int) -> list[WordClip]:
    """Return the clips of a corpus: labels take turns, then pairs, held-out ones at the end."""
    kinds: list[tuple[Motion, Motion | None]] = []
    for _ in range(ROUNDS):
        kinds += [(label, None) for label in LABELS]
    kinds += SEEN_PAIRS
    held_out = count // 12
    clips = []
    for index in range(count):
        if index >= count - held_out:
            label, also = HELD_OUT_PAIRS[index % len(HELD_OUT_PAIRS)]
            clips.append(WordClip(index, label, also, "test"))
            continue
        label, second = kinds[index % len(kinds)]
        clips.append(WordClip(index, label, second, _split(index)))
    return clips


def _split(index: int) -> str:
    share = index * 0.6180339887 % 1  # golden ratio: spread evenly
    if share < VAL_SHARE:
        return "val"
    return "test" if share < VAL_SHARE + TEST_SHARE else "train"


def write_clips(
    folder: Path, count: int, seed: int, workers: int, progress: Callable[[int, int], None]
) -> list[tuple[WordClip, ClipFacts]]:
    """Render the clips that are not there yet; return all of them with their facts.

    Args:
        folder: made if need be. One that was begun is finished.
        progress: called with (done, total).

    Raises:
        EnvironmentMissing: scikit-image is not installed.
    """
    clips = planned_clips(count)
    missing = [clip for clip in clips if not (folder / clip.name).exists()]
    for sub in {(folder / clip.name).parent for clip in missing}:
        sub.mkdir(parents=True, exist_ok=True)
    done = count - len(missing)
    for _ in rendered(_render_one, [(str(folder), clip, seed) for clip in missing], workers):
        done += 1
        progress(done, count)
    return [(clip, _stored_facts(folder / clip.name)) for clip in clips]


def _render_one(job: tuple[str, WordClip, int]) -> None:
    folder, clip, seed = job
    path = Path(folder) / clip.name
    made = make_clip(clip.label, (seed, clip.index), also=clip.also)
    facts = facts_of(made, clip.also)
    # Before the video: where that is, all is there.
    with whole(path.with_suffix(".json")) as part:
        part.write_text(json.dumps(facts.to_json()) + "\n")
    rng = np.random.default_rng((seed, clip.index, len(LABELS)))
    write_video(rng, str(path), worn(rng, made.frames), made.rate_fps)


def _stored_facts(video: Path) -> ClipFacts:
    return ClipFacts.from_json(json.loads(video.with_suffix(".json").read_text()))
