"""CPU seconds per clip: each video decoded by two versions of the decoder in turn, pixels compared.

    python -m benchmarks.decode FOLDER... [--against CHECKOUT] [--rounds 5] [--long-seconds S]
        [--protocols dense8 dense16 sparse] [--json FILE]

One side is this tree. The other is another checkout of the repository or, without one, this tree
decoding every picture. A side is one process. It does with each video what a decoder child does
with a first unit: probe, grid, decode, convert, resize, stack. Counted are user and system seconds
of that process, start-up apart; the median of the rounds counts. With --long-seconds each video is
repeated, packet by packet, until it is so long: then the samples of `sparse` are further apart than
its groups of pictures.

Exit code 1 when the pixels of any clip differ between the sides.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import av

REPOSITORY = Path(__file__).resolve().parents[1]
# Sampling, frames of a clip, seconds of a clip, clips of a video.
PROTOCOLS = {
    "dense8": ("dense", 8, 2.0, 4),
    "dense16": ("dense", 16, 2.0, 4),
    "sparse": ("sparse", 8, 2.0, 4),
}
# Runs in either tree, so it takes only names that older versions have.
SIDE = """
import hashlib, json, sys, time
import numpy as np
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.child_start import capture_ffmpeg_log
from vfeat.media.children.clip_slots import clip_shape
from vfeat.media.clips import Clip, ClipAssembler
from vfeat.media.container import Opened
from vfeat.media.decoders.base import DecodeRequest
from vfeat.media.decoders.pyav import PyavDecoder
from vfeat.media.probe import probe_source
from vfeat.media.scan import scan
from vfeat.media.source import locate, no_progress
from vfeat.media.timeline import Grid

try:
    from vfeat.media.probe import Kept
except ImportError:
    Kept = None

capture_ffmpeg_log()
if sys.argv[1] == "all":
    PyavDecoder.spare = lambda decoder, samples: None
limits, frame = DecodeLimits(), FrameSpec()

def decode(path, spec):
    began_s = time.process_time()
    source = locate(path, None)
    kept = Kept() if Kept else None
    found = probe_source(source, spec, limits, frame, **({"kept": kept} if kept else {}))
    line, ticks = found.timeline, kept.ticks if kept else None
    if spec.sampling == "sparse" and ticks is None:
        with Opened(source, limits.max_frame_pixels) as opened:
            ticks = scan(opened, no_progress).ticks
        ticks = ticks[ticks >= line.origin_tick]
    request = DecodeRequest(source, line, limits, no_progress)
    decoder = kept.decoder.resumed(request) if kept and kept.decoder else PyavDecoder(request)
    made = ClipAssembler(decoder, Grid(spec, line, ticks), frame, limits, path)
    out, digest, clips, apart_s = np.empty(clip_shape(spec, frame), np.uint8), hashlib.md5(), 0, 0.0
    for one in made.settle(0, found.n_clips - 1):
        if isinstance(one, Clip):
            for place, picture in enumerate(one.frames):
                np.copyto(out[:, place], picture)
            clips += 1
            hashing_s = time.process_time()
            digest.update(out.tobytes())
            apart_s += time.process_time() - hashing_s
    decoder.close()
    cpu_s = time.process_time() - began_s - apart_s
    return {"cpu_s": cpu_s, "clips": clips, "frames": decoder.stats.frames_decoded,
            "pixels": digest.hexdigest()}

for line in sys.stdin:
    path, (sampling, frames, seconds, clips) = json.loads(line)
    spec = ClipSpec(frames, seconds, seconds, sampling, clips)
    print(json.dumps(decode(path, spec)), flush=True)
"""


@dataclass(frozen=True)
class Compared:
    """One video under one protocol; CPU seconds per clip, `other` being the side it is compared to.

    Attributes:
        frames, other_frames: pictures that came out of the decoder.
        equal: the pixels of all clips are the same.
    """

    video: str
    protocol: str
    clips: int
    cpu_s: float
    other_cpu_s: float
    frames: int
    other_frames: int
    equal: bool


class Side:
    """A process that decodes on request; a context manager."""

    def __init__(self, tree: Path, which: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SIDE, which], cwd=tree, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip

    def decode(self, path: Path, protocol: str) -> dict[str, float]:
        """Decode one video; return what the process printed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([str(path), PROTOCOLS[protocol]]), file=self._process.stdin, flush=True)
        found: dict[str, float] = json.loads(self._process.stdout.readline())
        return found

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def lengthen(path: Path, folder: Path, seconds: float) -> Path:
    """Repeat a video's packets until it lasts so long; return the new file."""
    out = folder / f"{path.stem}.mp4"
    with av.open(out, "w") as target:
        stream, shift, first = None, 0, True
        while first or shift * stream.time_base < seconds:
            with av.open(path) as source:
                video = source.streams.best("video")
                stream = stream or target.add_stream_from_template(video)
                begin = end = 0
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    begin = min(begin, packet.dts)
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                    packet.stream = stream
                    packet.time_base = video.time_base
                    target.mux(packet)
                shift, first = shift + end - begin, False
                stream_base = video.time_base
        assert stream_base is not None
    return out


def compare(ours: Side, theirs: Side, path: Path, protocol: str, rounds: int) -> Compared:
    """Decode a video by both sides in turn; a first round warms up."""
    found: dict[Side, list[dict[str, float]]] = {ours: [], theirs: []}
    for number in range(rounds + 1):
        for side in (ours, theirs) if number % 2 else (theirs, ours):
            found[side].append(side.decode(path, protocol))
    one, other = found[ours][0], found[theirs][0]
    clips = max(int(one["clips"]), 1)
    cpu_s = [statistics.median(done["cpu_s"] for done in each[1:]) for each in found.values()]
    return Compared(
        path.name, protocol, int(one["clips"]), cpu_s[0] / clips, cpu_s[1] / clips,
        int(one["frames"]), int(other["frames"]), one["pixels"] == other["pixels"],
    )  # fmt: skip


def summary(found: list[Compared]) -> dict[str, dict[str, float]]:
    """Compute, for each protocol, the ratio of all CPU seconds and the mean ratio of a video."""
    result = {}
    for protocol in dict.fromkeys(one.protocol for one in found):
        mine = [one for one in found if one.protocol == protocol]
        total = [sum(getattr(one, name) * one.clips for one in mine)
                 for name in ("cpu_s", "other_cpu_s")]  # fmt: skip
        mean = statistics.geometric_mean(one.cpu_s / one.other_cpu_s for one in mine)
        result[protocol] = {"total": total[0] / total[1], "mean": mean}
    return result


def main() -> int:
    """Measure, print, and write the result where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("videos", type=Path, nargs="+", help="files, or folders of them")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long-seconds", type=float)
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    videos = [one for path in options.videos
              for one in (sorted(path.iterdir()) if path.is_dir() else [path])]  # fmt: skip
    other = (options.against or REPOSITORY).resolve()
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Side(REPOSITORY, "ours") as ours,
        Side(other, "theirs" if options.against else "all") as theirs,
    ):
        if options.long_seconds:
            videos = [lengthen(path, Path(folder), options.long_seconds) for path in videos]
        for protocol in options.protocols:
            for path in videos:
                one = compare(ours, theirs, path.resolve(), protocol, options.rounds)
                found.append(one)
                print(
                    f"{protocol:8} {path.name[:36]:36} {one.clips:4} clips, ms a clip "
                    f"{1000 * one.cpu_s:7.2f} to {1000 * one.other_cpu_s:7.2f}: "
                    f"{one.cpu_s / one.other_cpu_s:.3f}; frames {one.frames} to "
                    f"{one.other_frames}{'' if one.equal else '; OTHER PIXELS'}",
                    flush=True,
                )
    for protocol, ratio in summary(found).items():
        print(f"{protocol}: all together {ratio['total']:.3f}, mean {ratio['mean']:.3f}")
    if options.json:
        record = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "other": "another checkout" if options.against else "every picture is decoded",
            "long_seconds": options.long_seconds,
            "rounds": options.rounds,
            "ratios": summary(found),
            "videos": [asdict(one) for one in found],
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0 if all(one.equal for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
