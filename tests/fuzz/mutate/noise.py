"""Damage without any knowledge of the format."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutate.draws import change, splice

_LENGTHS = (1, 4, 188, 1000, 20_000)
_HEAD_BYTES = 600


def damage(data: bytes, draw: Random) -> bytes:
    """Change, erase, cut out, repeat or cut off some bytes."""
    for _ in range(draw.randint(1, 4)):
        if len(data) < 2:
            break
        begin = draw.randrange(len(data))
        end = min(len(data), begin + draw.choice(_LENGTHS))
        how = draw.randrange(6)
        if how == 0:
            data = splice(data, begin, begin + 1, draw.randbytes(1))
        elif how == 1:
            data = splice(data, begin, end, bytes(end - begin))
        elif how == 2:
            data = splice(data, begin, end, draw.randbytes(end - begin))
        elif how == 3:
            data = splice(data, begin, end, b"")
        elif how == 4:
            other = draw.randrange(len(data))
            data = splice(data, begin, begin, data[other : other + end - begin])
        else:
            data = data[: max(200, begin)]
    return data


def numbers(data: bytes, draw: Random) -> bytes:
    """Put odd numbers of either byte order over some bytes, most of them near the beginning."""
    for _ in range(draw.randint(1, 6)):
        if not data:
            break
        near = draw.random() < 0.7
        at = draw.randrange(min(len(data), _HEAD_BYTES) if near else len(data))
        order = "big" if draw.random() < 0.5 else "little"
        data = change(data, draw, at, draw.choice((1, 2, 4, 8)), order)
    return data
