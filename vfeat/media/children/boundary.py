"""A look at the boundary around decoder children on this machine."""

from __future__ import annotations

import threading

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.child_process import start_child_of
from vfeat.media.children.messages import ChildConfig, DeviceShare
from vfeat.media.sandbox.enter import Measure


def examine_boundary(decoder: str = "pyav", device: str | None = None) -> tuple[Measure, ...]:
    """Start a child, and return what it reports of its sandbox.

    Args:
        decoder: name of the decoder that it loads.
        device: that it decodes with, `module:class`.

    Raises:
        ChildLost: it did not start.
    """
    frame = FrameSpec(size=32, decoder=decoder)
    share = None if device is None else DeviceShare(device)
    config = ChildConfig(ClipSpec(), frame, DecodeLimits(), slots=1, device=share)
    child, _ = start_child_of(config, threading.Event())
    try:
        return child.measures
    finally:
        child.close()
