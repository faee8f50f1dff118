"""Mutations of times alone, in whichever container: the pictures stay whole, the clock does not."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutate import boxes, ebml, flv, noise, transport


def mutate(data: bytes, draw: Random) -> bytes:
    """Change times of a file, by the container that its first bytes show."""
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"styp"):
        return boxes.times(data, draw)
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return ebml.times(data, draw)
    if data[:3] == b"FLV":
        return flv.times(data, draw)
    if data[:1] == b"\x47" and len(data) > transport.PACKET:
        return transport.times(data, draw)
    return noise.numbers(data, draw)
