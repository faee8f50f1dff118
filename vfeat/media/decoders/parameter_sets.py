"""Facts of a stream's parameter sets that decide whether single pictures may be left out.

H.264: ITU-T H.264 7.3.2.1; HEVC: ITU-T H.265 7.3.2.1. Only the few fields in front are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_START = re.compile(b"\x00\x00\x01")
_H264_SPS, _HEVC_VPS = 7, 32
# Profiles whose sets describe chroma, bit depths and scaling lists.
_HIGH = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
_MAX_CYCLE = 255


class Bits:
    """The bits of some bytes, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Read an unsigned number of `count` bits.

        Raises:
            ValueError: the payload has ended.
        """
        self._left -= count
        if self._left < 0:
            raise ValueError("a parameter set ends in the middle")
        return self._bits >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """Read an Exp-Golomb number."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def se(self) -> int:
        """Read a signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def h264_frames_only(extradata: bytes | None) -> bool:
    """Return whether every picture is a whole frame, never a field, by all sets of a header."""
    try:
        sets = [unit for unit in _units(extradata or b"", "h264") if unit[0] & 31 == _H264_SPS]
        return bool(sets) and all(_frame_mbs_only(_payload(unit)) for unit in sets)
    except (ValueError, IndexError):
        return False


def hevc_single_layer(extradata: bytes | None) -> bool:
    """Return whether a stream has one temporal layer, by all sets of a header.

    With several, a picture marked as no reference may still be one for the layers above it.
    """
    try:
        units = _units(extradata or b"", "hevc")
        sets = [unit for unit in units if unit[0] >> 1 & 63 == _HEVC_VPS]
        return bool(sets) and all(unit[3] >> 1 & 7 == 0 for unit in sets)
    except (ValueError, IndexError):
        return False


def _payload(unit: bytes) -> Bits:
    """Return what follows the NAL header, emulation prevention undone."""
    return Bits(unit[1:].replace(b"\x00\x00\x03", b"\x00\x00"))


def _units(extradata: bytes, codec: str) -> Iterator[bytes]:
    """Yield the NAL units of a header: start codes, or the boxes avcC and hvcC."""
    if extradata[:3] == b"\x00\x00\x01" or extradata[:4] == b"\x00\x00\x00\x01":
        yield from (unit for unit in _START.split(extradata)[1:] if unit)
    elif codec == "h264":
        yield from _sized(extradata, 6, extradata[5] & 31)
    else:
        place = 23
        for _ in range(extradata[22]):
            count = int.from_bytes(extradata[place + 1 : place + 3])
            units = list(_sized(extradata, place + 3, count))
            yield from units
            place += 3 + sum(2 + len(unit) for unit in units)


def _sized(data: bytes, place: int, count: int) -> Iterator[bytes]:
    """Yield `count` units, each behind its size in two bytes."""
    for _ in range(count):
        size = int.from_bytes(data[place : place + 2])
        unit = data[place + 2 : place + 2 + size]
        if not unit or len(unit) < size:
            raise ValueError("a header ends in the middle of a parameter set")
        yield unit
        place += 2 + size


def _frame_mbs_only(bits: Bits) -> bool:
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.ue()
    if profile in _HIGH:
        _pass_colour(bits)
    bits.ue()  # bits of a frame number
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.take(1)
        bits.se(), bits.se()
        for _ in range(min(bits.ue(), _MAX_CYCLE)):
            bits.se()
    bits.ue()  # reference frames
    bits.take(1)
    bits.ue(), bits.ue()  # width, height
    return bool(bits.take(1))


def _pass_colour(bits: Bits) -> None:
    chroma = bits.ue()
    if chroma == 3:
        bits.take(1)
    bits.ue(), bits.ue()  # bit depths
    bits.take(1)
    if not bits.take(1):
        return
    for number in range(12 if chroma == 3 else 8):
        if bits.take(1):
            _pass_scaling(bits, 16 if number < 6 else 64)


def _pass_scaling(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last
