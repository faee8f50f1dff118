"""Files that are broken, hostile or no video at all, made from healthy ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

HUGE = 16000  # pixels a side; FFmpeg would take it, and allocate 400 MB for one frame

_PAGE = b"""<!DOCTYPE html>
<html><head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The requested URL was not found on this server.</p></body></html>
"""


def cut(healthy: Path, path: Path, part: float) -> None:
    """The first part of a file, as an interrupted download leaves it."""
    data = healthy.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])


def punch(healthy: Path, path: Path, start: float, stop: float) -> None:
    """Zeros from one part of the file to another, as a lost disk block leaves them."""
    data = bytearray(healthy.read_bytes())
    first, last = int(len(data) * start), int(len(data) * stop)
    data[first:last] = bytes(last - first)
    path.write_bytes(data)


def noise(path: Path, size_bytes: int) -> None:
    """Random bytes, always the same."""
    path.write_bytes(np.random.default_rng(7).bytes(size_bytes))


def web_page(path: Path) -> None:
    """What a failed download stores under a video's name."""
    path.write_bytes(_PAGE)


def enlarge(healthy: Path, path: Path) -> None:
    """A Motion-JPEG MP4 whose every header says 16000 x 16000 pixels."""
    data = bytearray(healthy.read_bytes())
    side = struct.pack(">H", HUGE)
    # sample description: 4 bytes of type, then width and height 24 bytes further on
    entry = data.index(b"mp4v") + 28
    data[entry : entry + 4] = side * 2
    # track header: 16.16 fixed point, at the end of the box
    box = data.index(b"tkhd") - 4
    end = box + int.from_bytes(data[box : box + 4], "big")
    data[end - 8 : end] = (side + b"\0\0") * 2
    # each picture: marker, length, precision, then height and width
    found = data.find(b"\xff\xc0\x00\x11\x08")
    while found >= 0:
        data[found + 5 : found + 9] = side * 2
        found = data.find(b"\xff\xc0\x00\x11\x08", found + 9)
    path.write_bytes(data)
