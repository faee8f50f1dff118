"""Which pictures of an AV1 stream no other is made from: those that refresh no reference slot.

What one picture leaves to others (pixels, probabilities, motion, segments) lies in the slots, so
a picture that refreshes none can be left out. AV1 bitstream specification, 5.5 and 5.9.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vfeat.media.decoders.parameter_sets import Bits

_SEQUENCE, _DELIMITER, _FRAME_HEADER, _FRAME = 1, 2, 3, 6
_HARMLESS = {_DELIMITER, 4, 5, 8, 15}  # tiles of a frame, metadata, tiles in lists, padding
_KEY, _INTRA, _SWITCH = 0, 2, 3
_SELECT = 2
_BOX_BYTES = 4  # of av1C, before its units


@dataclass(frozen=True)
class Sequence:
    """What a sequence header says about the fields of a frame header.

    Attributes:
        screen_tools, integer_motion: 0, 1, or 2 where each frame chooses.
        id_bits, order_bits: widths of a frame's number and place; 0 where it has none.
    """

    screen_tools: int
    integer_motion: int
    id_bits: int
    order_bits: int


def read_sequence(extradata: bytes | None) -> Sequence | None:
    """Read the sequence header of a stream's header; None where it has none that is understood."""
    try:
        found = [_sequence(Bits(body)) for kind, body in _units(_without_box(extradata or b""))
                 if kind == _SEQUENCE]  # fmt: skip
    except (ValueError, IndexError):
        return None
    return found[0] if len(found) == 1 else None


def refreshes_nothing(packet: bytes, sequence: Sequence) -> bool:
    """Return whether a packet is one picture that no other can be made from."""
    frames = 0
    try:
        for kind, body in _units(packet):
            if kind in (_FRAME, _FRAME_HEADER):
                frames += 1
                if frames > 1 or not _is_last_of_its_line(Bits(body[:16]), sequence):
                    return False
            elif kind not in _HARMLESS:
                return False
    except (ValueError, IndexError):
        return False
    return frames == 1


def _without_box(extradata: bytes) -> bytes:
    # 0x81: the marker and version of av1C; a unit begins with a bit that is 0
    return extradata[_BOX_BYTES:] if extradata[:1] == b"\x81" else extradata


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of the units of a packet.

    Raises:
        ValueError: a unit is cut, or lies on a layer of its own.
    """
    place = 0
    while place < len(data):
        head = data[place]
        place += 1
        if head & 0x84 or not head & 2:  # forbidden bit, extension; a size must be there
            raise ValueError("a unit of an unknown form")
        size = shift = 0
        while True:
            byte = data[place]
            place += 1
            size |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        if place + size > len(data):
            raise ValueError("a unit is cut")
        yield head >> 3 & 15, data[place : place + size]
        place += size


def _sequence(bits: Bits) -> Sequence:
    bits.take(3)
    if bits.take(2):
        raise ValueError("a still picture")
    _pass_operation(bits)
    width, height = bits.take(4) + 1, bits.take(4) + 1
    bits.take(width + height)
    id_bits = 0
    if bits.take(1):
        delta = bits.take(4) + 2
        id_bits = delta + bits.take(3) + 1
    bits.take(3)
    bits.take(4)
    has_order = bits.take(1)
    if has_order:
        bits.take(2)
    screen = _SELECT if bits.take(1) else bits.take(1)
    motion = _SELECT
    if screen:
        motion = _SELECT if bits.take(1) else bits.take(1)
    return Sequence(screen, motion, id_bits, bits.take(3) + 1 if has_order else 0)


def _pass_operation(bits: Bits) -> None:
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.ue()
        if bits.take(1):
            raise ValueError("a decoder model, which changes the frame header")
    has_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if has_delay and bits.take(1):
            bits.take(4)


def _is_last_of_its_line(bits: Bits, sequence: Sequence) -> bool:
    """Return whether a frame is shown at once and refreshes no slot."""
    if bits.take(1):
        return False  # shows a picture that was decoded before
    kind = bits.take(2)
    if kind in (_KEY, _SWITCH) or not bits.take(1):
        return False
    resilient = bits.take(1)
    bits.take(1)
    tools = bits.take(1) if sequence.screen_tools == _SELECT else sequence.screen_tools
    if tools and sequence.integer_motion == _SELECT:
        bits.take(1)
    bits.take(sequence.id_bits)
    bits.take(1)
    bits.take(sequence.order_bits)
    if kind != _INTRA and not resilient:
        bits.take(3)
    return bits.take(8) == 0
