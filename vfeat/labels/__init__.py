"""Class names of published checkpoints: one file per set, one name per line, in their order.

README.md beside the files gives the source of each order; it matters more than it seems, since
Kinetics-400 has several.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

# Values of `--labels`. The first set of a size is the one that VideoMamba's checkpoints have.
LABEL_SETS = {"k400": 400, "ssv2": 174, "imagenet": 1000, "k400-alphabetical": 400}


@cache
def label_set(name: str) -> tuple[str, ...]:
    """Return the names of a set of `LABEL_SETS`.

    Raises:
        KeyError: there is no such set.
    """
    if name not in LABEL_SETS:
        raise KeyError(name)
    text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def set_of_size(classes: int) -> str | None:
    """Return the set that a published VideoMamba with so many outputs was trained on."""
    return next((name for name, size in LABEL_SETS.items() if size == classes), None)


def digest(names: Iterable[str]) -> str:
    """Return a readable identity of a list of names for a recipe: `400 names, 1f0c…`."""
    listed = tuple(names)
    content = "\n".join(listed).encode()
    return f"{len(listed)} names, {hashlib.blake2b(content, digest_size=8).hexdigest()}"
