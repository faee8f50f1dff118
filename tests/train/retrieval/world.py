"""A small world: coloured squares before walls, each with a sentence."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import av
import numpy as np

COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 235),
           "yellow": (235, 220, 50), "cyan": (40, 215, 225)}  # fmt: skip
WALLS = {"black": (10, 10, 10), "grey": (120, 120, 120), "white": (240, 240, 240),
         "brown": (110, 60, 20)}  # fmt: skip
DOINGS = ("stands still", "blinks")
SIDE, FRAMES, RATE = 32, 8, 4
HELD_OUT = 7
"""Every so many combinations of words, one is in no training clip."""


@dataclass(frozen=True)
class Scene:
    """A combination of words.

    Attributes:
        number: of all combinations, from 0.
    """

    number: int
    colour: str
    wall: str
    doing: str

    @property
    def caption(self) -> str:
        return f"a {self.colour} square {self.doing} before a {self.wall} wall"

    @property
    def is_held_out(self) -> bool:
        """True for one in seven: each word occurs in others."""
        return self.number % HELD_OUT == 3


SCENES = tuple(
    Scene(number, *words) for number, words in enumerate(product(COLOURS, WALLS, DOINGS))
)


def write_world(
    folder: Path, each: int, scenes: tuple[Scene, ...] = SCENES, tested: int = 1
) -> Path:
    """Write clips and their list: `each` training clips of a scene, one to validate, some to test.

    Of held-out scenes there are the test clips alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for scene in scenes:
        rng = np.random.default_rng(scene.number)
        learnt = [] if scene.is_held_out else [*["train"] * each, "val"]
        splits = [*learnt, *["test"] * tested]
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
    wall = np.array(WALLS[scene.wall]) + rng.integers(-10, 11, (SIDE, SIDE, 1))
    colour = np.clip(np.array(COLOURS[scene.colour]) + rng.integers(-15, 16, 3), 0, 255)
    size, (y, x) = int(rng.integers(20, 25)), rng.integers(0, SIDE - 20, 2)
    frames = np.repeat(np.clip(wall, 0, 255).astype(np.uint8)[None], FRAMES, axis=0)
    shown = np.arange(FRAMES) % 4 < 2 if scene.doing == "blinks" else np.ones(FRAMES, bool)
    frames[shown, y : y + size, x : x + size] = colour
    return frames


def _write(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
