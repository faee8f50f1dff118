"""Films with known cuts, dissolves and fades, for `benchmarks.shots`.

Generated films join clips of one shot each (recipes/camera_motion/synthetic, with its grain,
captions, drifting exposure and codecs); real films join stretches of real files by hard cuts only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from recipes.camera_motion.synthetic.encode import write_video
from recipes.camera_motion.synthetic.labels import LABELS, TRANSITIONS
from recipes.camera_motion.synthetic.script import make_clip
from recipes.camera_motion.synthetic.wear import worn

U8 = npt.NDArray[np.uint8]
RATE_FPS = 25
WIDTH, HEIGHT = 240, 136
_KINDS = ("cut", "dissolve", "fade")
_SHARES = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Transition:
    """One true transition.

    Attributes:
        kind: cut, dissolve or fade.
        first, last: frames; the new shot begins at or behind `first` and is alone from `last` on.
            Of a cut both are the first frame of the new shot.
    """

    kind: str
    first: int
    last: int


def generated_film(path: Path, seed: int, shots: int) -> list[Transition]:
    """Write a film of generated shots; return its transitions."""
    rng = np.random.default_rng((seed, 22))
    plain = [label for label in LABELS if label not in TRANSITIONS]
    parts = []
    for number in range(shots):
        label = plain[rng.integers(len(plain))]
        clip = make_clip(label, (seed, number, 22), clip_s=float(rng.uniform(2.0, 4.0)))
        parts.append(_at_rate(clip.frames, clip.rate_fps))
    frames, truth = _joined(rng, parts)
    write_video(rng, str(path), worn(rng, frames), RATE_FPS)
    return truth


def real_film(path: Path, seed: int, sources: Sequence[U8], shots: int) -> list[Transition]:
    """Write a film of stretches of real shots; return its hard cuts.

    Args:
        sources: frames of one shot each, at RATE_FPS.
    """
    rng = np.random.default_rng((seed, 23))
    frames: list[U8] = []
    truth, before = [], -1
    for _ in range(shots):
        source = rng.choice([n for n in range(len(sources)) if n != before])
        length = min(len(sources[source]), int(rng.uniform(1.0, 3.0) * RATE_FPS))
        start = int(rng.integers(len(sources[source]) - length + 1))
        if frames:
            truth.append(Transition("cut", len(frames), len(frames)))
        frames += list(sources[source][start : start + length])
        before = int(source)
    write_video(rng, str(path), np.stack(frames), RATE_FPS)
    return truth


def read_shot(path: Path, start_s: float, end_s: float) -> U8:
    """Return the frames of a stretch of a file, at RATE_FPS and the films' size."""
    with av.open(str(path)) as container:
        frames = [
            (frame.time or 0.0, frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]
    first = frames[0][0]
    times = np.array([time for time, _ in frames]) - first
    moments = np.arange(start_s, min(end_s, times[-1]), 1 / RATE_FPS)
    places = np.searchsorted(times, moments + 1e-6, side="right") - 1
    return np.stack([_fitted(frames[place][1]) for place in places])


def _at_rate(frames_THWC: U8, rate_fps: int) -> U8:
    """Repeat or drop frames, as a transfer to another rate does."""
    count = int(len(frames_THWC) / rate_fps * RATE_FPS)
    places = np.minimum(np.arange(count) * rate_fps // RATE_FPS, len(frames_THWC) - 1)
    return np.stack([_fitted(frames_THWC[place]) for place in places])


def _fitted(picture: U8) -> U8:
    """Fill the film's picture, and cut off what is over."""
    scale = max(HEIGHT / picture.shape[0], WIDTH / picture.shape[1])
    size = max(WIDTH, round(picture.shape[1] * scale)), max(HEIGHT, round(picture.shape[0] * scale))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    top, left = (large.shape[0] - HEIGHT) // 2, (large.shape[1] - WIDTH) // 2
    return np.asarray(large[top : top + HEIGHT, left : left + WIDTH], np.uint8)


def _joined(rng: np.random.Generator, parts: Sequence[U8]) -> tuple[U8, list[Transition]]:
    frames = list(parts[0])
    truth = []
    for part in parts[1:]:
        kind = str(rng.choice(_KINDS, p=_SHARES))
        if kind == "cut":
            truth.append(Transition(kind, len(frames), len(frames)))
            frames += list(part)
            continue
        half = int(rng.uniform(0.2, 0.5) * RATE_FPS)
        if kind == "dissolve":
            start, length = len(frames) - 2 * half, 2 * half
            for place, new in enumerate(_ramp(length)):
                frames[start + place] = _mixed(frames[start + place], part[place], new)
            frames += list(part[length:])
            truth.append(Transition(kind, start, start + length))
        else:
            start = len(frames) - half
            black = np.zeros_like(part[0])
            for place, new in enumerate(_ramp(half)):
                frames[start + place] = _mixed(frames[start + place], black, new)
            fresh = [_mixed(black, part[n], new) for n, new in enumerate(_ramp(half))]
            frames += [*fresh, *part[half:]]
            truth.append(Transition(kind, start, start + 2 * half))
    return np.stack(frames), truth


def _ramp(length: int) -> Iterator[float]:
    return ((place + 1) / (length + 1) for place in range(length))


def _mixed(old: U8, new: U8, share: float) -> U8:
    return np.asarray(cv2.addWeighted(old, 1 - share, new, share, 0), np.uint8)
