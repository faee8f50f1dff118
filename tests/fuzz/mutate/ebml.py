"""Mutations of Matroska and WebM: ids, sizes, numbers, blocks and their lacing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutate import noise
from tests.fuzz.mutate.draws import change, odd_float, odd_number, over, pick, splice

_MASTERS = {
    0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x55B0,
    0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB, 0xB7, 0x1254C367, 0x7373, 0x63C0, 0x67C8, 0x6D80, 0x6240,
}  # fmt: skip
_BLOCKS = (0xA3, 0xA1)
_DURATION, _SCALE, _TIME = 0x4489, 0x2AD7B1, 0xE7
TIMES = (_DURATION, _SCALE, _TIME, 0x23E383, 0x9B, 0xB3, 0xFB, 0x56AA, 0x56BB, 0x55EE)
_TRACK = 0xAE
_UNKNOWN = {1: 0xFF, 8: 0x01FFFFFFFFFFFFFF}
_MOST = 5000


@dataclass(frozen=True)
class Element:
    """Place of one element.

    Attributes:
        at, size_at, body, end: offsets of its id, its size, its content and its end.
        above: the elements around it, outermost first.
    """

    at: int
    size_at: int
    body: int
    end: int
    kind: int
    above: tuple[Element, ...] = ()


def parse(data: bytes) -> list[Element]:
    """Find all elements of a file; what makes no sense ends the search on its level."""
    found: list[Element] = []
    for element in _level(data, 0, len(data), ()):
        found.append(element)
        if len(found) >= _MOST:
            break
    return found


def _level(data: bytes, at: int, end: int, above: tuple[Element, ...]) -> Iterator[Element]:
    while at < end:
        wide = _vint_bytes(data, at)
        size_wide = _vint_bytes(data, at + wide)
        if wide > 4 or not wide or not size_wide:
            return
        size_at, body = at + wide, at + wide + size_wide
        size = int.from_bytes(data[size_at:body], "big") & (1 << 7 * size_wide) - 1
        if size == (1 << 7 * size_wide) - 1:
            size = end - body
        if body + size > end:
            return
        kind = int.from_bytes(data[at:size_at], "big")
        element = Element(at, size_at, body, body + size, kind, above)
        yield element
        if kind in _MASTERS and len(above) < 12:
            yield from _level(data, body, body + size, (*above, element))
        at = body + size


def _vint_bytes(data: bytes, at: int) -> int:
    """Return the bytes of the number at an offset; 0 where there is none."""
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0


def _vint(value: int, wide: int = 8) -> bytes:
    """Write a size in `wide` bytes."""
    most = (1 << 7 * wide) - 2
    return (min(value, most) | 1 << 7 * wide).to_bytes(wide, "big")


def mutate(data: bytes, draw: Random) -> bytes:
    """Mutate a file once to three times."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        elements = parse(data)
        if not elements:
            return noise.numbers(data, draw)
        data = draw.choice(_WAYS)(data, draw, elements)
    return data


def times(data: bytes, draw: Random) -> bytes:
    """Change durations, time scales and the times of clusters and blocks."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        elements = parse(data)
        if draw.random() < 0.4:
            data = _block_time(data, draw, elements)
        else:
            data = _value(data, draw, [e for e in elements if e.kind in TIMES])
    return data


def _id(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    element, other = draw.choice(elements), draw.choice(elements)
    wide = element.size_at - element.at
    known = other.kind.to_bytes(other.size_at - other.at, "big")
    return splice(data, element.at, element.size_at, draw.choice((known, draw.randbytes(wide))))


def _size(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    """Lie about a size: unknown, none, huge, nearly right, in more bytes than needed."""
    element = draw.choice(elements)
    how = draw.randrange(4)
    if how == 0:
        wide = draw.choice(tuple(_UNKNOWN))
        return splice(data, element.size_at, element.body, _UNKNOWN[wide].to_bytes(wide, "big"))
    if how == 1:
        new = _vint(odd_number(draw, 7, element.end - element.body))
        return splice(data, element.size_at, element.body, new)
    if how == 2:
        return over(data, element.size_at, b"\0")  # longer than any number may be
    return change(data, draw, element.size_at, element.body - element.size_at)


def _replace(data: bytes, element: Element, new: bytes) -> bytes:
    """Put bytes in an element's place, and correct the sizes around it."""
    grown = splice(data, element.at, element.end, new)
    for outer in element.above:
        wide = outer.body - outer.size_at
        size = outer.end - outer.body + len(grown) - len(data)
        if 0 <= size < (1 << 7 * wide) - 1:
            grown = over(grown, outer.size_at, _vint(size, wide))
    return grown


def _order(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    """Drop an element, repeat it, or put another one of the file in its place."""
    element, other = draw.choice(elements), draw.choice(elements)
    whole, another = data[element.at : element.end], data[other.at : other.end]
    more = draw.choice((1, 1, 3, 100)) if len(whole) < 2000 else 1
    new = draw.choice((b"", whole * (1 + more), another, whole + another, another + whole))
    return _replace(data, element, new)


def _nest(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    """Put an element into many others of one kind."""
    element = draw.choice(elements)
    inside = data[element.at : element.end]
    if len(inside) > 20_000:
        inside = b""
    kind = draw.choice((0x1F43B675, 0xA0, 0xAE, 0x67C8, element.kind))
    name = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    for _ in range(draw.choice((2, 20, 500))):
        inside = name + _vint(len(inside)) + inside
    return _replace(data, element, inside)


def _value(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    """Change the number in an element."""
    element = pick(draw, [e for e in elements if 0 < e.end - e.body <= 8])
    if element is None:
        return noise.numbers(data, draw)
    wide = element.end - element.body
    if element.kind == _DURATION and wide in (4, 8):
        return over(data, element.body, odd_float(draw, wide))
    return change(data, draw, element.body, wide)


def _block_time(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    block = pick(draw, [e for e in elements if e.kind in _BLOCKS])
    return data if block is None else change(data, draw, block.body + 1, 2)


def _block(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    """Change a block's track, flags, lacing and frame sizes."""
    block = pick(draw, [e for e in elements if e.kind in _BLOCKS])
    if block is None or block.end - block.body < 6:
        return _value(data, draw, elements)
    if draw.random() < 0.3:
        data = change(data, draw, block.body, 1)
    lacing = draw.choice((0x02, 0x04, 0x06, 0x08))
    data = over(data, block.body + 3, bytes((data[block.body + 3] ^ lacing,)))
    return change(data, draw, block.body + draw.choice((4, 4, 5)), 1)


def _encoding(data: bytes, draw: Random, elements: list[Element]) -> bytes:
    """Declare a track's blocks compressed, by an algorithm that they may not be in."""
    track = pick(draw, [e for e in elements if e.kind == _TRACK])
    if track is None:
        return _value(data, draw, elements)
    settings = zlib.compress(bytes(1000)) if draw.random() < 0.5 else draw.randbytes(9)
    compression = b"\x42\x54\x81" + bytes((draw.choice((0, 1, 2, 3, 99)),))
    compression += b"\x42\x55" + _vint(len(settings)) + settings
    inner = b"\x50\x32\x81" + bytes((draw.choice((1, 2, 3)),))
    inner += b"\x50\x34" + _vint(len(compression)) + compression
    encoding = b"\x62\x40" + _vint(len(inner)) + inner
    whole = b"\x6d\x80" + _vint(len(encoding)) + encoding
    content = data[track.body : track.end] + whole
    return _replace(data, track, b"\xae" + _vint(len(content)) + content)


_WAYS = (_id, _size, _order, _nest, _value, _value, _block, _block_time, _encoding)
