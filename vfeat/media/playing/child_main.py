"""A child that converts one stretch: `... FEED OUTPUT PARENT_PID SUFFIX IS_LOCAL FROM SECONDS`.

It enters the same sandbox as a decoder child, and has the bytes of its video from its parent.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

from vfeat.errors import UnitError
from vfeat.media.children.child_start import capture_ffmpeg_log, die_with_parent
from vfeat.media.children.explain import explain
from vfeat.media.children.feed import Feed, GivenSource
from vfeat.media.playing.convert import Stretch, convert
from vfeat.media.sandbox.enter import enter
from vfeat.media.sandbox.limits import limit_memory

MEMORY_BYTES = 3 << 30
MOST_PIXELS = 4096 * 4096
HEAD_END = b"\n"


def main(arguments: list[str]) -> None:
    """Run the child; entry point of the process."""
    feed_fd, output, parent_pid = (int(argument) for argument in arguments[:3])
    suffix, is_local, from_s, seconds = arguments[3:]
    die_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    capture_ffmpeg_log()
    limit_memory(MEMORY_BYTES)
    feed = Feed(socket.socket(fileno=feed_fd))
    enter()
    name = f"video{suffix}"
    head: dict[str, object]
    body = b""
    try:
        found = _convert(feed, name, is_local == "local", float(from_s), float(seconds))
        head, body = {"start_s": found.start_s, "is_copied": found.is_copied}, found.mp4
    except Exception as error:
        error_class, message, _ = explain(error, name)
        head = {"error_class": error_class, "message": message.removeprefix(f"{name}: ")}
    with open(output, "wb") as pipe:
        pipe.write(json.dumps(head).encode() + HEAD_END)
        pipe.write(body)
    os._exit(0)


def _convert(feed: Feed, name: str, is_local: bool, from_s: float, seconds: float) -> Stretch:
    handle = feed.open(name)[0] if is_local else None
    if is_local and handle is None:
        raise UnitError("internal", f"{name}: no descriptor came")
    source = GivenSource(name, None, None, feed=feed, handle=handle)
    return convert(source, from_s, seconds, MOST_PIXELS)


if __name__ == "__main__":
    main(sys.argv[1:])
