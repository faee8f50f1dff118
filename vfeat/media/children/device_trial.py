"""A trial of a decoder with its device: a video of a few frames, decoded by a child."""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import numpy as np

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, TaskDone
from vfeat.media.devices.base import load_device

_WIDTH, _HEIGHT, _FRAMES = 320, 192, 8
_WAIT_S = 120.0


def try_device(decoder: str, device: str) -> str | None:
    """Return why a device does not decode on this machine; None if it does.

    Args:
        decoder: name of a decoder that uses it.
        device: `module:class`.
    """
    found = load_device(device).obstacle()
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(prefix="vfeat-trial-") as folder:
        path = Path(folder) / "trial.mp4"
        _write_video(path)
        done = _decode(path, decoder, device)
    if done is None:
        return f"a child has not decoded {_FRAMES} frames in {_WAIT_S:.0f} s"
    outcome = done.outcome
    if outcome.errors:
        return f"a child cannot decode with it: {outcome.errors[0].message}"
    if outcome.fell_back:
        return f"it does not decode H.264 here ({outcome.warnings[0].rpartition(': ')[2]})"
    return None


def _decode(path: Path, decoder: str, device: str) -> TaskDone | None:
    """Decode a video whole; return its end, or None if that does not come."""
    frame = FrameSpec(size=32, decoder=decoder)
    with DecodePool(ClipSpec(), frame, DecodeLimits(), 1, device=device) as pool:
        pool.submit(DecodeTask(0, "trial", str(path), path.stat().st_size, None, 0, None))
        while (event := pool.next_event(_WAIT_S)) is not None:
            if isinstance(event, ClipReady):
                event.release()
            if isinstance(event, TaskDone):
                return event
    return None


def _write_video(path: Path) -> None:
    """Write a gradient that moves, as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        ramp = np.add.outer(np.arange(_HEIGHT), np.arange(_WIDTH))
        for number in range(_FRAMES):
            grey = ((ramp + 16 * number) % 256).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        container.mux(stream.encode(None))
