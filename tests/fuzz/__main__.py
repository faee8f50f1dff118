"""Mutated videos through the pool of decoder children: `python -m tests.fuzz --minutes 10`.

Prints how the videos ended, by kind of mutation. Exit code 1 when a law is broken; each such video
is kept as a file, and `--replay FILE` runs it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz.cases import RUN, Case, by_grid, make_case, read_case
from tests.fuzz.harness import Harness, run_cases
from tests.fuzz.laws import Trial
from tests.fuzz.mutate import MUTATORS
from tests.fuzz.sources import all_sources
from tests.fuzz.strategies import EXAMPLES
from tests.media.truth import OWN

NEIGHBOUR = OWN / "cfr25_faststart.mp4"


class Tally:
    """Counts of a run, by kind of mutation.

    Args:
        keep: folder for the videos that break a law.
    """

    def __init__(self, keep: Path) -> None:
        self._keep = keep
        self._ended: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._seconds: Counter[str] = Counter()
        self._slowest: list[tuple[float, str]] = []
        self.findings = 0
        self.largest_bytes = 0

    @property
    def videos(self) -> int:
        """Videos that ended so far."""
        return sum(counts.total() for counts in self._ended.values())

    def add(self, trial: Trial) -> None:
        """Count one video; keep it when it breaks a law."""
        kind = trial.case.kind
        self._ended[kind][trial.how] += 1
        self._seconds[kind] += trial.seconds
        self._slowest = sorted([*self._slowest, (trial.seconds, trial.case.name)])[-5:]
        if trial.broken:
            self.find([trial.case], trial.broken[0])

    def close(self, harness: Harness) -> None:
        """Add what belongs to no single video."""
        self.largest_bytes = max(self.largest_bytes, harness.largest_bytes)
        if harness.faults:
            self.find(harness.unfinished(), harness.faults[0])

    def find(self, cases: Sequence[Case], law: str) -> None:
        """Record a broken law."""
        self.findings += 1
        self._keep.mkdir(parents=True, exist_ok=True)
        for case in cases:
            (self._keep / case.name).write_bytes(case.data)
        names = ", ".join(case.name for case in cases)
        print(f"FINDING {names}: {law}", file=sys.stderr, flush=True)

    def show(self) -> None:
        """Print the table."""
        for kind, counts in sorted(self._ended.items()):
            how = ", ".join(f"{name} {count}" for name, count in counts.most_common())
            print(f"{kind:10} {counts.total():6} videos {self._seconds[kind]:8.1f} s: {how}")
        for seconds, name in reversed(self._slowest):
            print(f"slowest    {seconds:6.1f} s {name}")
        print(f"largest child {self.largest_bytes >> 20} MiB")
        print(f"{self.videos} videos, {self.findings} findings")


def _batches(args: argparse.Namespace, folder: Path) -> Iterator[list[Case]]:
    """Yield cases, one grid at a time, until so many are made or so much time is over."""
    if args.replay:
        yield from by_grid([read_case(path) for path in args.replay])
        return
    sources, kinds = all_sources(folder), args.kind.split(",") if args.kind else tuple(MUTATORS)
    until_s = time.monotonic() + 60 * args.minutes if args.minutes else None
    number = args.first
    last = number + args.seeds
    while (number < last) if until_s is None else (time.monotonic() < until_s):
        end = number - number % RUN + RUN
        end = end if until_s is not None else min(end, last)
        yield [make_case(sources, kinds, args.seed, one) for one in range(number, end)]
        number = end


def _other_inputs(examples: int) -> int:
    """Run the property tests of lists, jobs, weights, labels and datasets in their long form."""
    test = Path(__file__).parent / "test_inputs.py"
    told = {**os.environ, EXAMPLES: str(examples)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--timeout", "0", str(test)], env=told
    ).returncode


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seeds", type=int, default=400, help="videos to make")
    length.add_argument("--minutes", type=float, help="run so long instead")
    parser.add_argument("--kind", help=f"of {','.join(MUTATORS)}; all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first video")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--replay", type=Path, nargs="+", help="files of findings")
    parser.add_argument("--inputs", type=int, help="examples of each other input instead")
    args = parser.parse_args()
    if args.inputs:
        return _other_inputs(args.inputs)
    if args.kind and (unknown := set(args.kind.split(",")) - set(MUTATORS)):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    tally = Tally(args.keep)
    with tempfile.TemporaryDirectory() as drawn, tempfile.TemporaryDirectory() as folder:
        try:
            for cases in _batches(args, Path(drawn)):
                for ended in run_cases(cases, NEIGHBOUR, Path(folder)):
                    if isinstance(ended, Harness):
                        tally.close(ended)
                    else:
                        tally.add(ended)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    tally.show()
    return 1 if tally.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
