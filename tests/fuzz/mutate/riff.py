"""Mutations of AVI: chunks, lists, headers and the index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutate import noise
from tests.fuzz.mutate.draws import change, over, pick, splice

_LISTS = (b"RIFF", b"LIST")
_HEADERS = (b"avih", b"strh", b"strf", b"idx1", b"indx", b"dmlh", b"vprp")
_MOST = 5000


@dataclass(frozen=True)
class Chunk:
    """Place of one chunk; `above` are the offsets of the lists around it."""

    at: int
    end: int
    kind: bytes
    above: tuple[int, ...] = ()


def parse(data: bytes) -> list[Chunk]:
    """Find all chunks; what makes no sense ends the search on its level."""
    found: list[Chunk] = []
    for chunk in _level(data, 0, len(data), ()):
        found.append(chunk)
        if len(found) >= _MOST:
            break
    return found


def _level(data: bytes, at: int, end: int, above: tuple[int, ...]) -> Iterator[Chunk]:
    while at + 8 <= end:
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > end:
            return
        yield Chunk(at, at + 8 + size, kind, above)
        if kind in _LISTS and len(above) < 8:
            yield from _level(data, at + 12, at + 8 + size, (*above, at))
        at += 8 + size + size % 2


def mutate(data: bytes, draw: Random) -> bytes:
    """Mutate a file once to three times."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        chunks = parse(data)
        if not chunks:
            return noise.numbers(data, draw)
        data = draw.choice(_WAYS)(data, draw, chunks)
    return data


def _size(data: bytes, draw: Random, chunks: list[Chunk]) -> bytes:
    return change(data, draw, draw.choice(chunks).at + 4, 4, "little")


def _kind(data: bytes, draw: Random, chunks: list[Chunk]) -> bytes:
    one, other = draw.choice(chunks), draw.choice(chunks)
    return over(data, one.at, draw.choice((other.kind, b"LIST", b"JUNK", draw.randbytes(4))))


def _order(data: bytes, draw: Random, chunks: list[Chunk]) -> bytes:
    """Drop a chunk, repeat it, or put another in its place; sizes around it are corrected."""
    one, other = draw.choice(chunks), draw.choice(chunks)
    whole, another = data[one.at : one.end], data[other.at : other.end]
    new = draw.choice((b"", whole * 2, another, whole + another))
    grown = splice(data, one.at, one.end, new)
    for at in one.above:
        size = int.from_bytes(grown[at + 4 : at + 8], "little") + len(grown) - len(data)
        if 0 <= size < 1 << 32:
            grown = over(grown, at + 4, size.to_bytes(4, "little"))
    return grown


def _field(data: bytes, draw: Random, chunks: list[Chunk]) -> bytes:
    """Change numbers in a header or in the index: rate, scale, length, size, codec."""
    chunk = pick(draw, [c for c in chunks if c.kind in _HEADERS and c.end - c.at > 12])
    if chunk is None:
        return _size(data, draw, chunks)
    for _ in range(draw.choice((1, 1, 3))):
        words = min((chunk.end - chunk.at - 8) // 4, draw.choice((4, 16, 10_000)))
        at = chunk.at + 8 + 4 * draw.randrange(max(1, words))
        data = change(data, draw, at, draw.choice((2, 4, 4)), "little")
    return data


_WAYS = (_size, _kind, _order, _field, _field, _field)
