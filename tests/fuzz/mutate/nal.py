"""Mutations of H.264 and HEVC units, behind start codes or behind lengths (in MP4)."""

from __future__ import annotations

import re
from random import Random

from tests.fuzz.mutate import boxes, noise
from tests.fuzz.mutate.draws import change, over, splice

_START = re.compile(b"\0\0\1")
_CONFIGURATIONS = (b"avcC", b"hvcC")
_MOST = 4000
_SMALL = 80  # parameter sets are no longer


def units(data: bytes) -> list[tuple[int, int, int]]:
    """Find (begin of the prefix, begin, end) of every unit."""
    found: list[tuple[int, int, int]] = []
    for box in boxes.parse(data):
        if box.kind == b"mdat" and not box.above:
            found += _behind_lengths(data, box.body, box.end)
        elif box.kind in _CONFIGURATIONS:
            found.append((box.body, box.body, box.end))
    if not found:
        starts = [match.start() for match in _START.finditer(data)][:_MOST]
        ends = [*starts[1:], len(data)]
        found = [(a, a + 3, b) for a, b in zip(starts, ends, strict=False) if b > a + 3]
    return found


def _behind_lengths(data: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
    found = []
    while at + 5 < end and len(found) < _MOST:
        length = int.from_bytes(data[at : at + 4], "big")
        if not 0 < length <= end - at - 4:
            break
        found.append((at, at + 4, at + 4 + length))
        at += 4 + length
    return found


def mutate(data: bytes, draw: Random) -> bytes:
    """Mutate a stream once to four times."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = units(data)
        if not places:
            return noise.damage(data, draw)
        data = draw.choice(_WAYS)(data, draw, places)
    return data


def _type(data: bytes, draw: Random, places: list[tuple[int, int, int]]) -> bytes:
    """Change a unit's header: type, reference, layer."""
    _, begin, _ = draw.choice(places)
    if draw.random() < 0.5:
        return over(data, begin, bytes((draw.randrange(128),)))
    return change(data, draw, begin, draw.choice((1, 2)))


def _parameters(data: bytes, draw: Random, places: list[tuple[int, int, int]]) -> bytes:
    """Flip bits in the first bytes of a short unit: a parameter set, most likely."""
    small = [place for place in places if place[2] - place[1] <= _SMALL] or places
    _, begin, end = draw.choice(small)
    for _ in range(draw.choice((1, 2, 5))):
        at = draw.randrange(begin, end)
        data = over(data, at, bytes((data[at] ^ 1 << draw.randrange(8),)))
    return data


def _slice(data: bytes, draw: Random, places: list[tuple[int, int, int]]) -> bytes:
    """Flip bits at the beginning of any unit: the header of a slice, most likely."""
    _, begin, end = draw.choice(places)
    at = draw.randrange(begin, min(end, begin + 12))
    return over(data, at, bytes((data[at] ^ 1 << draw.randrange(8),)))


def _prefix(data: bytes, draw: Random, places: list[tuple[int, int, int]]) -> bytes:
    """Lie about a length, or break a start code."""
    prefix, begin, _ = draw.choice(places)
    return change(data, draw, prefix, max(1, begin - prefix))


def _order(data: bytes, draw: Random, places: list[tuple[int, int, int]]) -> bytes:
    """Drop a unit, repeat it, or put another in its place."""
    (at, _, end), (other, _, other_end) = draw.choice(places), draw.choice(places)
    whole, another = data[at:end], data[other:other_end]
    return splice(data, at, end, draw.choice((b"", whole * 2, another, another + whole)))


def _emulation(data: bytes, draw: Random, places: list[tuple[int, int, int]]) -> bytes:
    """Put what reads as a start code, or as its escape, into a unit."""
    _, begin, end = draw.choice(places)
    return over(data, draw.randrange(begin, end), draw.choice((b"\0\0\1", b"\0\0\3", b"\0\0\0")))


_WAYS = (_type, _parameters, _parameters, _slice, _slice, _prefix, _order, _emulation)
