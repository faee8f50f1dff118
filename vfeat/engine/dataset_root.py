"""`dataset.json`: a root holds one recipe, and another one is refused field by field."""

from __future__ import annotations

import json
from typing import Any, Protocol

from vfeat.errors import JobError
from vfeat.job.fingerprint import difference, fingerprint
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.about import read_about
from vfeat.tables.kind import TableKind


class AnyRecipe(Protocol):
    """A recipe: the settings that decide the numbers of a dataset."""

    def to_json(self) -> dict[str, Any]: ...


def check_dataset(root: Root, recipe: AnyRecipe, kind: TableKind) -> bool:
    """Return True when the root already holds this recipe, False when it is new.

    Raises:
        JobError: the root holds something else; every differing field is named.
        StorageError: its `dataset.json` is damaged.
    """
    if not root.exists(layout.DATASET):
        return False
    found = read_about(root)
    if found["format"] != kind.format:
        raise JobError(f"{root.uri} holds {found['format']}, not {kind.format}; use another --out")
    if found["fingerprint"] == fingerprint(recipe.to_json()):
        return True
    lines = difference(found["recipe"], recipe.to_json())
    raise JobError(
        f"{root.uri} was made with another recipe; use another --out, or the same settings:",
        *(f"  {line}" for line in lines),
    )


def create_dataset(
    root: Root,
    recipe: AnyRecipe,
    kind: TableKind,
    *,
    untrained: bool = False,
    command: str | None = None,
) -> None:
    """Write `dataset.json` once; a driver that lost the race compares its recipe again.

    Args:
        command: what goes on with the dataset, if it is not the command of its kind.
    """
    content = {
        "format": kind.format,
        **({"command": command} if command else {}),
        "fingerprint": fingerprint(recipe.to_json()),
        "untrained": untrained,
        "recipe": recipe.to_json(),
    }
    if not root.create_bytes(layout.DATASET, json.dumps(content, indent=1).encode()):
        check_dataset(root, recipe, kind)
