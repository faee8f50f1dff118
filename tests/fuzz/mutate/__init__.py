"""Mutations of small videos: one file per format, each a pure function of bytes and a Random.

A mutator parses what it can and never raises: bytes of another format come back with noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from tests.fuzz.mutate import boxes, ebml, flv, nal, noise, riff, timestamps, transport

Mutator = Callable[[bytes, Random], bytes]

MUTATORS: Mapping[str, Mutator] = {
    "boxes": boxes.mutate,
    "ebml": ebml.mutate,
    "transport": transport.mutate,
    "riff": riff.mutate,
    "flv": flv.mutate,
    "nal": nal.mutate,
    "times": timestamps.mutate,
    "numbers": noise.numbers,
    "noise": noise.damage,
}
_BY_SUFFIX: Mapping[str, tuple[str, ...]] = {
    "boxes": (".mp4", ".mov", ".m4v", ".3gp", ".f4v"),
    "ebml": (".mkv", ".webm"),
    "transport": (".ts", ".m2ts"),
    "riff": (".avi",),
    "flv": (".flv",),
    "nal": (".mp4", ".mov", ".ts", ".h264", ".hevc"),
    "times": (".mp4", ".mov", ".mkv", ".webm", ".ts", ".flv"),
}


def kinds_of(suffix: str) -> tuple[str, ...]:
    """Return the kinds of mutations that fit a file's suffix."""
    return tuple(k for k in MUTATORS if k not in _BY_SUFFIX or suffix in _BY_SUFFIX[k])
