"""Messages as bytes: msgpack arrays of a number for the kind and the fields, each with its limits.

What comes in is validated field by field and never executed; no other error than BrokenProtocol
leaves `unpack`. What goes out is cut to the same limits.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgpack

from vfeat.errors import ERROR_CLASSES
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec, ShotSpec
from vfeat.media.children.messages import (
    Alive,
    BrokenProtocol,
    ChildConfig,
    ClipMade,
    DecodeDone,
    DeviceShare,
    FreeSlot,
    GridLaid,
    Hello,
    ProbeDone,
    ProbeFailed,
    RangeEmpty,
    RangeFailed,
)
from vfeat.media.children.schema import (
    Boolean,
    Choice,
    Field,
    Integer,
    Number,
    Optional,
    Record,
    Sequence,
    Text,
    Violation,
)
from vfeat.media.children.task import DecodeTask, ProbeTask
from vfeat.media.sandbox.enter import NAMES, Measure
from vfeat.outcome import RangeError
from vfeat.video_facts import MOST_CUTS, Probe, Timeline

MOST_BYTES = 1 << 20  # of a message
MESSAGE_CHARS = 8000

_CLIP = Integer(0, (1 << 31) - 1)
_COUNT = Integer(0, 1 << 53)
_POSITIVE = Integer(1, (1 << 63) - 1)
_TICK = Integer(-(1 << 63), (1 << 63) - 1)
_SIDE = Integer(1, (1 << 31) - 1)
_SLOT = Integer(0, (1 << 16) - 1)
_SECONDS = Number(0, 1e13)
_ANY = Number(-1e18, 1e18)
_NAME = Text(200)
_SENTENCE = Text(MESSAGE_CHARS)
_WARNINGS = Sequence(Text(2000), 64)
_ERROR = Choice(*ERROR_CLASSES)
_TRIPLE = Sequence(_ANY, 3)

_CUTS = Sequence(_POSITIVE, MOST_CUTS)
_TIMELINE = Record(Timeline, _POSITIVE, _POSITIVE, _TICK, _TICK, _POSITIVE, Boolean(), _CUTS)
_SHOTS = Optional(Record(ShotSpec, _NAME, _ANY, _ANY, _NAME))
_PROBE = Record(
    Probe, _NAME, _NAME, _SIDE, _SIDE, Integer(-360, 360), _TIMELINE,
    Integer(1, 1 << 31), _COUNT, _SECONDS, Boolean(), Sequence(Sequence(_CLIP, 2), 100), _SECONDS,
    _WARNINGS,
)  # fmt: skip
_SIZE = Optional(_TICK)  # a list may claim any
_URI = Text(1 << 16)

_KINDS: tuple[Record, ...] = (
    Record(Hello, Sequence(Record(Measure, Choice(*NAMES), _NAME), len(NAMES)), _SENTENCE),
    Record(Alive),
    Record(GridLaid, _PROBE),
    Record(ClipMade, _CLIP, _SECONDS, _SECONDS, _SLOT, Boolean()),
    Record(RangeEmpty, _CLIP, _CLIP),
    Record(RangeFailed, Record(RangeError, _CLIP, _CLIP, _ERROR, _SENTENCE, Integer(1, 1))),
    Record(DecodeDone, _COUNT, _COUNT, _SECONDS, _WARNINGS, Boolean(), _SECONDS, _SECONDS),
    Record(ProbeDone, _PROBE),
    Record(ProbeFailed, _ERROR, _SENTENCE, Boolean()),
    Record(FreeSlot, _SLOT),
    Record(ProbeTask, _COUNT, _URI, _SIZE),
    Record(
        DecodeTask, _COUNT, _URI, _URI, _SIZE, Optional(_TIMELINE), _CLIP, Optional(_CLIP),
        Optional(Integer(1, 1 << 31)), Optional(_URI),
    ),
    Record(
        ChildConfig,
        Record(ClipSpec, _COUNT, _ANY, _ANY, _NAME, _COUNT, _SHOTS),
        Record(FrameSpec, _COUNT, _NAME, Integer(1, 3), Boolean(), _URI, _TRIPLE, _TRIPLE, _NAME),
        Record(DecodeLimits, _ANY, _ANY, _COUNT, _COUNT, _COUNT, _COUNT, _ANY, _COUNT),
        _SLOT,
        Boolean(),
        Optional(Record(DeviceShare, _NAME, _NAME, Boolean())),
    ),
)  # fmt: skip
_NUMBERS = {record.kind: number for number, record in enumerate(_KINDS)}


def pack(message: Any) -> bytes:
    """Return a message's bytes; texts and lists are cut to their limits.

    Args:
        message: of one of the kinds in `messages` and `task`.
    """
    number = _NUMBERS[type(message)]
    data: bytes = msgpack.packb((number, *_KINDS[number].write(message)))
    return data


def unpack(data: bytes) -> Any:
    """Return the message that some bytes are.

    Raises:
        BrokenProtocol: they are none; what they violate is named, and nothing of them repeated.
    """
    try:
        found = msgpack.unpackb(
            data, use_list=False, strict_map_key=True, max_array_len=MOST_CUTS, max_map_len=0,
            max_bin_len=0, max_ext_len=0, max_str_len=MOST_BYTES,
        )  # fmt: skip
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise BrokenProtocol(f"a message of {len(data)} bytes is no msgpack") from error
    if not isinstance(found, tuple) or not found or type(found[0]) is not int:
        raise BrokenProtocol("a message does not begin with the number of its kind")
    number, *rest = found
    if not 0 <= number < len(_KINDS):
        raise BrokenProtocol(f"a message is of no kind from 0 to {len(_KINDS) - 1}")
    try:
        return _KINDS[number].read(tuple(rest))
    except Violation as violation:
        raise BrokenProtocol(str(violation)) from None


def limits_of(kind: type) -> dict[str, Field]:
    """Return the fields of a kind of message with their limits, for tests and documents."""
    record = _KINDS[_NUMBERS[kind]]
    return {field.name: limit for field, limit in zip(fields(kind), record.parts, strict=True)}
