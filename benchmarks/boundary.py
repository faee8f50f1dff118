"""The price of the boundary around decoder children: the same videos with it and without, in turn.

    python -m benchmarks.boundary FOLDER [--rounds 9] [--json FILE]

Without it a child is in no sandbox and FFmpeg opens the files itself. One child at a time, warmed
up by a first round that does not count. Two rates are printed: clips a second by the clock, and
clips a second of CPU time of parent and child together, which other work on the machine disturbs
less. The ratios are medians over the rounds; a round is the folder decoded once each way, in
alternating order.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, TaskDone
from vfeat.media.children.unit_budget import cpu_s

SPEC = ClipSpec(num_frames=8, clip_s=2.0, stride_s=2.0)


@dataclass(frozen=True)
class Round:
    """One pass over the videos.

    Attributes:
        clips: clips made.
        wall_s: seconds by the clock.
        cpu_s: CPU seconds of this process and its child.
    """

    clips: int
    wall_s: float
    cpu_s: float


def decode(pool: DecodePool, videos: list[Path]) -> Round:
    """Decode every video whole, as the first unit of an extraction does."""
    child = sum(cpu_s(one.pid) for one in pool.stats())
    began_s, began_cpu_s, clips = time.monotonic(), time.process_time(), 0
    for number, path in enumerate(videos):
        pool.submit(DecodeTask(number, path.name, str(path), path.stat().st_size, None, 0, None))
    left = len(videos)
    while left:
        event = pool.next_event(600)
        if isinstance(event, ClipReady):
            clips += 1
            event.release()
        else:
            assert isinstance(event, TaskDone), event
            left -= 1
    child = sum(cpu_s(one.pid) for one in pool.stats()) - child
    return Round(clips, time.monotonic() - began_s, time.process_time() - began_cpu_s + child)


def measure(videos: list[Path], rounds: int) -> dict[str, list[Round]]:
    """Decode the videos in turn with and without the boundary."""
    limits = DecodeLimits(videos_per_child=1_000_000)
    found: dict[str, list[Round]] = {"bounded": [], "unbounded": []}
    with (
        DecodePool(SPEC, FrameSpec(), limits, 1) as bounded,
        DecodePool(SPEC, FrameSpec(), limits, 1, bounded=False) as unbounded,
    ):
        pools = {"bounded": bounded, "unbounded": unbounded}
        for number in range(rounds + 1):
            for name in sorted(pools, reverse=bool(number % 2)):
                done = decode(pools[name], videos)
                if number:
                    found[name].append(done)
    return found


def main() -> None:
    """Measure, print, and write the result where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    videos = sorted(path for path in options.folder.iterdir() if path.is_file())
    found = measure(videos, options.rounds)
    print(f"{len(videos)} videos of {options.folder.name}, {options.rounds} rounds")
    ratios = {}
    for kind in ("wall_s", "cpu_s"):
        rates = {
            name: [one.clips / getattr(one, kind) for one in done] for name, done in found.items()
        }
        ratios[kind] = [
            on / off for on, off in zip(rates["bounded"], rates["unbounded"], strict=True)
        ]
        by = "by the clock" if kind == "wall_s" else "of CPU time"
        middle = {name: statistics.median(each) for name, each in rates.items()}
        print(
            f"clips a second {by}: {middle['bounded']:.1f} with the boundary, "
            f"{middle['unbounded']:.1f} without; ratio {statistics.median(ratios[kind]):.3f} "
            f"({min(ratios[kind]):.3f} to {max(ratios[kind]):.3f})"
        )
    if options.json:
        record = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "videos": [path.name for path in videos],
            "rounds": {name: [asdict(one) for one in done] for name, done in found.items()},
            "ratios": ratios,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
