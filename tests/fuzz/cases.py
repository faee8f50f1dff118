"""One mutated video: made from a seed and a number, or read from the file of a finding."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate import MUTATORS, kinds_of
from tests.fuzz.sources import Source
from vfeat.job.recipe import ClipSpec, ShotSpec

GRIDS = (
    ClipSpec(4, 1.0, 1.0),
    ClipSpec(3, 0.5, 2.3),
    ClipSpec(2, 0.25, 0.125),
    ClipSpec(2, 2.0, 2.0, "sparse", 3),
    ClipSpec(2, 0.5, 0.5, "shots", shots=ShotSpec("content", 5.0, 0.1)),  # many cuts
)
# How a video is asked for: in one task, in units of two clips, after a probe of its own, or in
# one task twice.
WAYS = ("whole", "split", "probed", "again")
RUN = 40  # cases in a row that share a grid, and so a pool
_NAME = re.compile(r"([a-z]+)-s(\d+)-n(\d+)-g(\d)-([a-z]+)-")


@dataclass(frozen=True)
class Case:
    """One mutated video.

    Attributes:
        name: of the file that holds a finding; it replays the case.
        kind: of the mutation.
        grid: number in GRIDS.
        way: one of WAYS.
    """

    name: str
    kind: str
    grid: int
    way: str
    data: bytes


def make_case(sources: Sequence[Source], kinds: Sequence[str], seed: int, number: int) -> Case:
    """Make the case of a seed and a number; the same for the same sources and kinds."""
    draw = random.Random(f"{seed} {number}")
    kind = draw.choice(kinds)
    source = draw.choice([source for source in sources if kind in kinds_of(source.suffix)])
    grid = number // RUN % len(GRIDS)
    way = draw.choice(WAYS)
    stem = re.sub(r"[^A-Za-z0-9_]", "_", source.name.rpartition(".")[0])[:40]
    name = f"{kind}-s{seed}-n{number}-g{grid}-{way}-{stem}{source.suffix}"
    return Case(name, kind, grid, way, MUTATORS[kind](source.data, draw))


def read_case(path: Path) -> Case:
    """Read the file of a finding.

    Raises:
        ValueError: its name is not one that `make_case` gives.
    """
    found = _NAME.match(path.name)
    if found is None or int(found[4]) >= len(GRIDS) or found[5] not in WAYS:
        raise ValueError(f"{path}: expected KIND-sSEED-nNUMBER-gGRID-WAY-NAME, as findings are")
    return Case(path.name, found[1], int(found[4]), found[5], path.read_bytes())


def by_grid(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Group cases of one grid, in order."""
    for grid in range(len(GRIDS)):
        if chosen := [case for case in cases if case.grid == grid]:
            yield chosen
