"""Assignment of a step: its sizes, its time, and the file of its results."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class StepFailed(Exception):
    """A step's own verdict, in sentences; everything else that it raises is a fault."""


@dataclass
class Assignment:
    """One run of a step.

    Attributes:
        result: file that is written anew at every record, so that a killed step loses nothing.
        scratch: folder of this step, deleted after the run.
        deadline_s: on the monotonic clock; a step that measures stops before it.
        rehearse: tiny sizes on the CPU.
    """

    result: Path
    scratch: Path
    deadline_s: float
    rehearse: bool
    recorded: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """`cuda`, or `cpu` in a rehearsal."""
        return "cpu" if self.rehearse else "cuda"

    @property
    def left_s(self) -> float:
        """Seconds until the step is killed."""
        return self.deadline_s - time.monotonic()

    def record(self, name: str, value: Any) -> None:
        """Keep a JSON-ready value, at once."""
        self.recorded[name] = value
        self.write()

    def append(self, name: str, value: Any) -> None:
        """Add a JSON-ready value to a list, at once."""
        self.recorded.setdefault(name, []).append(value)
        self.write()

    def write(self, **more: Any) -> None:
        """Replace the file in one step."""
        draft = self.result.with_suffix(".draft")
        draft.write_text(json.dumps({"results": self.recorded, **more}))
        os.replace(draft, self.result)

    @staticmethod
    def read(result: Path) -> dict[str, Any]:
        """Return what a result file holds so far; nothing where there is none."""
        try:
            found: dict[str, Any] = json.loads(result.read_text())
        except (OSError, ValueError):
            return {}
        return found


def python(*arguments: object) -> list[str]:
    """Return a command line of this interpreter; it finds vfeat through PYTHONPATH."""
    return [sys.executable, *map(str, arguments)]
