"""The GPU's decoder against PyAV's: the same clips, their colours, and clips a second.

    python -m benchmarks.nvdec FOLDER... [--children 1 2 4 8] [--size 224] [--json FILE]

First every video is decoded both ways, and the clips are compared one by one. It exits with 1
where the clips are not the same ones, or their colours differ by more than 2 of 255 levels: the
most at a pixel for codecs whose pictures are defined to the bit, the mean for those whose inverse
transform is not (MPEG-1, MPEG-2, MPEG-4, VC-1, JPEG). Damaged videos are compared and do not count:
a GPU hides damage that FFmpeg leaves out. Then the rates, of all videos together, by the number of
children. `--device` names another device, to rehearse on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.boundary import examine_boundary
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, TaskDone
from vfeat.media.devices.base import CUDA, load_device
from vfeat.outcome import Outcome

SPEC = ClipSpec(num_frames=8, clip_s=2.0, stride_s=2.0)
LIMITS = DecodeLimits(videos_per_child=1_000_000)
LEVELS = 2.0
_INEXACT = {"mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "mjpeg"}
_WAIT_S = 600


@dataclass(frozen=True)
class Compared:
    """One video, decoded both ways.

    Attributes:
        codec: by FFmpeg's name.
        clips: that both have; None where they have not the same ones.
        most, mean: difference of the colours, of 255 levels.
        on_gpu: the GPU has decoded it, and not PyAV instead.
        damaged: it has bad packets or errors.
    """

    video: str
    codec: str
    clips: int | None
    most: float
    mean: float
    on_gpu: bool
    damaged: bool

    @property
    def is_same(self) -> bool:
        """True if clips and colours are those of PyAV, as far as they must be."""
        if self.damaged:
            return True
        off = self.mean if self.codec in _INEXACT else self.most
        return self.clips is not None and off <= LEVELS


def decoded(pool: DecodePool, path: Path) -> tuple[dict[int, torch.Tensor], Outcome]:
    """Return the clips of a video by number, on the CPU, and its outcome."""
    clips: dict[int, torch.Tensor] = {}
    pool.submit(DecodeTask(0, path.name, str(path), path.stat().st_size, None, 0, None))
    while not isinstance(event := pool.next_event(_WAIT_S), TaskDone):
        assert isinstance(event, ClipReady), event
        clips[event.clip_index] = torch.as_tensor(np.array(event.frames)) if isinstance(
            event.frames, np.ndarray
        ) else event.frames.cpu().clone()  # fmt: skip
        event.release()
    return clips, event.outcome


def compare(videos: list[Path], size: int, device: str) -> Iterator[Compared]:
    """Decode every video both ways."""
    theirs_spec, ours_spec = FrameSpec(size), FrameSpec(size, decoder="nvdec")
    with (
        DecodePool(SPEC, theirs_spec, LIMITS, 1) as pyav,
        DecodePool(SPEC, ours_spec, LIMITS, 1, device=device) as nvdec,
    ):
        for path in videos:
            theirs, truth = decoded(pyav, path)
            ours, outcome = decoded(nvdec, path)
            both = [abs(ours[k].short() - theirs[k].short()) for k in ours.keys() & theirs.keys()]
            most = max((float(one.max()) for one in both), default=0.0)
            mean = float(np.mean([float(one.float().mean()) for one in both])) if both else 0.0
            yield Compared(
                path.name,
                truth.probe.codec if truth.probe else "",
                len(ours) if ours.keys() == theirs.keys() else None,
                most,
                mean,
                not outcome.fell_back,
                bool(truth.bad_packets or truth.errors),
            )


def rate(videos: list[Path], frame: FrameSpec, children: int, device: str | None) -> float:
    """Return clips a second over all videos, with children that have started."""
    with DecodePool(SPEC, frame, LIMITS, children, device=device) as pool:
        for counts in (False, True):
            todo = videos * (1 if counts else 0) or videos[:1] * children
            for number, path in enumerate(todo):
                size = path.stat().st_size
                pool.submit(DecodeTask(number, path.name, str(path), size, None, 0, None))
            began_s, clips, left = time.monotonic(), 0, len(todo)
            while left:
                event = pool.next_event(_WAIT_S)
                if isinstance(event, ClipReady):
                    clips += 1
                    event.release()
                else:
                    assert isinstance(event, TaskDone), event
                    left -= 1
            took_s = time.monotonic() - began_s
    return clips / took_s


def refused(device: str) -> str | None:
    """Return why the device cannot be used; print what its children leave open."""
    reason = load_device(device).obstacle()
    if reason is None:
        for measure in examine_boundary("nvdec", device):
            print(f"boundary: {measure.name}: {measure.missing or 'holds'}")
    return reason


def main() -> None:
    """Compare, measure, print, and write the result where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--children", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default=CUDA)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if (reason := refused(options.device)) is not None:
        sys.exit(f"not measured: {reason}")
    videos = sorted(p for f in options.folders for p in f.iterdir() if p.is_file())
    found = []
    for one in compare(videos, options.size, options.device):
        found.append(one)
        clips = "OTHER CLIPS" if one.clips is None else f"{one.clips} clips"
        print(
            f"{'same' if one.is_same else 'DIFFERS':8} {one.video:32} {one.codec:11} {clips}, "
            f"levels apart: {one.most:.0f} at most, {one.mean:.3f} on average"
            f"{'' if one.on_gpu else ', by PyAV'}{', damaged' if one.damaged else ''}"
        )
    whole = [p for p, one in zip(videos, found, strict=True) if one.clips and not one.damaged]
    rates = {}
    for decoder, device in (("pyav", None), ("nvdec", options.device)):
        frame = FrameSpec(options.size, decoder=decoder)
        for children in options.children:
            rates[f"{decoder}-{children}"] = each = rate(whole, frame, children, device)
            print(f"{decoder}, {children} children: {each:.1f} clips a second")
    if options.json:
        record = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "videos": [asdict(one) for one in found],
            "clips_per_s": rates,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    if not all(one.is_same for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
