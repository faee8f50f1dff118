"""Sizes of the checks of step b: on a GPU, and in a rehearsal."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """A block's input: clips, tokens, channels, and the rank of the time step."""

    batch: int
    length: int
    channels: int
    rank: int = 12


class Plan(NamedTuple):
    """Sizes of all checks.

    Attributes:
        blocks: inputs of the block, with gradients.
        segments: inputs that are cut into segments, and not; and lengths of segments.
        scan_length, norm_widths: of the scan and of the norm alone.
        frames: clips, frames, and the side of a frame in pixels.
        full: an input that fills a GPU, for results that must be equal from run to run.
    """

    blocks: tuple[Shape, ...]
    segments: tuple[tuple[Shape, ...], tuple[int, ...]]
    scan_length: int
    norm_widths: tuple[int, ...]
    frames: tuple[int, int, int]
    full: Shape


# The three models' channels and ranks: what these compile is not compiled again when it is timed.
ON_GPU = Plan(
    (
        *(Shape(2, length, 384) for length in (1, 3, 64, 65, 1569)),
        Shape(40, 197, 768, 24),
        Shape(3, 1569, 1152, 36),
        *(Shape(2, length, 72) for length in (3, 197)),  # channels that fill no program
    ),
    ((Shape(2, 333, 384), Shape(2, 333, 768, 24), Shape(2, 333, 1152, 36)), (2, 32, 100)),
    333,
    (192, 384, 576, 40),
    (3, 8, 224),
    Shape(64, 1569, 384),
)
REHEARSED = Plan(
    (Shape(1, 3, 24, 3),), ((Shape(1, 4, 24, 3),), (2,)), 3, (40,), (1, 2, 32), Shape(1, 1, 24, 3)
)  # fmt: skip
