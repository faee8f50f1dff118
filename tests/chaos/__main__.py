"""The long form: `python -m tests.chaos --faults 300 [--seed S] [--only KIND ...]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.rounds import KINDS, Result
from tests.chaos.stage import open_stage, running_store


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=300, help="to strike in all")
    parser.add_argument("--seed", default="1", help="decides corpora, faults and their order")
    parser.add_argument("--only", nargs="*", choices=sorted(KINDS), help="kinds of faults")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no round later")
    parser.add_argument("--each", type=int, default=24, help="faults to try in a round")
    parser.add_argument("--slow", type=int, default=40, help="videos that take a second to open")
    parser.add_argument("--folder", type=Path, help="for all files; kept where it is named")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as made:
        folder = (options.folder or Path(made)).resolve()
        results = _rounds(options, folder)
    return _report(results, options.faults)


def _rounds(options: argparse.Namespace, folder: Path) -> list[Result]:
    results: list[Result] = []
    began_s = time.monotonic()
    with running_store(folder / "s3") as server, open_stage(folder, options.slow, server) as stage:
        while sum(len(result.struck) for result in results) < options.faults:
            if time.monotonic() - began_s > options.minutes * 60:
                break
            seed = f"{options.seed}-{len(results) + 1}"
            result = stage.round(seed, options.each, options.only or KINDS)
            results.append(result)
            verdict = "exact" if not result.problems else "WRONG: " + "; ".join(result.problems)
            struck = ", ".join(f"{kind} at {at_s:.0f} s" for kind, at_s in result.struck)
            print(
                f"round {seed}: {struck or 'no fault'}; exit codes {result.codes}, "
                f"{result.seconds:.0f} s: {verdict}",
                flush=True,
            )
    return results


def _report(results: list[Result], wanted: int) -> int:
    struck = Counter(kind for result in results for kind, _ in result.struck)
    exact = Counter(kind for r in results if not r.problems for kind, _ in r.struck)
    print(f"\n{'fault':24}{'struck':>8}{'recovered':>11}")
    for kind, count in sorted(struck.items()):
        print(f"{kind:24}{count:8}{exact[kind]:11}")
    total, recovered = sum(struck.values()), sum(exact.values())
    wrong = sum(bool(result.problems) for result in results)
    seconds = sum(result.seconds for result in results)
    print(f"{'all':24}{total:8}{recovered:11}")
    print(f"{len(results)} rounds, {seconds:.0f} s, {wrong} of them not exact")
    if total < wanted:
        print(f"{wanted - total} faults fewer than the {wanted} that were asked for")
    return 1 if wrong or total < wanted else 0


if __name__ == "__main__":
    sys.exit(main())
