"""Description of an import worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vfeat.importing.sequence_file import Reading
from vfeat.job.fingerprint import Recipe
from vfeat.job.kinds import load

if TYPE_CHECKING:
    from vfeat.engine.executor import Worker


@dataclass(frozen=True)
class ImportSpec:
    """Description of an import worker; pickles."""

    root: str = field(repr=False)  # may hold a password
    recipe: Recipe
    reading: Reading
    patience_s: float

    def build(self, cores: int) -> Worker:
        """Make the worker; it works in one thread."""
        worker: Worker = load("vfeat.importing.worker:ImportWorker")(self)
        return worker
