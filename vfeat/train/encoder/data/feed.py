"""Feed of clips for the network: decoded by extraction's own children, or from the cache.

Shape legend: B clips, V crops, T frames, S side in pixels, C colours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, Event, TaskDone
from vfeat.train.budget_cache import BudgetCache
from vfeat.train.encoder.data.broken import Broken, BrokenSamples
from vfeat.train.encoder.data.epoch_order import Group, Pick

AHEAD = 8  # clips asked for beyond the next one, for each decoder child
WAIT_S = 1.0

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ClipKey:
    """Key of a decoded clip: row of the list, clip of the grid, crops of a frame."""

    row: int
    clip_index: int
    crops: int


@dataclass(frozen=True)
class RawBatch:
    """Clips as they were decoded.

    Attributes:
        frames_BVTSSC: uint8 in host memory, pinned when a GPU will take it.
        picks: the clips that could be decoded, in the group's order.
    """

    frames_BVTSSC: Tensor
    picks: tuple[Pick, ...]


@dataclass
class _Wanted:
    """A clip that is being decoded, or is there; None in the end when it cannot be decoded."""

    pick: Pick
    key: ClipKey
    clip: U8 | None = None
    settled: bool = False


class ClipFeed:
    """The only source of clips of a training; used from one thread at a time.

    Args:
        job: settings of the training.
        broken: records videos that turn out broken.
        workers: number of decoder children; they start when the first clip is decoded.
        pin: pin the batches' memory, for a GPU.
    """

    def __init__(
        self, job: TrainEncoderJob, broken: BrokenSamples, workers: int, pin: bool
    ) -> None:
        self._job, self._broken, self._workers, self._pin = job, broken, workers, pin
        self._cache = BudgetCache[ClipKey](job.cache_megabytes << 20, job.scratch_megabytes << 20)
        self._pools: dict[int, DecodePool] = {}
        self._tasks: dict[int, _Wanted] = {}
        self._by_key: dict[ClipKey, _Wanted] = {}
        self._missing: set[ClipKey] = set()
        self._numbered = 0
        self.decoded = 0

    def __enter__(self) -> ClipFeed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in self._pools.values():
            pool.close()

    def pool(self, crops: Literal[1, 3]) -> DecodePool:
        """Return the children that decode clips with so many crops; they probe as well."""
        if crops not in self._pools:
            job = self._job
            self._pools[crops] = DecodePool(
                job.clip_spec, job.frame_spec(crops), job.limits, self._workers
            )
        return self._pools[crops]

    def batches(self, groups: Sequence[Group], crops: Literal[1, 3] = 1) -> Iterator[RawBatch]:
        """Yield one batch for each group, in order; clips that cannot be decoded are left out.

        Raises:
            JobError: too many videos turn out broken.
        """
        clips = self._clips((pick for group in groups for pick in group), crops)
        for group in groups:
            found = [
                (pick, clip) for pick, clip in (next(clips) for _ in group) if clip is not None
            ]
            yield self._stacked(found, crops)

    def _stacked(self, found: list[tuple[Pick, U8]], crops: int) -> RawBatch:
        job = self._job
        shape = (len(found), crops, job.num_frames, job.size, job.size, 3)
        frames = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pin and bool(found))
        for place, (_, clip) in enumerate(found):
            frames[place].numpy()[...] = clip
        return RawBatch(frames, tuple(pick for pick, _ in found))

    def _clips(
        self, picks: Iterable[Pick], crops: Literal[1, 3]
    ) -> Iterator[tuple[Pick, U8 | None]]:
        """Yield every pick with its clip, in order, while the children decode the next ones."""
        source = iter(picks)
        window: deque[tuple[Pick, _Wanted]] = deque()
        while True:
            while len(window) <= AHEAD * self._workers:
                pick = next(source, None)
                if pick is None:
                    break
                window.append((pick, self._begin(pick, crops)))
            if not window:
                return
            pick, wanted = window[0]
            while not wanted.settled:
                self._take(self.pool(crops).next_event(WAIT_S))
            window.popleft()
            yield pick, wanted.clip

    def _begin(self, pick: Pick, crops: Literal[1, 3]) -> _Wanted:
        key = ClipKey(pick.row, pick.clip_index, crops)
        kept = self._cache.get(key)
        if kept is not None or key in self._missing:
            return _Wanted(pick, key, kept, settled=True)
        if key in self._by_key:
            return self._by_key[key]
        wanted = _Wanted(pick, key)
        self._numbered += 1
        self._tasks[self._numbered] = self._by_key[key] = wanted
        video, line = pick.footage.sample.video, pick.footage.timeline
        clip = pick.clip_index
        task = DecodeTask(
            self._numbered, video.video_id, video.read_from, video.size_bytes, line, clip, clip
        )
        self.pool(crops).submit(task)
        return wanted

    def _take(self, event: Event | None) -> None:
        if isinstance(event, ClipReady):
            self._tasks[event.task_id].clip = np.array(event.frames)  # the slot goes back at once
            event.release()
            self.decoded += 1
        elif isinstance(event, TaskDone):
            wanted = self._tasks.pop(event.task_id)
            del self._by_key[wanted.key]
            wanted.settled = True
            if wanted.clip is not None:
                self._cache.put(wanted.key, wanted.clip)
                return
            self._missing.add(wanted.key)
            sample = wanted.pick.footage.sample
            self._broken.add(
                Broken(sample, error.error_class, error.message) for error in event.outcome.errors
            )
