"""Where the outputs of the official code are."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def golden_folder(name: str) -> Path:
    """A folder such as `videomamba/classify`.

    Taken from VFEAT_GOLDEN, else from `golden` of the shared folder, else from the copies in
    this repository.
    """
    named = os.environ.get("VFEAT_GOLDEN")
    shared = Path(os.environ.get("VFEAT_SHARED", ROOT.parent / "shared")) / "golden"
    for root in (Path(named) if named else shared, ROOT / "tests" / "golden"):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"no golden folder {name}; VFEAT_GOLDEN is {named!r}")
