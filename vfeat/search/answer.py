"""What a search returns: hits, and how they were found."""

from __future__ import annotations

from dataclasses import dataclass

from vfeat.search.hit import Hit


@dataclass(frozen=True)
class Answer:
    """Hits of several queries.

    Attributes:
        hits: of each query, best first.
        indexed_clips: clips that were searched with the index; 0 without one.
        exact_clips: clips that were compared one by one: all, or those newer than the index.
        recall: share of the ten nearest clips that the index finds, as it was measured; None
            without an index.
        notice: why an index that is there was not used.
    """

    hits: list[list[Hit]]
    indexed_clips: int
    exact_clips: int
    recall: float | None = None
    notice: str | None = None

    def describe(self) -> str:
        """Return how the hits were found, as one sentence."""
        if not self.indexed_clips:
            return f"Searched {self.exact_clips:,} clips exactly."
        text = f"Searched {self.indexed_clips:,} clips with the index"
        if self.recall is not None:
            text += f" (recall@10 {self.recall:.3f})"
        if self.exact_clips:
            text += f", and {self.exact_clips:,} clips that are newer than it exactly"
        return text + "."
