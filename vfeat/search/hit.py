"""What a search finds: clips, and moments of several neighbouring clips."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hit:
    """One clip that a search found.

    Attributes:
        start_s, end_s: the clip's window, seconds after the first presented frame.
        score: cosine of the angle to the query, from -1 to 1.
        label, label_score: the clip's best label; None in a dataset without labels.
    """

    video_id: str
    uri: str
    clip_index: int
    start_s: float
    end_s: float
    score: float
    label: str | None = None
    label_score: float | None = None


@dataclass(frozen=True)
class Moment:
    """A stretch of one video: hits whose clips lie beside each other.

    Attributes:
        best: the hit with the highest score.
        start_s, end_s: from the first clip's start to the last one's end, seconds.
        clips: number of hits.
    """

    best: Hit
    start_s: float
    end_s: float
    clips: int

    @property
    def score(self) -> float:
        """Score of the best clip."""
        return self.best.score
