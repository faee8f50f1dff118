"""A small world: coloured squares before noise, each with a sentence."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import av
import numpy as np

COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 235),
           "yellow": (235, 220, 50)}  # fmt: skip
PLACES = {"left": (8, 0), "right": (8, 16), "top": (0, 8), "bottom": (16, 8)}
DOINGS = ("stands still", "blinks")
SIDE, FRAMES, RATE = 32, 8, 4
HELD_OUT = 8
"""Every so many combinations of words, one is in no training clip."""


@dataclass(frozen=True)
class Scene:
    """A combination of words.

    Attributes:
        number: of all combinations, from 0.
    """

    number: int
    colour: str
    place: str
    doing: str

    @property
    def caption(self) -> str:
        return f"a {self.colour} square at the {self.place} {self.doing}"

    @property
    def is_held_out(self) -> bool:
        """True for one in eight: each word occurs in others."""
        return self.number % HELD_OUT == 3


SCENES = tuple(
    Scene(number, *words) for number, words in enumerate(product(COLOURS, PLACES, DOINGS))
)


def write_world(folder: Path, each: int, scenes: tuple[Scene, ...] = SCENES) -> Path:
    """Write clips and their list: `each` training clips of a scene, one to validate, one to test.

    Of held-out scenes there is the test clip alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for scene in scenes:
        rng = np.random.default_rng(scene.number)
        splits = ["test"] if scene.is_held_out else [*["train"] * each, "val", "test"]
        for number, split in enumerate(splits):
            name = f"{scene.number:03d}_{split}{number}.mp4"
            _write(folder / name, _frames(rng, scene))
            rows.append([name, scene.caption, split])
    path = folder / "captions.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri", "caption", "split"])
        writer.writerows(rows)
    return path


def _frames(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """uint8 THWC: one square."""
    background = rng.integers(0, 50, (SIDE, SIDE, 3)).astype(np.uint8)
    colour = np.clip(np.array(COLOURS[scene.colour]) + rng.integers(-15, 16, 3), 0, 255)
    size = int(rng.integers(10, 15))
    y, x = np.array(PLACES[scene.place]) + rng.integers(-1, 3, 2)
    frames = np.repeat(background[None], FRAMES, axis=0)
    shown = np.arange(FRAMES) % 4 < 2 if scene.doing == "blinks" else np.ones(FRAMES, bool)
    frames[shown, max(0, y) : y + size, max(0, x) : x + size] = colour
    return frames


def _write(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
