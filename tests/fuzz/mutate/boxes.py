"""Mutations of ISO base media files (MP4, MOV, 3GP): sizes, types, order, tables, nesting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutate import noise
from tests.fuzz.mutate.draws import change, odd_number, over, pick, splice

# Bytes between a box's header and the boxes in it.
_PARENTS = {
    **dict.fromkeys(
        (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex",
         b"moof", b"traf", b"mfra", b"ilst"), 0
    ),
    b"meta": 4, b"stsd": 8, b"dref": 8,
    **dict.fromkeys((b"avc1", b"hvc1", b"hev1", b"av01", b"vp09", b"mp4v", b"jpeg", b"apcn"), 78),
}  # fmt: skip
_TABLES = (
    b"stts", b"ctts", b"stsc", b"stsz", b"stz2", b"stco", b"co64", b"stss", b"elst", b"trun",
    b"sidx", b"sdtp", b"sbgp", b"sgpd",
)  # fmt: skip
_RECORDS = (
    b"mdhd", b"tkhd", b"mvhd", b"hdlr", b"tfhd", b"tfdt", b"trex", b"mehd", b"mfhd", b"pasp",
    b"colr", b"clap", b"avcC", b"hvcC", b"av1C", b"vpcC", b"esds", b"stsd", b"ftyp", b"dref",
)  # fmt: skip
TIMES = (
    b"stts", b"ctts", b"elst", b"mdhd", b"tkhd", b"mvhd", b"trun", b"tfhd", b"tfdt", b"trex",
    b"mehd", b"sidx",
)  # fmt: skip
_DEEPEST = 1500
_MOST_BOXES = 5000


@dataclass(frozen=True)
class Box:
    """Place of one box.

    Attributes:
        at, body, end: offsets of its size, of what follows its type, and of its end.
        above: offsets of the boxes around it, outermost first.
    """

    at: int
    body: int
    end: int
    kind: bytes
    above: tuple[int, ...] = ()


def parse(data: bytes) -> list[Box]:
    """Find all boxes of a file; what makes no sense ends the search on its level."""
    found: list[Box] = []
    for box in _level(data, 0, len(data), ()):
        found.append(box)
        if len(found) >= _MOST_BOXES:
            break
    return found


def _level(data: bytes, at: int, end: int, above: tuple[int, ...]) -> Iterator[Box]:
    while at + 8 <= end:
        size, body = int.from_bytes(data[at : at + 4], "big"), at + 8
        kind = data[at + 4 : body]
        if size == 1 and at + 16 <= end:
            size, body = int.from_bytes(data[body : body + 8], "big"), at + 16
        elif size == 0:
            size = end - at
        if size < body - at or at + size > end:
            return
        yield Box(at, body, at + size, kind, above)
        if kind in _PARENTS and len(above) < 20:
            yield from _level(data, body + _PARENTS[kind], at + size, (*above, at))
        at += size


def mutate(data: bytes, draw: Random) -> bytes:
    """Mutate a file once to three times."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        boxes = parse(data)
        if not boxes:
            return noise.numbers(data, draw)
        data = draw.choice(_WAYS)(data, draw, boxes)
    return data


def _size(data: bytes, draw: Random, boxes: list[Box]) -> bytes:
    """Lie about a size: none, to the end, 64 bits, huge, negative, nearly right."""
    box = draw.choice(boxes)
    how = draw.randrange(3)
    if how == 0:  # a 64-bit size in front of the body
        large = odd_number(draw, 8, box.end - box.at + 8).to_bytes(8, "big")
        return splice(data, box.at, box.body, b"\0\0\0\1" + box.kind + large)
    if how == 1:
        size = draw.choice((0, 1, 7, 8, 9, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        return over(data, box.at, size.to_bytes(4, "big"))
    return change(data, draw, box.at, 4)


def _kind(data: bytes, draw: Random, boxes: list[Box]) -> bytes:
    box = draw.choice(boxes)
    known = draw.choice((*_PARENTS, *_TABLES, *_RECORDS, b"free", b"mdat", b"cmov", b"sinf"))
    return over(data, box.at + 4, draw.choice((known, draw.choice(boxes).kind, draw.randbytes(4))))


def _replace(data: bytes, box: Box, new: bytes) -> bytes:
    """Put bytes in a box's place, and correct the sizes around it."""
    grown = splice(data, box.at, box.end, new)
    for at in box.above:
        size = int.from_bytes(grown[at : at + 4], "big") + len(grown) - len(data)
        if 8 <= size < 1 << 32:
            grown = over(grown, at, size.to_bytes(4, "big"))
    return grown


def _order(data: bytes, draw: Random, boxes: list[Box]) -> bytes:
    """Drop a box, repeat it, or put another one of the file in its place."""
    box, other = draw.choice(boxes), draw.choice(boxes)
    whole, another = data[box.at : box.end], data[other.at : other.end]
    times = draw.choice((1, 1, 3, 100)) if len(whole) < 2000 else 1
    new = draw.choice((b"", whole * (1 + times), another, whole + another, another + whole))
    return _replace(data, box, new)


def _nest(data: bytes, draw: Random, boxes: list[Box]) -> bytes:
    """Put a box into many others."""
    box = draw.choice(boxes)
    inside, depth = data[box.at : box.end], draw.choice((2, 20, _DEEPEST))
    if len(inside) > 20_000:
        inside = b""
    kind = draw.choice((b"moov", b"trak", b"udta", b"edts", box.kind))
    size = len(inside)
    heads = [(size + 8 * level).to_bytes(4, "big") + kind for level in range(depth, 0, -1)]
    return _replace(data, box, b"".join(heads) + inside)


def _field(data: bytes, draw: Random, boxes: list[Box]) -> bytes:
    """Change a few numbers in one of the tables or headers."""
    return _fields(data, draw, [b for b in boxes if b.kind in _TABLES + _RECORDS])


def times(data: bytes, draw: Random) -> bytes:
    """Change numbers in the boxes that hold times."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        data = _fields(data, draw, [box for box in parse(data) if box.kind in TIMES])
    return data


def _fields(data: bytes, draw: Random, boxes: list[Box]) -> bytes:
    box = pick(draw, boxes)
    if box is None or box.body == box.end:
        return noise.numbers(data, draw)
    for _ in range(draw.choice((1, 1, 2, 5))):
        reach = draw.choice((4, 8, 16, 32, 10_000))
        at = draw.randrange(min(box.end - box.body, reach))
        width = draw.choice((1, 2, 4, 4, 4, 8))
        data = change(data, draw, box.body + at - at % min(width, 4), width)
    return data


def _count(data: bytes, draw: Random, boxes: list[Box]) -> bytes:
    """Give a table another number of entries than it has, or another first entry."""
    box = pick(draw, [box for box in boxes if box.kind in _TABLES])
    if box is None:
        return _size(data, draw, boxes)
    at = box.body + 4 * draw.choice((1, 1, 2, 3))
    return change(data, draw, at, 4)


_WAYS = (_size, _kind, _order, _nest, _field, _field, _field, _count)
