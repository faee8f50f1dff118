"""Weights inside the package: `vfeat/box/<name>/`, addressed by the URI `box:<name>`.

Recipes and workers get the URI, not a path: each node resolves it to its own package's copy.
"""

from __future__ import annotations

import re
from pathlib import Path

from vfeat.errors import EnvironmentMissing

BOX = Path(__file__).parents[1] / "box"
SCHEME = "box:"


def in_box(name: str) -> bool:
    """Return whether this package has the folder `name`."""
    return (BOX / name).is_dir()


def open_box(uri: str) -> str:
    """Resolve a `box:` URI to its local folder; return any other URI unchanged.

    Raises:
        EnvironmentMissing: this package has no such folder.
    """
    if not uri.startswith(SCHEME):
        return uri
    name = uri.removeprefix(SCHEME)
    if not re.fullmatch(r"\w+", name) or not in_box(name):
        raise EnvironmentMissing(
            f"{uri}: this package of vfeat has no weights {name!r} in it; install a release that "
            "has them, or name other ones"
        )
    return str(BOX / name)
