"""Messages of decoder children: each comes back as it was, and nothing else comes in."""

from __future__ import annotations

import socket
from dataclasses import fields, replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec, ShotSpec
from vfeat.media.children.believed import check_probe
from vfeat.media.children.channel import Channel
from vfeat.media.children.messages import (
    Alive,
    BrokenProtocol,
    ChildConfig,
    ClipMade,
    DecodeDone,
    FreeSlot,
    GridLaid,
    Hello,
    ProbeDone,
    ProbeFailed,
    RangeEmpty,
    RangeFailed,
)
from vfeat.media.children.schema import Integer, Number, Text
from vfeat.media.children.task import DecodeTask, ProbeTask
from vfeat.media.children.wire import MESSAGE_CHARS, MOST_BYTES, limits_of, pack, unpack
from vfeat.media.sandbox.enter import NAMES, Measure
from vfeat.outcome import RangeError
from vfeat.video_facts import MOST_CUTS, Probe, Timeline

LINE = Timeline(1, 12800, -512, 76800, 150, restarts=True)
PROBE = Probe(
    "mov,mp4,m4a", "h264", 1920, 1080, 90, LINE, 3, 1, 1.5, True, ((1, 1),), 2.0, ("ä", "b")
)
ON_SHOTS = ClipSpec(4, 2.0, 2.0, "shots", shots=ShotSpec("adaptive", 3.0, 0.5, "x 1"))
CUT = replace(LINE, cuts=(12800, 25600))
LONG = replace(LINE, duration_ticks=1 << 50, cuts=tuple(range(1 << 40, (1 << 40) + MOST_CUTS)))
MESSAGES: list[Any] = [
    Hello((Measure(NAMES[0]), Measure(NAMES[1], "why not"))),
    Alive(),
    GridLaid(PROBE),
    ClipMade(7, 14.0, 16.0, 3, True),
    RangeEmpty(2, 1_000_000),
    RangeFailed(RangeError(3, 4, "undecodable", "a.mp4: no frame decodes")),
    DecodeDone(1, 25, 0.25, ("one", "two"), True, 0.5, 0.125),
    ProbeDone(replace(PROBE, gaps=(), warnings=())),
    ProbeFailed("too_large", "a.mp4: is large"),
    FreeSlot(2),
    ProbeTask(1, "s3://bucket/a b.mp4", None),
    DecodeTask(1, "", "/a/ö.mp4", 1 << 40, LINE, 0, 5, 100, "etag"),
    DecodeTask(1, "", "/a.mp4", None, None, 0, None),
    ChildConfig(ClipSpec(8, 0.1, 0.3), FrameSpec(crops=3), DecodeLimits(), 4, False),
    ChildConfig(ON_SHOTS, FrameSpec(), DecodeLimits(), 4),
    GridLaid(replace(PROBE, timeline=CUT)),
    DecodeTask(1, "", "/a.mp4", None, LONG, 0, 5),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: Any) -> None:
    assert unpack(pack(message)) == message


@given(st.binary(max_size=200))
def test_bytes_are_a_message_or_one_error(data: bytes) -> None:
    check(data)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=20,
)


@given(st.integers(-1, 13), st.lists(_PLAIN, max_size=14))
def test_values_are_a_message_or_one_error(kind: int, values: list[Any]) -> None:
    check(msgpack.packb([kind, *values]))


@settings(max_examples=300)
@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_with_one_other_field_is_a_message_or_one_error(
    message: Any, data: st.DataObject
) -> None:
    kind, *values = msgpack.unpackb(pack(message))
    if values:
        values[data.draw(st.integers(0, len(values) - 1))] = data.draw(_PLAIN)
    check(msgpack.packb([kind, *values]))


def check(data: bytes) -> None:
    """Bytes are no message, or one within all its limits."""
    try:
        found = unpack(data)
    except BrokenProtocol as broken:
        assert len(str(broken)) < 200  # nothing that came in is repeated
        return
    for field in fields(found):
        value, limit = getattr(found, field.name), limits_of(type(found))[field.name]
        if isinstance(limit, Integer | Number):
            assert limit.low <= value <= limit.high
        elif isinstance(limit, Text):
            assert len(value) <= limit.most
    assert unpack(pack(found)) == found


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([3, 1 << 31, 0.0, 1.0, 0, False], "ClipMade.clip_index: expected an integer"),
        ([3, True, 0.0, 1.0, 0, False], "ClipMade.clip_index: expected an integer"),
        ([3, 0, float("nan"), 1.0, 0, False], "ClipMade.start_s: expected a finite number"),
        ([3, 0, -1.0, 1.0, 0, False], "ClipMade.start_s: expected a number from 0"),
        ([3, 0, 0.0, 1.0, -1, False], "ClipMade.slot"),
        ([3, 0, 0.0, 1.0, 0, 0], "ClipMade.partial: expected true or false"),
        ([3, 0, 0.0], "ClipMade: expected 5 fields"),
        ([5, [0, 0, "fine", "x", 1]], "RangeFailed.error: RangeError.error_class"),
        ([5, [0, 0, "storage", "x" * (MESSAGE_CHARS + 1), 1]], "at most 8000 characters"),
        ([6, 0, 0, 0.0, ["x"] * 65, False, 0.0, 0.0], "at most 64 entries"),
        ([99], "no kind"),
        ([], "number of its kind"),
        ({}, "number of its kind"),
    ],
)
def test_the_violated_limit_is_named(values: Any, says: str) -> None:
    with pytest.raises(BrokenProtocol, match=says):
        unpack(msgpack.packb(values))


def test_what_claims_more_than_it_holds_costs_nothing() -> None:
    for data in (
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\xdb\xff\xff\xff\xffx",
        b"\xdc\xff\xff",
    ):
        with pytest.raises(BrokenProtocol):
            unpack(data)


def test_what_goes_out_is_cut_to_its_limits() -> None:
    """So that an honest child with much to tell breaks no rule."""
    long = "\N{MOVIE CAMERA}" * 100_000
    warnings = (long,) * 1000
    gaps = tuple((k, k) for k in range(1000))
    for message in (
        GridLaid(replace(PROBE, warnings=warnings, gaps=gaps)),
        RangeFailed(RangeError(0, 0, "internal", long)),
        DecodeDone(0, 0, 0.0, warnings),
        ProbeFailed("internal", "a name with \udcff"),
    ):
        data = pack(message)
        assert len(data) <= MOST_BYTES
        unpack(data)


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        ({"n_clips": 4}, "of 3 clips counts 4"),
        ({"n_empty": 3}, "3 empty ones"),
        ({"gaps": ((1, 3),)}, "gaps"),
        ({"gaps": ((0, 1),)}, "gaps"),
        ({"gaps": ((2, 2), (1, 1))}, "gaps"),
        ({"gaps": ((1,),)}, "gaps"),
        ({"timeline": replace(LINE, duration_ticks=-1)}, "shorter than nothing"),
        ({"timeline": replace(LINE, duration_ticks=1 << 62)}, "longest video"),
    ],
)
def test_a_probe_that_contradicts_itself_is_not_believed(lie: dict[str, Any], says: str) -> None:
    check_probe(PROBE, ClipSpec(), DecodeLimits())
    with pytest.raises(BrokenProtocol, match=says):
        check_probe(replace(PROBE, **lie), ClipSpec(), DecodeLimits())


@pytest.mark.parametrize("cuts", [(0,), (5, 5), (9, 8), (76800,), (-1,)])
def test_cuts_that_are_no_times_of_the_video_are_not_believed(cuts: tuple[int, ...]) -> None:
    found = replace(PROBE, timeline=CUT, n_clips=3)  # shots of 1, 1 and 4 s: 1 + 1 + 2 clips
    check_probe(replace(found, n_clips=4), ON_SHOTS, DecodeLimits())
    with pytest.raises(BrokenProtocol, match="of 4 clips counts 3"):
        check_probe(found, ON_SHOTS, DecodeLimits())
    lie = replace(found, timeline=replace(CUT, cuts=cuts))
    with pytest.raises(BrokenProtocol, match="not times of its video in order"):
        check_probe(lie, ON_SHOTS, DecodeLimits())
    with pytest.raises(BrokenProtocol, match="the recipe has no shots"):
        check_probe(found, ClipSpec(), DecodeLimits())


def test_a_task_with_the_longest_list_of_cuts_is_sent_in_one_go() -> None:
    """The parent waits for no child that does not read."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
    task = DecodeTask(1, "", "/a.mp4", None, LONG, 0, 5)
    Channel(ours, waits=False).send(task)
    received, channel = None, Channel(theirs, waits=True)
    while received is None:
        received = channel.receive(10)
    assert received == task
    ours.close()
    theirs.close()


def test_a_probe_over_the_limit_of_clips_is_not_believed() -> None:
    with pytest.raises(BrokenProtocol, match="more clips than the limit"):
        check_probe(PROBE, ClipSpec(), DecodeLimits(max_video_clips=1))
