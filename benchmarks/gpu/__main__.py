"""`make gpu`, or `python -m benchmarks.gpu`: measure and prove everything on one NVIDIA GPU.

    python -m benchmarks.gpu [--steps a,c] [--out FOLDER] [--minutes 8] [--rehearse]

Needs Python and torch, no network and no writable checkout. Exit codes: 0 all steps ended well, 1 a
step did not, 2 wrong options, 4 there is no GPU, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from benchmarks.gpu.assignment import ROOT
from benchmarks.gpu.document import Document
from benchmarks.gpu.machine import card_facts
from benchmarks.gpu.plan import pick
from benchmarks.gpu.runner import Run, run_steps
from benchmarks.gpu.table import table
from benchmarks.gpu.targets import judged

DEFAULT_OUT = ROOT / "benchmarks" / "results"
NO_GPU = "make gpu: no NVIDIA GPU here, nothing was measured; REHEARSE=1 runs every step on the CPU"


def main(argv: list[str]) -> int:
    """Run the steps, write the file, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--steps", help="letters of steps, such as a,c; default: all")
    parser.add_argument("--out", type=Path, help="folder of the results (benchmarks/results)")
    parser.add_argument("--minutes", type=float, default=8, help="of the whole run (8)")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    arguments = parser.parse_args(argv)
    try:
        steps = pick(arguments.steps)
        folder = _writable(arguments.out)
    except (ValueError, OSError) as error:
        print(f"make gpu: {error}", file=sys.stderr)
        return 2
    card = "rehearsal" if arguments.rehearse else _card()
    if card is None:
        print(NO_GPU, file=sys.stderr)
        return 4
    # A run that is stopped ends its step, as one that is interrupted does.
    before = signal.signal(signal.SIGTERM, _interrupt)
    document = Document(folder, card)
    print(f"results: {document.path}", flush=True)
    deadline_s = time.monotonic() + 60 * arguments.minutes
    scratch = Path(tempfile.mkdtemp(prefix="vfeat-gpu-"))
    code = 130
    try:
        good = run_steps(steps, Run(scratch, deadline_s, arguments.rehearse), document)
        code = 0 if good else 1
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(scratch, ignore_errors=True)
        results = {key: entry.get("results", {}) for key, entry in document.steps.items()}
        document.content["targets"] = judged(results, arguments.rehearse)
        document.write()
        print(f"\n{table(document.content)}\n\n{document.path}", flush=True)
    return code


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _writable(out: Path | None) -> Path:
    """Return the folder of the results; of a read-only checkout, one in the temporary folder.

    Raises:
        OSError: the folder that was asked for cannot be written.
    """
    for folder in (
        [out] if out else [DEFAULT_OUT, Path(tempfile.gettempdir()) / "vfeat-gpu-results"]
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder.resolve()
        except OSError as error:
            problem = error
    raise OSError(f"{folder} cannot be written ({problem.strerror}): give another OUT=FOLDER")


def _card() -> str | None:
    """Return the GPU's name, or None; torch is asked where nvidia-smi is not there."""
    if name := card_facts().get("name"):
        return name
    if not os.path.exists("/dev/nvidia0"):
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
