"""Mutations of Flash video: tags, their sizes and times, the script data before them."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutate import noise
from tests.fuzz.mutate.draws import change, odd_float, over, pick, splice

_HEAD = 13  # the file's header and the first back-pointer
_TAG = 11
_SCRIPT = 18


def tags(data: bytes) -> list[tuple[int, int]]:
    """Find begin and end of every tag, the back-pointer behind it included."""
    found, at = [], _HEAD
    while data[:3] == b"FLV" and at + _TAG <= len(data):
        end = at + _TAG + int.from_bytes(data[at + 1 : at + 4], "big") + 4
        if end > len(data):
            break
        found.append((at, end))
        at = end
    return found


def mutate(data: bytes, draw: Random) -> bytes:
    """Mutate a file once to four times."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = tags(data)
        if not places:
            return noise.numbers(data, draw)
        data = draw.choice(_WAYS)(data, draw, places)
    return data


def times(data: bytes, draw: Random) -> bytes:
    """Change the times of tags, composition offsets and numbers of the script data."""
    for _ in range(draw.choice((1, 1, 3))):
        if not (places := tags(data)):
            return data
        data = draw.choice((_time, _time, _script))(data, draw, places)
    return data


def _time(data: bytes, draw: Random, places: list[tuple[int, int]]) -> bytes:
    at, _ = draw.choice(places)
    return change(data, draw, at + draw.choice((4, 7, _TAG + 2)), draw.choice((1, 3)))


def _header(data: bytes, draw: Random, places: list[tuple[int, int]]) -> bytes:
    """Change a tag's type, size or stream, its back-pointer, or its codec byte."""
    at, end = draw.choice(places)
    place, wide = draw.choice(((at, 1), (at + 1, 3), (at + 8, 3), (end - 4, 4), (at + _TAG, 2)))
    return change(data, draw, place, wide)


def _order(data: bytes, draw: Random, places: list[tuple[int, int]]) -> bytes:
    """Drop a tag, repeat it, or put another in its place."""
    (at, end), (other, other_end) = draw.choice(places), draw.choice(places)
    whole, another = data[at:end], data[other:other_end]
    return splice(data, at, end, draw.choice((b"", whole * 2, another, another + whole)))


def _script(data: bytes, draw: Random, places: list[tuple[int, int]]) -> bytes:
    """Change a number, a length or a type in the script data."""
    script = pick(draw, [place for place in places if data[place[0]] == _SCRIPT])
    if script is None or script[1] - script[0] < 40:
        return _header(data, draw, places)
    numbers = [at for at in range(script[0] + _TAG, script[1] - 12) if data[at : at + 2] == b"\0@"]
    if numbers and draw.random() < 0.5:
        return over(data, draw.choice(numbers) + 1, odd_float(draw, 8))
    return change(data, draw, draw.randrange(script[0] + _TAG, script[1] - 4), draw.choice((1, 2)))


def _top(data: bytes, draw: Random, _: list[tuple[int, int]]) -> bytes:
    """Change the file's header: version, flags, its own length."""
    return change(data, draw, draw.choice((3, 4, 5)), draw.choice((1, 4)))


_WAYS = (_header, _header, _order, _script, _time, _top)
