"""Progress of a run. The command line draws it; tests count it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vfeat.engine.worker_protocol import Progress
from vfeat.errors import ErrorClass
from vfeat.outcome import Outcome, RangeError


@dataclass
class Totals:
    """Running sums of this run.

    Attributes:
        clips: rows as they are encoded, before their commit.
        changed_videos: videos whose object was another one when they were read.
        left_behind: of these, those that changed again and again and wait for the next run.
        skipped: files and folders that could not be looked at while listing.
        fallbacks: videos that PyAV has decoded instead of the recipe's decoder.
        opened_bytes, opened_clips: size and clips of the videos that were opened; the next plan
            is made from their relation.
    """

    noun: str = "clips"
    planned_videos: int = 0
    planned_clips: int = 0
    clips: int = 0
    rows: int = 0
    empty_clips: int = 0
    error_clips: int = 0
    failed_units: int = 0
    errors: dict[ErrorClass, int] = field(default_factory=dict)
    shards: int = 0
    shards_done: int = 0
    bad_packets: int = 0
    changed_videos: int = 0
    left_behind: int = 0
    skipped: int = 0
    fallbacks: int = 0
    opened_bytes: int = 0
    opened_clips: int = 0

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Add a committed shard."""
        self.shards_done += 1
        for outcome in outcomes:
            self.changed_videos += outcome.changed
            self.rows += outcome.rows
            self.empty_clips += outcome.empty_clips
            self.error_clips += outcome.error_clips
            self.failed_units += bool(outcome.errors)
            self.bad_packets += outcome.bad_packets
            self.fallbacks += outcome.fell_back
            for error in outcome.errors:
                self.errors[error.error_class] = self.errors.get(error.error_class, 0) + 1

    def withdraw(self, error: RangeError, *, is_whole: bool) -> None:
        """Take back a failed range that was tried again; its new outcome was added.

        Args:
            is_whole: it was the only failure of its unit.
        """
        self.planned_clips -= error.clips
        self.error_clips -= error.clips
        self.failed_units -= is_whole
        left = self.errors[error.error_class] - 1
        self.errors[error.error_class] = left
        if not left:
            del self.errors[error.error_class]


class Watch:
    """Receiver of progress that ignores all of it; override what is of interest."""

    def phase(self, name: str) -> None:
        """Begin a part of the run: listing, starting, closing."""

    def listed(self, videos: int, new: int, skipped: int) -> None:
        """Receive the numbers of videos so far: listed, new of these, and those not looked at."""

    def planned(self) -> None:
        """Receive that all of the input is planned; work may have begun long before."""

    def advanced(self, totals: Totals, workers: tuple[Progress, ...]) -> None:
        """Receive the running sums."""

    def note(self, text: str) -> None:
        """Receive a sentence for the user."""
