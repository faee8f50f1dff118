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
        match: probability that the clip matches the sentence of a re-ranked search; else None.
    """

    video_id: str
    uri: str
    clip_index: int
    start_s: float
    end_s: float
    score: float
    label: str | None = None
    label_score: float | None = None
    match: float | None = None

    @property
    def rank(self) -> tuple[bool, float]:
        """What hits are ordered by: the match, where there is one, before the score."""
        return self.match is not None, self.score if self.match is None else self.match


@dataclass(frozen=True)
class Moment:
    """A stretch of one video: hits whose clips lie beside each other.

    Attributes:
        best: the hit that ranks highest.
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
