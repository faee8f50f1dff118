"""Where one video's stored features stand: the unit of work of stage two."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SequenceRef:
    """One video's rows in a features dataset; small enough to plan with.

    Attributes:
        clips: planned clips of the video: the length of its sequence in clips.
        rows: clips that are there; the others are empty or failed, and masked.
        duration_s: length of the video, seconds; None if it never could be read.
        pieces: (key of a features file, first row, rows), in plan order.
    """

    video_id: str
    uri: str
    clips: int
    rows: int
    duration_s: float | None
    pieces: tuple[tuple[str, int, int], ...]
