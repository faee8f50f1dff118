"""Feed of features for a head: scanned once, kept in memory up to a budget.

Shape legend: B sequences, L steps, D width, N videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.plan.sequence_ref import SequenceRef
from vfeat.sequences.reader import SequenceReader
from vfeat.sequences.windows import SequenceWindow, sliding, whole
from vfeat.train.budget_cache import BudgetCache
from vfeat.train.labels import listed

SCAN_BYTES = 64 << 20

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """A stretch of one video.

    Attributes:
        values_LD: zeros where nothing is.
        mask_L: True where a step is there.
    """

    values_LD: Floats
    mask_L: Bools


@dataclass(frozen=True)
class Batch:
    """Padded windows; the mask is None when every step of every one is present."""

    values_BLD: Tensor
    mask_BL: Tensor | None

    def rows(self, rows: Sequence[int]) -> Batch:
        """Select some of the windows."""
        index = torch.tensor(rows, device=self.values_BLD.device)
        mask = None if self.mask_BL is None else self.mask_BL[index]
        return Batch(self.values_BLD[index], mask)


class Feed:
    """Windows of videos, read from the dataset or from memory.

    Args:
        reader: reader at the level that is learned from.
        videos: the videos that may be asked for, by place.
        window_s, hop_s: seconds; None for whole videos.
        memory_bytes, scratch_bytes: budgets of features kept between epochs; all others are read
            from the dataset again.
        skip_broken: treat steps with values that are not finite as missing.
    """

    def __init__(
        self,
        reader: SequenceReader,
        videos: Sequence[SequenceRef],
        window_s: float | None,
        hop_s: float | None,
        memory_bytes: int,
        scratch_bytes: int,
        skip_broken: bool,
    ) -> None:
        self.videos = videos
        self.width = reader.width()
        self.means_ND = np.zeros((len(videos), self.width), np.float32)
        self.spans = [np.zeros((0, 2), np.int64) for _ in videos]
        self._every: dict[int, npt.NDArray[np.int64]] = {}  # windows, by the number of clips
        self._reader = reader
        self._steps = reader.steps_per_clip()
        self._window_s, self._hop_s = window_s, hop_s
        self._broken: set[int] = set()
        self._skip_broken = skip_broken
        recipe = reader.dataset.recipe
        self._clip = recipe.clip
        self._stored = np.dtype("float16" if recipe.output.dtype == "bfloat16" else "float32")
        self._cache = BudgetCache[int](memory_bytes, scratch_bytes)  # whole videos, LD
        self._masks: dict[int, Bools] = {}  # L, of the videos in the cache

    @property
    def longest(self) -> int:
        """Steps of the longest window of any video; valid after `scan`."""
        clips = max(int((s[:, 1] - s[:, 0]).max()) + 1 for s in self.spans if len(s))
        return clips * self._steps

    def scan(self, advanced: Callable[[int, int], None]) -> str | None:
        """Read every video once: compute means and windows, check that values are finite.

        Args:
            advanced: called with (done, total) videos.

        Returns:
            A sentence on what is broken and was left out; None when nothing is.

        Raises:
            JobError: NaN or infinite values, unless `skip_broken`.
        """
        clips = 0
        stored = sorted(range(len(self.videos)), key=lambda place: self.videos[place].pieces)
        for done, place in enumerate(stored, start=1):
            clips += self._scan_video(place)
            advanced(done, len(self.videos))
        if not self._broken:
            return None
        names = listed([self.videos[place].uri for place in sorted(self._broken)])
        sentence = (
            f"the features of {len(self._broken)} of {len(self.videos)} videos hold NaN or "
            f"infinite values, in {clips} clips: {names}"
        )
        if not self._skip_broken:
            raise JobError(f"{sentence}. --allow-missing takes these clips as missing")
        return sentence

    def window(self, place: int, number: int) -> Steps:
        """Return window `number` of a video, modulo their count."""
        spans = self.spans[place]
        first, last = spans[number % len(spans)]
        return self.read(place, int(first), int(last))

    def windows(self, place: int) -> Iterator[Steps]:
        """Yield all windows of a video that have a step."""
        for first, last in self.spans[place]:
            yield self.read(place, int(first), int(last))

    def read(self, place: int, first: int, last: int) -> Steps:
        """Read clips first..last of a video, inclusive."""
        kept_LD = self._cache.get(place)
        if kept_LD is not None:
            part = slice(first * self._steps, (last + 1) * self._steps)
            return Steps(kept_LD[part], self._masks[place][part])
        found = self._reader.read(self.videos[place], first, last)
        steps = Steps(found.values_LD, found.mask_L)
        return _finite_only(steps, self._steps) if place in self._broken else steps

    def _scan_video(self, place: int) -> int:
        """Scan one video; return the number of its broken clips."""
        ref = self.videos[place]
        # In blocks: a long video with patch tokens need not fit into memory.
        block = max(1, SCAN_BYTES // (self._steps * self.width * 4))
        keep = self._cache.has_room(ref.clips * self._steps * self.width * self._stored.itemsize)
        total_D, count, broken = np.zeros(self.width), 0, 0
        pieces, masks = [], []
        for first in range(0, ref.clips, block):
            found = self._reader.read(ref, first, min(first + block, ref.clips) - 1)
            steps = Steps(found.values_LD, found.mask_L)
            if not np.isfinite(steps.values_LD).all():
                self._broken.add(place)
                before = int(steps.mask_L.sum())
                steps = _finite_only(steps, self._steps)
                broken += (before - int(steps.mask_L.sum())) // self._steps
            # float64, because a sum of many thousand float32 steps loses digits.
            total_D += steps.values_LD.sum(0, dtype=np.float64)
            count += int(steps.mask_L.sum())
            masks.append(steps.mask_L[:: self._steps])
            if keep:
                pieces.append(steps)
        self.means_ND[place] = total_D / max(1, count)
        self.spans[place] = self._spans(ref.clips, np.concatenate(masks))
        if keep:
            values_LD = np.concatenate([p.values_LD for p in pieces])
            if self._cache.put(place, values_LD.astype(self._stored)):
                self._masks[place] = np.concatenate([p.mask_L for p in pieces])
        return broken

    def _spans(self, clips: int, present: Bools) -> npt.NDArray[np.int64]:
        """Return first and last clip of each window with a present clip, [windows, 2]."""
        if clips not in self._every:
            stride_s, clip_s = self._clip.stride_s, self._clip.clip_s
            windows: Iterable[SequenceWindow] = [whole(clips, stride_s, clip_s)]
            if self._window_s is not None:
                hop_s = self._hop_s or self._window_s
                windows = sliding(clips, stride_s, clip_s, self._window_s, hop_s)
            ends = [(window.first_clip, window.last_clip) for window in windows]
            self._every[clips] = np.array(ends, np.int64).reshape(-1, 2)
        spans = self._every[clips]
        before = np.concatenate([[0], np.cumsum(present)])
        return spans[before[spans[:, 1] + 1] > before[spans[:, 0]]]


def collate(stretches: Sequence[Steps], device: torch.device) -> Batch:
    """Pad windows of any lengths into one batch.

    Args:
        stretches: the windows.
        device: device of the batch.

    Returns:
        Values in float32, zero where padded.
    """
    longest = max(len(s.mask_L) for s in stretches)
    values_BLD = np.zeros((len(stretches), longest, stretches[0].values_LD.shape[1]), np.float32)
    mask_BL = np.zeros((len(stretches), longest), np.bool_)
    for row, steps in enumerate(stretches):
        values_BLD[row, : len(steps.mask_L)] = steps.values_LD
        mask_BL[row, : len(steps.mask_L)] = steps.mask_L
    mask = None if mask_BL.all() else torch.from_numpy(mask_BL).to(device)
    return Batch(torch.from_numpy(values_BLD).to(device), mask)


def _finite_only(steps: Steps, per_clip: int) -> Steps:
    """Mark clips with a non-finite value as missing, whole."""
    fine = np.isfinite(steps.values_LD).all(1).reshape(-1, per_clip).all(1).repeat(per_clip)
    values_LD = np.where(fine[:, None], steps.values_LD, 0)
    return Steps(values_LD, steps.mask_L & fine)
