"""Videos that cannot be read: counted, listed, left out; too many of them end the training."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vfeat.errors import JobError
from vfeat.train.encoder.data.clip_list import Sample

COLUMNS = ("uri", "row", "error_class", "message")


@dataclass(frozen=True)
class Broken:
    """One sample that yields no clip, and why; `error_class` as in the errors table."""

    sample: Sample
    error_class: str
    message: str


class BrokenSamples:
    """The samples found broken so far.

    Args:
        samples: number of samples in the list.
        max_share: largest share of them that may be broken, in [0, 1].
    """

    def __init__(self, samples: int, max_share: float) -> None:
        self._samples, self._max_share = samples, max_share
        self._found: dict[int, Broken] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, broken: Iterable[Broken]) -> None:
        """Record broken samples.

        Raises:
            JobError: they are too many.
        """
        for one in broken:
            self._found.setdefault(one.sample.row, one)
        if len(self._found) > self._max_share * self._samples:
            (kind, count), *_ = Counter(b.error_class for b in self._found.values()).most_common()
            example = next(b for b in self._found.values() if b.error_class == kind)
            raise JobError(
                f"{len(self._found)} of {self._samples} videos of the list cannot be used, more "
                f"than --max-broken-share {self._max_share:g} allows; {count} are {kind}, such as "
                f"{example.sample.video.uri}: {example.message}"
            )

    def merge(self, parts: Iterable[BrokenSamples]) -> None:
        """Record the broken samples of the peers; raises as `add`."""
        for part in parts:
            self.add(part._found.values())

    def to_csv(self) -> bytes:
        """Return the content of `errors.csv`, by row of the list."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row, broken in sorted(self._found.items()):
            uri, message = broken.sample.video.uri, broken.message
            writer.writerow([uri, row + 1, broken.error_class, message])
        return text.getvalue().encode()

    def __contains__(self, row: int) -> bool:
        return row in self._found
