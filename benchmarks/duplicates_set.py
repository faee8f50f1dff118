"""Films with partial copies of each other, and where these are.

A source film is generated shots around a real one; a host film is generated shots with one or two
stretches of sources in it, altered. Some films of either kind begin with one common intro, some
have black frames; further films share nothing. What is common by intro or black frames is no copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from recipes.camera_motion.synthetic.labels import LABELS
from recipes.camera_motion.synthetic.script import make_clip

Frame = npt.NDArray[np.uint8]
RATE_FPS = 25
WIDTH, HEIGHT = 320, 180
ALTERATIONS = ("recoded", "scaled", "cropped", "recoloured", "captioned", "faster", "slower", "all")


@dataclass(frozen=True)
class Copy:
    """A stretch of one film that another holds.

    Attributes:
        source_s, host_s: where, from and to, seconds.
    """

    source: str
    source_s: tuple[float, float]
    host: str
    host_s: tuple[float, float]
    altered: str
    speed: float


class Footage:
    """Shots that are each used once.

    Args:
        real: video files.
        seed: of the generated shots.
    """

    def __init__(self, real: Sequence[Path], seed: int) -> None:
        self._real = list(real)
        self._seed = seed
        self._drawn = 0

    def real(self) -> list[Frame]:
        """Return the frames of the next file; of a generated shot when none is left."""
        return list(read(self._real.pop(0))) if self._real else self.generated(6.0)

    def generated(self, length_s: float) -> list[Frame]:
        """Render a shot; its motion takes turns, so that half of them have one in common."""
        self._drawn += 1
        label = LABELS[self._drawn * 5 % len(LABELS)]
        shot = make_clip(label, (self._seed, self._drawn), clip_s=length_s)
        at = (np.arange(round(length_s * RATE_FPS)) * shot.rate_fps / RATE_FPS).astype(int)
        return [_fitted(shot.frames[min(n, len(shot.frames) - 1)]) for n in at]


def read(path: Path) -> Iterator[Frame]:
    """Yield the pictures of a file at RATE_FPS."""
    with av.open(str(path)) as file:
        number = 0
        first: float | None = None
        for frame in file.decode(video=0):
            first = frame.time if first is None else first
            while number / RATE_FPS <= frame.time - first + 1e-6:
                yield _fitted(frame.to_ndarray(format="rgb24"))
                number += 1


def _fitted(picture: Frame) -> Frame:
    """Fill the films' size, what does not fit is cut off."""
    height, width, _ = picture.shape
    scale = max(WIDTH / width, HEIGHT / height)
    size = (max(WIDTH, round(width * scale)), max(HEIGHT, round(height * scale)))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - WIDTH) // 2, (size[1] - HEIGHT) // 2
    return np.ascontiguousarray(large[top : top + HEIGHT, left : left + WIDTH], np.uint8)


def make_set(
    folder: Path, real: Sequence[Path], seed: int, sources: int, others: int
) -> list[Copy]:
    """Write the films, and return the copies among them."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    footage = Footage(real, seed)
    intro = footage.generated(5.0)
    black = [np.full((HEIGHT, WIDTH, 3), 16, np.uint8)] * (3 * RATE_FPS)
    films = {}
    for number in range(sources):
        shots = [footage.generated(draw.uniform(4, 7)) for _ in range(3)]
        shots.insert(1 + number % 2, footage.real())
        opening = [intro, black, []][number % 3]
        films[f"source{number:02}"] = [*opening, *(f for shot in shots for f in shot)]
        _write(folder / f"source{number:02}.mp4", films[f"source{number:02}"], 20)
    copies = []
    for number in range(sources):
        name = f"host{number:02}"
        frames = list([black, intro, []][number % 3])
        for place in range(1 + number % 2):
            frames += footage.generated(draw.uniform(4, 9))
            kind = ALTERATIONS[(number + 3 * place) % len(ALTERATIONS)]
            source = f"source{(number * 3 + place * 7) % sources:02}"
            copy, pictures = _copied(draw, films[source], kind, number % 3 == 0)
            span_s = (len(frames) / RATE_FPS, (len(frames) + len(pictures)) / RATE_FPS)
            copies.append(Copy(source, copy[0], name, span_s, kind, copy[1]))
            frames += pictures
        frames += footage.generated(draw.uniform(4, 9))
        _write(folder / f"{name}.mp4", frames, 30 if number % 2 else 23)
    for number in range(others):
        frames = list([intro, [], black][number % 3])
        for _ in range(5):
            frames += footage.generated(draw.uniform(4, 7))
        _write(folder / f"other{number:02}.mp4", frames, 26)
    return copies


def _copied(
    draw: np.random.Generator, film: list[Frame], kind: str, is_long: bool
) -> tuple[tuple[tuple[float, float], float], list[Frame]]:
    """Cut a stretch out of a film, past its opening, and alter it."""
    opening = 5 * RATE_FPS
    length = min(
        int(draw.uniform(*((14, 20) if is_long else (8, 14))) * RATE_FPS), len(film) - opening
    )
    first = int(draw.integers(opening, len(film) - length + 1))
    speed = {"faster": draw.uniform(1.1, 1.25), "slower": draw.uniform(0.8, 0.9)}.get(kind, 1.0)
    if kind == "all":
        speed = float(draw.choice([0.9, 1.1]))
    at = first + np.arange(int(length / speed)) * speed
    alter = _alteration(draw, kind)
    pictures = [alter(film[min(int(n), len(film) - 1)]) for n in at]
    return ((first / RATE_FPS, (first + length) / RATE_FPS), float(speed)), pictures


def _alteration(draw: np.random.Generator, kind: str) -> Callable[[Frame], Frame]:
    steps: list[Callable[[Frame], Frame]] = []
    if kind in ("scaled", "all"):
        steps.append(lambda f: _fitted(np.asarray(cv2.resize(f, (128, 72)), np.uint8)))
    if kind in ("cropped", "all"):
        share = draw.uniform(0.04, 0.1)
        top, left = int(HEIGHT * share), int(WIDTH * share)
        steps.append(lambda f: _fitted(f[top : HEIGHT - top, left : WIDTH - left]))
    if kind in ("recoloured", "all"):
        gain, lift = draw.uniform(0.75, 1.2, 3), draw.uniform(-15, 15)
        steps.append(lambda f: np.clip(f * gain + lift, 0, 255).astype(np.uint8))
    if kind in ("captioned", "all"):
        text = "".join(draw.choice(list("ABCDEFGHIKLMNOPRSTUVW "), 16))
        steps.append(lambda f: _captioned(f, text))

    def alter(frame: Frame) -> Frame:
        for step in steps:
            frame = step(frame)
        return frame

    return alter


def _captioned(frame: Frame, text: str) -> Frame:
    frame = frame.copy()
    cv2.putText(frame, text, (14, 164), cv2.FONT_HERSHEY_DUPLEX, 0.7, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.putText(
        frame, text, (14, 164), cv2.FONT_HERSHEY_DUPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA
    )
    return frame


def _write(path: Path, frames: Sequence[Frame], quality: int) -> None:
    with av.open(str(path), "w") as out:
        options = {"crf": str(quality), "preset": "veryfast", "threads": "1"}
        stream = out.add_stream("libx264", rate=Fraction(RATE_FPS), options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
