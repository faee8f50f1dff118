"""The long form: `python -m tests.sim --seeds 1000`, or until a million faults."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.sim.planted import PLANTED, planted
from tests.sim.world import Report, play

MOST_SEEDS = 3000  # that a planted bug is searched for


def main() -> int:
    """Play seeds and print what they came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, help="so many seeds; default 1000, or what it takes")
    parser.add_argument("--faults", type=int, help="until so many faults were injected")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--trace", action="store_true", help="print every event of --seed")
    parser.add_argument("--plant", choices=sorted(PLANTED), help="with this bug")
    parser.add_argument("--planted", action="store_true", help="search for every planted bug")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    chosen = parser.parse_args()
    if chosen.planted:
        return search()
    if chosen.seed is not None:
        with planted(chosen.plant):
            report = play(chosen.seed, keep_trace=chosen.trace)
        print(*report.lines, sep="\n", end="\n" if report.lines else "")
        print(f"seed {chosen.seed}: digest {report.digest}, faults {dict(report.faults)}")
        return show(report)
    return sweep(chosen)


def sweep(chosen: argparse.Namespace) -> int:
    """Play one seed after the other."""
    seeds = chosen.seeds or (None if chosen.faults else 1000)
    faults: Counter[str] = Counter()
    played = runs = findings = 0
    virtual_s, began_s = 0.0, time.monotonic()
    for report in _reports(chosen, seeds):
        played += 1
        runs += report.runs
        faults += report.faults
        virtual_s += report.virtual_s
        findings += show(report)
        if played % 1000 == 0:
            print(f"... {played:,} seeds, {faults.total():,} faults", flush=True)
        if chosen.faults and faults.total() >= chosen.faults:
            break
    for kind, count in faults.most_common():
        print(f"{count:>12,} {kind}")
    print(
        f"{played:,} seeds, {runs:,} runs, {faults.total():,} faults, "
        f"{virtual_s / 3600:,.0f} virtual hours, {time.monotonic() - began_s:,.0f} s; "
        f"{findings:,} seeds with findings"
    )
    return 1 if findings else 0


def _reports(chosen: argparse.Namespace, seeds: int | None) -> Iterator[Report]:
    numbers = itertools.islice(itertools.count(chosen.first), seeds)
    with planted(chosen.plant):
        if chosen.jobs == 1:
            yield from map(play, numbers)
            return
        with multiprocessing.Pool(chosen.jobs) as pool:
            yield from pool.imap(play, numbers, 16)


def show(report: Report) -> int:
    """Print the findings of a seed, and how to replay it; return whether there are any."""
    for finding in report.findings:
        print(f"seed {report.seed}: {finding}")
    if report.findings:
        print(f"replay: python -m tests.sim --seed {report.seed} --trace", flush=True)
    return bool(report.findings)


def search() -> int:
    """Search for every planted bug, from the first seed on; print after how many it was found."""
    missed = 0
    for name in PLANTED:
        began_s = time.monotonic()
        with planted(name):
            found = next((s for s in range(MOST_SEEDS) if (r := play(s)).findings), None)
        missed += found is None
        after = "never" if found is None else f"by seed {found}: {r.findings[0].splitlines()[-1]}"
        print(f"{name}: found {after} ({time.monotonic() - began_s:.0f} s)", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
