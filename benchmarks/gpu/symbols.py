"""Symbols that a library needs of torch, looked up without loading either."""

from __future__ import annotations

import subprocess
from pathlib import Path


def check_symbols(library: Path, folder: Path) -> None:
    """Look for every symbol that the library needs of torch, in torch's own libraries.

    Raises:
        ValueError: one is not there, so that the library could not be loaded.
    """
    needed = {name for name in symbols(library, "--undefined-only") if _is_torchs(name)}
    there = set().union(*(symbols(path, "--defined-only") for path in folder.glob("*.so")))
    if missing := sorted(needed - there):
        raise ValueError(f"{library.name} needs {len(missing)} symbols that torch does not have, "
                         f"such as {missing[0]}")  # fmt: skip
    print(f"{len(needed)} symbols of torch, all there")


def symbols(library: Path, which: str) -> set[str]:
    """Return names in a library's dynamic table, without their versions."""
    found = subprocess.run(
        ["nm", "-D", which, "--format=posix", str(library)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return {line.split()[0].partition("@")[0] for line in found.splitlines() if line}


def _is_torchs(name: str) -> bool:
    """Return whether a mangled name lies in one of torch's namespaces."""
    return name.startswith("_Z") and any(
        part in name for part in ("2at", "3c10", "5torch", "6caffe2")
    )
