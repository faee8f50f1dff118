"""Damaged videos without end: every one is an error of its own, or all its clips are settled.

`python -m tests.fuzz.media --seconds 600 --seed 1 [FOLDER...]` takes the videos of the folders,
else the clips of this repository, and leaves those that break the law in `--keep`.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.media.running import LIMITS, settle
from tests.media.truth import OWN
from vfeat.errors import UnitError
from vfeat.job.recipe import ClipSpec
from vfeat.media.clips import Clip
from vfeat.media.probe import probe

SPECS = (ClipSpec(4, 1.0, 1.0), ClipSpec(3, 0.5, 2.3), ClipSpec(2, 2.0, 0.7))
LARGEST_BYTES = 400_000
PATIENCE_S = 60
LENGTHS = (1, 4, 188, 1000, 20_000)


class BrokenLaw(Exception):
    """A damaged video that is neither an error nor settled clip by clip."""


def videos(folders: list[Path]) -> list[Path]:
    """Small videos of some folders, in order."""
    found = sorted(path for folder in folders for path in folder.iterdir() if path.is_file())
    kinds = {".mp4", ".ts", ".mkv", ".webm", ".avi", ".flv", ".mpg", ".mov"}
    return [p for p in found if p.suffix in kinds and p.stat().st_size < LARGEST_BYTES]


def damage(data: bytearray, draw: random.Random) -> bytearray:
    """Change, erase, cut out, repeat or cut off some bytes."""
    for _ in range(draw.randint(1, 4)):
        if len(data) < 2:
            break
        begin = draw.randrange(len(data))
        end = min(len(data), begin + draw.choice(LENGTHS))
        how = draw.randrange(6)
        if how == 0:
            data[begin] = draw.randrange(256)
        elif how == 1:
            data[begin:end] = bytes(end - begin)
        elif how == 2:
            data[begin:end] = draw.randbytes(end - begin)
        elif how == 3:
            del data[begin:end]
        elif how == 4:
            other = draw.randrange(len(data))
            data[begin:begin] = data[other : other + end - begin]
        else:
            data = data[: max(200, begin)]
    return data


def check(path: Path, spec: ClipSpec) -> str:
    """Decode one video whole.

    Returns:
        "settled", or the class of its error.

    Raises:
        BrokenLaw: some clip is not settled exactly once, in order.
    """
    try:
        found = probe(str(path), None, spec, LIMITS)
        coming = 0
        for one in settle(path, spec, ticks_only=True, found=found):
            clip = one.window.clip_index if isinstance(one, Clip) else None
            first, last = (clip, clip) if clip is not None else (one.first_clip, one.last_clip)  # type: ignore[union-attr]
            if first != coming or last < first:
                raise BrokenLaw(f"clips {first} to {last} where {coming} was to come")
            coming = last + 1
        if coming != found.n_clips:
            raise BrokenLaw(f"{coming} of {found.n_clips} clips are settled")
    except UnitError as error:
        return error.error_class
    return "settled"


def run(sources: list[Path], seed: int, folder: Path) -> Iterator[tuple[Path, str]]:
    """Damage and check videos for ever; a hang ends with an alarm."""
    draw = random.Random(seed)
    signal.signal(signal.SIGALRM, _alarm)
    while True:
        source = draw.choice(sources)
        path = folder / f"damaged{source.suffix}"
        path.write_bytes(damage(bytearray(source.read_bytes()), draw))
        signal.alarm(PATIENCE_S)
        try:
            yield path, check(path, draw.choice(SPECS))
        finally:
            signal.alarm(0)


def _alarm(*_: object) -> None:
    raise BrokenLaw(f"not done after {PATIENCE_S} s")


def main() -> None:
    """Run for some time and print how the videos ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[OWN])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    args = parser.parse_args()
    ended: Counter[str] = Counter()
    until_s = time.monotonic() + args.seconds
    with tempfile.TemporaryDirectory() as folder:
        try:
            for _, how in run(videos(args.folders), args.seed, Path(folder)):
                ended[how] += 1
                if time.monotonic() > until_s:
                    break
        except Exception:
            args.keep.mkdir(exist_ok=True)
            for left in Path(folder).glob("damaged*"):
                left.rename(args.keep / f"{args.seed}-{ended.total()}{left.suffix}")
            print(f"after {ended.total()} videos; see {args.keep}", file=sys.stderr)
            raise
    print(f"{ended.total()} damaged videos: {dict(ended)}")


if __name__ == "__main__":
    main()
