"""Exit codes of the commands that read a dataset, counted over many runs on a busy machine.

    python -m tests.cli.exit_codes --runs 200

The interpreter's last moments are where a thread of a library can still abort the process, after
the right output: rarely on a quiet machine, often on a busy one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.engine.commands import REPOSITORY, TINY_FLAGS, run

COMMANDS: dict[str, tuple[str, ...]] = {
    "errors": ("errors",),
    "status": ("status", "--videos", "5"),
    "show": ("show",),
    "verify": ("verify",),
}
AT_ONCE = 2
BUSY = 2


def make_dataset(folder: Path) -> Path:
    """Extract two healthy clips and a broken one, so that every command has something to print."""
    clips = REPOSITORY / "tests" / "clips"
    videos = [clips / name for name in ("cfr25_bframes.mp4", "vp9.webm", "random_bytes.mp4")]
    out = folder / "dataset"
    flags = [*TINY_FLAGS, "--executor", "inline", "--shard-minutes", "0.0001"]
    made = run("extract", *videos, "--out", out, *flags)
    assert made.returncode == 3, made.stderr
    return out


@contextmanager
def busy_machine(processes: int = BUSY) -> Iterator[None]:
    """Keep so many processes computing beside what runs here."""
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: sum(range(10000))"])
        for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def count_exit_codes(out: str | Path, command: str, runs: int) -> Counter[int]:
    """Run one command many times and count its exit codes; a signal's are negative."""

    def once(_: int) -> int:
        name, *flags = COMMANDS[command]
        return run(name, out, *flags).returncode

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(once, range(runs)))


def main() -> None:
    """Print the counts; leave with 1 where any run did not end with 0."""
    parser = argparse.ArgumentParser(description="Count exit codes under load.")
    parser.add_argument("--runs", type=int, default=200, help="Runs of each command.")
    parser.add_argument("--dataset", help="A dataset root, local or s3://; default: a new one.")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=["errors", "status"])
    asked = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        out = asked.dataset or make_dataset(Path(folder))
        with busy_machine():
            for command in asked.commands:
                counts = count_exit_codes(out, command, asked.runs)
                print(f"{command}: {asked.runs} runs, exit codes {dict(counts)}", flush=True)
                failed |= set(counts) != {0}
    sys.exit(failed)


if __name__ == "__main__":
    main()
