"""A row of a dataset that the report shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredClip:
    """A clip or a prediction.

    Attributes:
        number: index on the clip grid; of a prediction, of the grid that pictures are taken from.
        label: best label; empty in a dataset without labels.
        score: of that label.
    """

    video_id: str
    uri: str
    number: int
    start_s: float
    end_s: float
    label: str
    score: float

    @property
    def name(self) -> str:
        """Name of the video's file."""
        return self.uri.rpartition("/")[2]
