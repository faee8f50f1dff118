"""First steps of a child's process: its end with its parent, and FFmpeg's log."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress

import av.logging

from vfeat.media.sandbox.kernel import set_process_option

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Make the kernel kill this process when the thread that started it ends."""
    with suppress(OSError):  # elsewhere the closed socket ends an idle child
        set_process_option(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the call
        os._exit(1)


def capture_ffmpeg_log() -> None:
    """Send FFmpeg's errors to PyAV's exceptions and not to the terminal."""
    av.logging.set_level(av.logging.ERROR)
    log = logging.getLogger("libav")
    log.addHandler(logging.NullHandler())
    log.propagate = False
