"""Mutations of MPEG transport streams: packets, PIDs, tables, clocks and times."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutate import noise
from tests.fuzz.mutate.draws import change, odd_number, over, pick, splice

PACKET = 188
_SYNC = 0x47
_VIDEO_STREAM = range(0xE0, 0xF0)


def packets(data: bytes) -> list[int]:
    """Find the offsets of the packets, from the first byte on."""
    return [at for at in range(0, len(data) - PACKET + 1, PACKET) if data[at] == _SYNC]


def mutate(data: bytes, draw: Random) -> bytes:
    """Mutate a stream once to four times."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = packets(data)
        if not places:
            return noise.damage(data, draw)
        data = draw.choice(_WAYS)(data, draw, places)
    return data


def times(data: bytes, draw: Random) -> bytes:
    """Change presentation and decoding times and the programme's clock."""
    for _ in range(draw.choice((1, 1, 2, 8))):
        places = packets(data)
        data = draw.choice((_stamp, _stamp, _clock))(data, draw, places)
    return data


def _lose(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Drop, repeat or move some packets, or cut one short."""
    at = draw.choice(places)
    run = PACKET * draw.choice((1, 1, 3, 30))
    some = data[at : at + run]
    how = draw.randrange(4)
    if how == 0:
        return splice(data, at, at + run, b"")
    if how == 1:
        return splice(data, at, at, some)
    if how == 2:
        return splice(splice(data, at, at + run, b""), draw.choice(places), 0, some)
    return splice(data, at, at + draw.randrange(PACKET), draw.randbytes(draw.randrange(40)))


def _pid(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Give packets the PID of others: all of one PID, or a single packet."""
    one, other = draw.choice(places), draw.choice(places)
    old, new = data[one + 1 : one + 3], data[other + 1 : other + 3]
    if draw.random() < 0.3:
        new = draw.randrange(0x2000).to_bytes(2, "big")
    for at in places if draw.random() < 0.5 else (one,):
        if data[at + 1] & 0x1F == old[0] & 0x1F and data[at + 2] == old[1]:
            head = data[at + 1] & 0xE0 | new[0] & 0x1F
            data = over(data, at + 1, bytes((head, new[1])))
    return data


def _header(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Change a packet's sync byte, flags, scrambling or continuity counter."""
    at = draw.choice(places)
    return change(data, draw, at + draw.choice((0, 1, 3, 3)), 1)


def _adaptation(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Lie about the length and the flags of an adaptation field, or invent one."""
    at = draw.choice(places)
    data = over(data, at + 3, bytes((data[at + 3] | 0x20,)))
    length = draw.choice((0, 1, 6, 7, 183, 184, 255, odd_number(draw, 1, data[at + 4])))
    return over(data, at + 4, bytes((length, draw.choice((0, 0x10, 0x50, 0x80, 0xFF)))))


def _clock(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Change a programme clock reference."""
    at = pick(draw, [p for p in places if data[p + 3] & 0x20 and data[p + 5] & 0x10])
    return data if at is None else change(data, draw, at + 6, draw.choice((1, 4)))


def _starts(data: bytes, places: list[int]) -> list[int]:
    """Find the PES headers of video."""
    found = []
    for at in places:
        begin = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        head = data[begin : begin + 4]
        if begin + 19 < at + PACKET and head[:3] == b"\0\0\1" and head[3] in _VIDEO_STREAM:
            found.append(begin)
    return found


def _stamp(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Let a time jump: back, ahead, to its wrap at 33 bits, or beyond the flags that promise it."""
    at = pick(draw, _starts(data, places))
    if at is None:
        return data
    if draw.random() < 0.2:
        return change(data, draw, at + draw.choice((7, 8)), 1)
    time = draw.choice((0, 1, (1 << 33) - 1, 1 << 32, draw.randrange(1 << 33)))
    coded = bytes(
        (0x21 | (time >> 29 & 0xE), time >> 22 & 0xFF, time >> 14 & 0xFE | 1, time >> 7 & 0xFF,
         time << 1 & 0xFE | 1)
    )  # fmt: skip
    place = at + 9 + (5 if draw.random() < 0.4 and data[at + 7] & 0x40 else 0)
    return over(data, place, coded)


def _table(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Change the programme tables: lengths, PIDs, types of streams."""
    tables = [p for p in places if data[p + 1] & 0x40 and data[p + 4 : p + 5] == b"\0"]
    at = pick(draw, tables)
    if at is None:
        return _header(data, draw, places)
    for _ in range(draw.choice((1, 1, 3))):
        data = change(data, draw, at + 5 + draw.randrange(30), draw.choice((1, 2)))
    return data


def _pes(data: bytes, draw: Random, places: list[int]) -> bytes:
    """Change a PES header: stream, length, flags."""
    at = pick(draw, _starts(data, places))
    if at is None:
        return _header(data, draw, places)
    return change(data, draw, at + draw.choice((3, 4, 6, 7, 8)), draw.choice((1, 2)))


_WAYS = (_lose, _lose, _pid, _header, _adaptation, _clock, _stamp, _table, _pes)
