"""Odd numbers, and edits of bytes that stay inside of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import Literal, TypeVar

Item = TypeVar("Item")
LARGEST_BYTES = 400_000  # a mutated file grows no further


def odd_number(draw: Random, width: int, near: int = 0) -> int:
    """Draw an integer of `width` bytes at which parsers go wrong, or near another."""
    top = 1 << (8 * width)
    edges = (0, 1, 2, 7, 8, 255, top - 1, top - 2, top // 2, top // 2 - 1, top // 2 + 1, top // 4)
    how = draw.randrange(4)
    if how == 0:
        return near + draw.choice((-8, -1, 1, 8, near)) & top - 1
    if how == 1:
        return near ^ 1 << draw.randrange(8 * width)
    return draw.choice(edges) if how == 2 else draw.randrange(top)


def odd_float(draw: Random, width: int) -> bytes:
    """Draw a big-endian float of 4 or 8 bytes: not a number, infinite, negative, tiny, huge."""
    value = draw.choice((float("nan"), float("inf"), -1.0, -0.0, 1e-300, 1e300, 4e9, 0.5))
    if width == 4:
        value = max(min(value, 3e38), -3e38)
    return struct.pack(">d" if width == 8 else ">f", value)


def change(
    data: bytes,
    draw: Random,
    at: int,
    width: int,
    order: Literal["big", "little"] = "big",
) -> bytes:
    """Put an odd number over `width` bytes; nothing happens beyond the end."""
    if at < 0 or width < 1 or at + width > len(data):
        return data
    old = int.from_bytes(data[at : at + width], order)
    return over(data, at, odd_number(draw, width, old).to_bytes(width, order))


def over(data: bytes, at: int, new: bytes) -> bytes:
    """Put bytes over others; what would reach past the end is left out."""
    if not 0 <= at <= len(data):
        return data
    return (data[:at] + new + data[at + len(new) :])[: len(data)]


def splice(data: bytes, begin: int, end: int, new: bytes) -> bytes:
    """Put bytes in the place of others, unless the whole becomes too large."""
    whole = data[:begin] + new + data[max(begin, end) :]
    return whole if len(whole) <= LARGEST_BYTES else data


def pick(draw: Random, items: Sequence[Item]) -> Item | None:
    """Draw one of some items, or None where there are none."""
    return draw.choice(items) if items else None
