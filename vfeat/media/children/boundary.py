"""A look at the boundary around decoder children on this machine."""

from __future__ import annotations

import threading

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.child_process import ChildProcess
from vfeat.media.children.messages import ChildConfig
from vfeat.media.sandbox.enter import Measure


def examine_boundary(decoder: str = "pyav") -> tuple[Measure, ...]:
    """Start a child, and return what it reports of its sandbox.

    Args:
        decoder: name of the decoder that it loads.

    Raises:
        ChildLost: it did not start.
    """
    frame = FrameSpec(size=32, decoder=decoder)
    config = ChildConfig(ClipSpec(), frame, DecodeLimits(), slots=1)
    child = ChildProcess(config, threading.Event())
    try:
        return child.measures
    finally:
        child.close()
