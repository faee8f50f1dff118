"""Reading `dataset.json`, which may be damaged, or not ours."""

from __future__ import annotations

import json
from typing import Any

from vfeat.errors import StorageError
from vfeat.job.fingerprint import Recipe
from vfeat.storage.root import Root
from vfeat.tables import layout

_FIELDS = {"format": str, "fingerprint": str, "recipe": dict}


def read_about(root: Root) -> dict[str, Any]:
    """Return the fields of a root's `dataset.json`.

    Raises:
        StorageError: it is not as vfeat wrote it.
    """
    try:
        fields = json.loads(root.read_bytes(layout.DATASET))
    except (ValueError, RecursionError) as error:
        raise _damaged(root, f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise _damaged(root, f"a {type(fields).__name__}, not an object")
    for name, kind in _FIELDS.items():
        if not isinstance(fields.get(name), kind):
            raise _damaged(root, f"{name} is {fields.get(name)!r:.100}")
    return fields


def read_recipe(root: Root) -> Recipe:
    """Return the recipe of a features dataset.

    Raises:
        StorageError: `dataset.json` is not as vfeat wrote it.
    """
    fields = read_about(root)["recipe"]
    try:
        return Recipe.from_json(fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(root, f"its recipe: {error!r}") from None


def _damaged(root: Root, found: str) -> StorageError:
    return StorageError(
        f"{root.url(layout.DATASET)} is not as vfeat wrote it ({found}); restore it from a copy, "
        "or use another --out"
    )
