"""The file of results: rewritten whenever something was measured, free of paths and host names."""

from __future__ import annotations

import json
import math
import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LAST_LINES = 12
_PATH = re.compile(r"(?<![\w/:.])(?:/[\w.+@~-]+){2,}/?")


class Document:
    """Results of one run, in one JSON file.

    Args:
        folder: where the file is made.
        card: name of the GPU, or `rehearsal`.
    """

    def __init__(self, folder: Path, card: str) -> None:
        now = datetime.now(UTC)
        short = re.sub(r"[^a-z0-9]+", "-", card.lower().replace("nvidia", "")).strip("-")
        self.path = _free(folder / f"gpu-{now:%Y%m%d-%H%M}-{short}.json")
        self.content: dict[str, Any] = {
            "date": now.isoformat(timespec="seconds"),
            "card": card,
            "steps": {},
            "targets": [],
        }
        self.write()

    @property
    def log(self) -> Path:
        """File beside it with everything that the steps printed."""
        return self.path.with_suffix(".log")

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Entry of each step so far, by its letter."""
        steps: dict[str, dict[str, Any]] = self.content["steps"]
        return steps

    def enter(self, key: str, **values: Any) -> None:
        """Add to a step's entry, and write."""
        self.steps.setdefault(key, {}).update(values)
        self.write()

    def write(self) -> None:
        """Replace the file in one step."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(_without_places(self.content), indent=1) + "\n")
        os.replace(draft, self.path)


def _free(path: Path) -> Path:
    """Return the path, or one with a number where a run of the same minute has it."""
    stem, number = path.stem, 1
    while path.exists():
        number += 1
        path = path.with_name(f"{stem}-{number}.json")
    return path


def _without_places(value: Any) -> Any:
    """Apply `plain` to every text of a value, and make it JSON-ready."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(item) for item in value]
    return value


def plain(text: str) -> str:
    """Shorten every absolute path to its last part, and remove the machine's name."""
    text = _PATH.sub(lambda found: found[0].rstrip("/").rsplit("/", 1)[1], text)
    host = socket.gethostname()
    return re.sub(rf"\b{re.escape(host)}\b", "host", text) if len(host) > 3 else text


def last_lines(text: str) -> str:
    """Return the end of an error's text, which names the error itself."""
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])
