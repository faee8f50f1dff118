"""Thumbnails: one frame of each chosen clip, decoded in sandboxed children.

A clip that cannot be decoded costs a placeholder with the reason, never the report.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from vfeat.errors import VfeatError
from vfeat.job.recipe import ClipSpec, DecodeLimits, FrameSpec
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, Probed, ProbeTask, TaskDone, TaskFailed
from vfeat.media.jpeg import encode_jpeg
from vfeat.report.video_scan import VideoFile
from vfeat.surroundings import here

SIZE = 112  # pixels
CHILDREN = 2
# A report is for looking: a file that needs more than this gets a placeholder.
LIMITS = DecodeLimits(timeout_s=20.0, memory_bytes=2 << 30)
PATIENCE_S = 180.0  # for all pictures of a dataset

Wanted = tuple[str, int]  # video_id, clip


@dataclass(frozen=True)
class Picture:
    """A JPEG as base64, or why there is none."""

    jpeg: str = ""
    reason: str = ""

    @property
    def source(self) -> str:
        """Value of an image's `src`."""
        return f"data:image/jpeg;base64,{self.jpeg}"


NOT_OPENED = Picture(reason="not opened: this report opens a limited number of videos (--videos)")
_TOO_LATE = Picture(reason="not decoded in time: the source of the videos is slow or away")
_NO_FRAME = Picture(reason="no frame begins in this clip")
_CHANGED = Picture(reason="the file has changed since it was read")


@dataclass
class Album:
    """Pictures by video and clip."""

    pictures: dict[Wanted, Picture] = field(default_factory=dict)
    videos: int = 0

    def get(self, video_id: str, clip: int) -> Picture:
        """Return the picture of a clip, or a placeholder."""
        return self.pictures.get((video_id, clip), NOT_OPENED)

    @property
    def shown(self) -> int:
        """Number of pictures that hold pixels."""
        return sum(bool(picture.jpeg) for picture in self.pictures.values())


def take_pictures(
    wanted: Iterable[Wanted], files: Mapping[str, VideoFile], clip: ClipSpec, most_videos: int
) -> Album:
    """Decode one frame of each clip.

    Args:
        wanted: clips in the order of their importance.
        files: the videos, by id.
        clip: the grid that clips are numbered on.
        most_videos: so many are opened at most.
    """
    chosen: dict[str, list[int]] = defaultdict(list)
    for video_id, number in wanted:
        if video_id in files and (video_id in chosen or len(chosen) < most_videos):
            chosen[video_id].append(number)
    album = Album(videos=len(chosen))
    if chosen:
        frame = FrameSpec(size=SIZE, resize="area", square_pixels=True)
        with DecodePool(replace(clip, num_frames=1), frame, LIMITS, CHILDREN) as pool:
            _Session(pool, album, files, chosen).run()
    return album


class _Session:
    """One pass over the chosen videos: each is probed, then its clips are decoded."""

    def __init__(
        self,
        pool: DecodePool,
        album: Album,
        files: Mapping[str, VideoFile],
        chosen: Mapping[str, list[int]],
    ) -> None:
        self._pool, self._album, self._files, self._chosen = pool, album, files, chosen
        self._ids = list(chosen)
        self._clips: dict[int, Wanted] = {}  # by task

    def run(self) -> None:
        for number, video_id in enumerate(self._ids):
            file = self._files[video_id]
            self._pool.submit(ProbeTask(number, file.uri, file.size_bytes))
        left, end_s = len(self._ids), here().now_s() + PATIENCE_S
        while left:
            event = self._pool.next_event(max(0.0, end_s - here().now_s()))
            if event is None:
                self._give_up()
                return
            if isinstance(event, Probed):
                left += self._ask(event) - 1
            elif isinstance(event, TaskFailed):
                self._fail(self._ids[event.task_id], event.message)
                left -= 1
            elif isinstance(event, ClipReady):
                self._keep(event)
            elif isinstance(event, TaskDone):
                self._end(event)
                left -= 1

    def _give_up(self) -> None:
        for video_id, numbers in self._chosen.items():
            for number in numbers:
                self._album.pictures.setdefault((video_id, number), _TOO_LATE)

    def _ask(self, event: Probed) -> int:
        """Ask for the clips of a video; return how many."""
        video_id = self._ids[event.task_id]
        file, last = self._files[video_id], event.probe.n_clips - 1
        numbers = dict.fromkeys(self._chosen[video_id])
        for number in numbers:
            task, place = len(self._ids) + len(self._clips), max(0, min(number, last))
            self._clips[task] = (video_id, number)
            self._pool.submit(
                DecodeTask(
                    task, video_id, file.uri, file.size_bytes, event.probe.timeline, place, place,
                    etag=file.etag,
                )
            )  # fmt: skip
        return len(numbers)

    def _keep(self, event: ClipReady) -> None:
        try:
            jpeg = base64.b64encode(encode_jpeg(event.array[0, 0])).decode()
            self._album.pictures[self._clips[event.task_id]] = Picture(jpeg)
        finally:
            event.release()

    def _end(self, event: TaskDone) -> None:
        wanted, outcome = self._clips[event.task_id], event.outcome
        if wanted in self._album.pictures:
            return
        if outcome.changed:
            self._album.pictures[wanted] = _CHANGED
        elif outcome.errors:
            self._album.pictures[wanted] = Picture(reason=outcome.errors[0].message)
        else:
            self._album.pictures[wanted] = (
                Picture(reason=event.no_room) if event.no_room else (_NO_FRAME)
            )

    def _fail(self, video_id: str, message: str) -> None:
        for number in self._chosen[video_id]:
            self._album.pictures[video_id, number] = Picture(reason=message)


def pictures_or_reasons(
    wanted: list[Wanted], files: Mapping[str, VideoFile], clip: ClipSpec, most_videos: int
) -> Album:
    """Return what `take_pictures` returns; where no child can be had, placeholders."""
    try:
        return take_pictures(wanted, files, clip, most_videos)
    except VfeatError as error:
        return Album(dict.fromkeys(wanted, Picture(reason=str(error))))
