"""Two plain ways to align the clips of two videos, for comparison: DTW, and counted diagonals.

Both look at every pair of videos and every pair of their clips, with one threshold on the cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.duplicates_score import Box

Matrix = npt.NDArray[np.floating]
Path = list[tuple[int, int]]
Peer = Callable[[Matrix, int], list[Path]]
THRESHOLDS = tuple(float(t) for t in np.round(np.arange(0.3, 0.99, 0.02), 2))


def dtw(likeness_AB: Matrix, shortest: int) -> list[Path]:
    """Return the path of dynamic time warping."""
    return [_path(likeness_AB)]


def diagonals(likeness_AB: Matrix, shortest: int) -> list[Path]:
    """Return all diagonals that are long enough."""
    rows, columns = likeness_AB.shape
    return [
        [(n, n + offset) for n in range(max(0, -offset), min(rows, columns - offset))]
        for offset in range(shortest - rows, columns - shortest + 1)
    ]


def runs(paths: list[Path], likeness_AB: Matrix, threshold: float, shortest: int) -> list[Path]:
    """Return the runs of alike clips on some paths; of those that lie together the longest."""
    found = [run for path in paths for run in _cut(path, likeness_AB, threshold, shortest)]
    kept: list[Path] = []
    for run in sorted(found, key=len, reverse=True):
        if not any(_beside(run, other) for other in kept):
            kept.append(run)
    return kept


def _beside(run: Path, other: Path) -> bool:
    (a, b), (a_end, b_end) = run[0], run[-1]
    (c, d), (c_end, d_end) = other[0], other[-1]
    return min(a_end, c_end) > max(a, c) and min(b_end, d_end) > max(b, d)


def _path(likeness_AB: Matrix) -> Path:
    """Return the cheapest path from corner to corner, whose costs are 1 - cosine."""
    cost = (1 - likeness_AB).tolist()
    rows, columns = likeness_AB.shape
    total = [[0.0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            before = [
                total[p][q]
                for p, q in ((i - 1, j - 1), (i - 1, j), (i, j - 1))
                if p >= 0 and q >= 0
            ]
            total[i][j] = cost[i][j] + (min(before) if before else 0.0)
    path = [(rows - 1, columns - 1)]
    while path[-1] != (0, 0):
        i, j = path[-1]
        steps = [(p, q) for p, q in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if p >= 0 and q >= 0]
        path.append(min(steps, key=lambda cell: total[cell[0]][cell[1]]))
    return path[::-1]


def _cut(cells: Path, likeness_AB: Matrix, threshold: float, shortest: int) -> Iterator[Path]:
    """Yield the runs of alike cells; one unlike cell, or one step that stands still, is passed."""
    run: Path = []
    gap = 0
    for place, cell in enumerate(cells):
        before = cells[place - 1] if place else (-1, -1)
        stands = place > 0 and (cell[0] == before[0] or cell[1] == before[1])
        if likeness_AB[cell] >= threshold and not stands:
            run.append(cell)
            gap = 0
        elif run:
            gap += 1
            if gap > 1:
                if len(run) >= shortest:
                    yield run
                run, gap = [], 0
    if len(run) >= shortest:
        yield run


def boxes(
    found: list[Path], starts: tuple[Matrix, Matrix], ends: tuple[Matrix, Matrix]
) -> list[Box]:
    """Return the times of runs."""
    return [
        (
            float(starts[0][run[0][0]]), float(ends[0][run[-1][0]]),
            float(starts[1][run[0][1]]), float(ends[1][run[-1][1]]),
        )
        for run in found
    ]  # fmt: skip
