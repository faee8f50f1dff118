"""Identity of a training: the settings and data that a resumed one must share."""

from __future__ import annotations

import json
from typing import Any

from vfeat.addresses import without_secrets
from vfeat.errors import JobError


def check_identity(uri: str, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse to go on with something else, field by field.

    An address that is signed anew is the same.
    """
    found, asked = without_secrets(found), without_secrets(json.loads(json.dumps(asked)))
    lines = [
        f"{name}: there {found.get(name)!r}, asked for {asked.get(name)!r}"
        for name in sorted(found.keys() | asked.keys())
        if found.get(name) != asked.get(name)
    ]
    if lines:
        raise JobError(
            f"{uri} holds a training with other settings or data; use another --out, or the "
            "same settings:",
            *(f"  {line}" for line in lines),
        )
