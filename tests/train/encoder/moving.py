"""Small videos of a square that moves over noise: four classes, told apart by motion alone."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
SIDE, FRAMES, RATE = 48, 16, 8


def write_moving(
    folder: Path,
    per_class: dict[str, int],
    seed: int = 0,
    seconds: int = FRAMES // RATE,
    split_of: Callable[[str], str] | None = None,
) -> Path:
    """Videos and their list.

    Args:
        per_class: videos of each split in each class; the split "" is left to be drawn.
        seconds: length of each video.
        split_of: not used where None; otherwise what the list says instead of the split.

    Returns:
        The list, with the columns uri, label, split.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = []
    for split, count in per_class.items():
        for number in range(count):
            for label in STEPS:
                name = f"{label}_{split}{number}.mp4"
                write_video(folder / name, moving_frames(rng, label, seconds * RATE))
                rows.append([name, label, split if split_of is None else split_of(name)])
    path = folder / "clips.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri", "label", "split"])
        writer.writerows(rows)
    return path


def moving_frames(rng: np.random.Generator, label: str, count: int) -> np.ndarray:
    """uint8 THWC: a bright square that wraps around, on a dark background."""
    colour = rng.integers(120, 256, 3)
    background = rng.integers(0, 60, (SIDE, SIDE, 3))
    size, (y, x) = rng.integers(10, 16), rng.integers(0, SIDE, 2)
    speed = rng.integers(2, 4)
    frames = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for time in range(count):
        picture = background.copy()
        dy, dx = (step * speed * time for step in STEPS[label])
        rows, columns = ((at + np.arange(size)) % SIDE for at in (y + dy, x + dx))
        picture[np.ix_(rows, columns)] = colour
        frames[time] = picture
    return frames


def write_video(path: Path, frames: np.ndarray) -> None:
    """MPEG-4 at 8 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
