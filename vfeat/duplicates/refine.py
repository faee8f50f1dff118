"""The exact place of a line: the speed and offset at which the clips along it are most alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vfeat.duplicates.clips import F64, I64, Clips
from vfeat.duplicates.lines import SPEEDS, Line

_BAND = 4
"""Clips of B on either side of the line that are compared."""
_ROWS = 400
"""Clips of A that are compared; of a longer stretch, so many of it."""
_SPEED = 0.12
_STEPS = 12
_SIMPLER = 0.98
"""Part of the best likeness at which the speed 1 is taken for a line."""


def refined(clips: Clips, b: int, line: Line, rows_a: I64, stride_s: float) -> Line:
    """Return the line near `line` along which the clips `rows_a` and those of B are most alike.

    Between two clips of B likeness is interpolated, so that less than a step makes a difference.

    Args:
        rows_a: clips of A on the line.
        stride_s: time between two clips.
    """
    if len(rows_a) < 3:
        return line
    if len(rows_a) > _ROWS:
        rows_a = rows_a[np.linspace(0, len(rows_a) - 1, _ROWS).astype(np.int64)]
    start_s = clips.start_N[rows_a]
    centre_s, half_s = float(start_s.mean()), max(stride_s, float(np.ptp(start_s)) / 2)
    at_s = line.offset_s + line.speed * start_s
    band, at = _band_likeness(clips, b, rows_a, at_s, stride_s)
    turn = min(_SPEED, (_BAND - 1) * stride_s / half_s)
    turns = np.linspace(-turn, turn, 2 * _STEPS + 1)
    if abs(line.speed - 1) < turn:
        turns = np.append(turns, 1 - line.speed)
    turns = turns[(line.speed + turns >= SPEEDS[0]) & (line.speed + turns <= SPEEDS[-1])]
    shifts = np.linspace(-2, 2, 33) * stride_s
    best = np.array([_along(band, at, start_s - centre_s, t, shifts, stride_s) for t in turns])
    if not len(best):
        return line
    chosen = int(best.max(axis=1).argmax())
    plain = np.flatnonzero(np.abs(line.speed + turns - 1) < 1e-9)
    if len(plain) and best[plain[0]].max() >= _SIMPLER * best.max():
        chosen = int(plain[0])
    speed = line.speed + float(turns[chosen])
    middle_s = line.offset_s + line.speed * centre_s + float(shifts[best[chosen].argmax()])
    return replace(line, speed=speed, offset_s=middle_s - speed * centre_s)


def _band_likeness(
    clips: Clips, b: int, rows_a: I64, at_s: F64, stride_s: float
) -> tuple[F64, F64]:
    """Return the cosines to clips of B around the line, and where the line lies among these.

    Returns:
        [2 BAND + 1, M]: the clip of B nearest to the line, and BAND on either side; a clip that is
        not there is like nothing. And [M]: the place of the line in it, in steps.
    """
    own = clips.rows(b)
    b_start = clips.start_N[own]
    above = np.clip(np.searchsorted(b_start, at_s), 1, max(1, len(b_start) - 1))
    above = np.minimum(above, len(b_start) - 1)
    below = np.maximum(above - 1, 0)
    nearest = np.where(at_s - b_start[below] < b_start[above] - at_s, below, above)
    steps = np.arange(-_BAND, _BAND + 1)[:, None]
    place = np.clip(nearest + steps, 0, len(b_start) - 1)
    vectors_b = np.asarray(clips.vectors_ND[own][place])
    likeness = np.einsum("md,kmd->km", np.asarray(clips.vectors_ND[rows_a]), vectors_b)
    is_there = np.abs(b_start[place] - (b_start[nearest] + steps * stride_s)) < stride_s / 4
    at = (at_s - b_start[nearest]) / stride_s + _BAND
    return np.asarray(np.where(is_there, likeness, 0), np.float64), at


def _along(
    band: F64, at: F64, from_centre_s: F64, turn: float, shifts: F64, stride_s: float
) -> F64:
    """Return the summed likeness along the line that is turned, for each shift."""
    place = at + (from_centre_s * turn + shifts[:, None]) / stride_s
    inside = (place >= 0) & (place <= 2 * _BAND)
    low = np.clip(np.floor(place).astype(int), 0, 2 * _BAND - 1)
    share = place - low
    columns = np.arange(band.shape[1])
    likeness = (1 - share) * band[low, columns] + share * band[low + 1, columns]
    return np.asarray(np.where(inside, np.maximum(likeness, 0), 0).sum(axis=1))
