"""The rows of an index that are nearest to a query: some lists by their codes, the best exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vfeat.search.cosine import cosines, products
from vfeat.search.index_file import IndexFile, checked_places

MEASURED_K = 10  # the recall is that of so many hits
_REFINED = 4  # times as many rows as are asked for are compared exactly, and some more
_REFINED_MORE = 40


@dataclass(frozen=True)
class Visible:
    """Rows that may be found.

    Attributes:
        files_F: which features files; None for all.
        videos_V: which videos; None for all.
    """

    files_F: npt.NDArray[np.bool_] | None = None
    videos_V: npt.NDArray[np.bool_] | None = None

    def holds(self, places_NP: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        """Return for each place whether it may be found."""
        held = np.ones(len(places_NP), bool)
        if self.files_F is not None:
            held &= self.files_F[places_NP[:, 0]]
        if self.videos_V is not None:
            held &= self.videos_V[places_NP[:, 2]]
        return held

    @property
    def is_everything(self) -> bool:
        """Whether no row is left out."""
        return self.files_F is None and self.videos_V is None


@dataclass(frozen=True)
class Found:
    """Rows near one query, in no order.

    Attributes:
        scores_R: cosines of the stored vectors.
        places_R3: file, row and video.
    """

    scores_R: npt.NDArray[np.float32]
    places_R3: npt.NDArray[np.uint32]


def nearest(
    index: IndexFile, unit_D: npt.NDArray[np.float32], k: int, probes: int, visible: Visible
) -> Found:
    """Return at least the k rows with the highest cosines among those looked through.

    Args:
        probes: lists for ten rows; for more, so many times as many.
        visible: rows that may be found.

    Raises:
        IndexDamaged: a row is not as it was written, or the file ends early.
    """
    wanted = _REFINED * k + _REFINED_MORE
    rows, scores = _by_codes(index, unit_D, probes * -(-k // MEASURED_K), wanted, visible)
    if len(rows) > wanted:
        chosen = np.argpartition(-scores, wanted - 1)[:wanted]
        rows = rows[chosen]
    rows = np.sort(rows)
    vectors = index.rows("vectors", rows)
    places = checked_places(index, rows, vectors)
    found = [scores[:, 0] for _, scores in cosines(vectors, unit_D[None])]
    return Found(np.concatenate([np.empty(0, np.float32), *found]), places)


def _by_codes(
    index: IndexFile, unit_D: npt.NDArray[np.float32], probes: int, wanted: int, visible: Visible
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the visible rows of the nearest lists, and their cosines as the codes have them.

    More lists than `probes` are looked through where these hold less than `wanted` rows.
    """
    scaled_D = unit_D * index.spread_D * np.float32(1 / 127)
    zero = 128 * scaled_D.sum()
    starts = index.starts
    rows: list[npt.NDArray[np.int64]] = []
    scores: list[npt.NDArray[np.float32]] = []
    count = 0
    nearness_L = products(index.centroids_LD, unit_D)
    for place, number in enumerate(np.argsort(-nearness_L, kind="stable")):
        if place >= probes and count >= wanted:
            break
        first, end = int(starts[number]), int(starts[number + 1])
        if first == end:
            continue
        own = np.arange(first, end)
        codes, reach = index.part("codes", first, end), index.part("reach", first, end)
        if not visible.is_everything:
            held = visible.holds(index.part("places", first, end))
            own, codes, reach = own[held], codes[held], reach[held]
        rows.append(own)
        scores.append(nearness_L[number] + reach * (products(codes, scaled_D) - zero))
        count += len(own)
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    return np.concatenate(rows), np.concatenate(scores)
