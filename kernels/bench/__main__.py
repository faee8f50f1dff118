"""`python -m vfeat.kernels.bench cpu|cuda`: one command for each kind of machine."""

from __future__ import annotations

import importlib
import os
import sys

BENCHES = ("cpu", "cuda")


def main(argv: list[str]) -> int:
    """Run the benchmark that the first argument names."""
    if not argv or argv[0] not in BENCHES:
        print(f"usage: python -m vfeat.kernels.bench {'|'.join(BENCHES)} [options]")
        return 2
    # torch's OpenMP threads otherwise spin between its operations, on the cores that ours
    # and other processes need; vfeat's workers run so too. Read when torch is loaded.
    if argv[0] == "cpu" and "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.execv(sys.executable, sys.orig_argv)
    return int(importlib.import_module(f".{argv[0]}", __package__).main(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
