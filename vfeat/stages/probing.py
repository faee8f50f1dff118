"""Reading every file's header and times, before any of it is decoded in earnest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vfeat.corpus import Video
from vfeat.media.pool import DecodePool
from vfeat.media.task import Probed, ProbeTask, TaskFailed
from vfeat.plan.unit import Planned

IN_FLIGHT = 4  # probes queued for each child, so that none waits


def probe_videos(pool: DecodePool, videos: Iterable[Video], workers: int) -> Iterator[Planned]:
    """Probe videos in the pool's children; results come as they finish, failures among them."""
    waiting: dict[int, Video] = {}
    source = enumerate(videos)
    exhausted = False
    while waiting or not exhausted:
        while not exhausted and len(waiting) < IN_FLIGHT * workers:
            entry = next(source, None)
            if entry is None:
                exhausted = True
            elif entry[1].problem is not None:
                yield _failed(entry[1], TaskFailed(entry[0], "storage", entry[1].problem, 1))
            else:
                waiting[entry[0]] = entry[1]
                pool.submit(ProbeTask(entry[0], entry[1].uri, entry[1].size_bytes))
        event = pool.next_event(timeout_s=1.0) if waiting else None
        if isinstance(event, Probed):
            video = waiting.pop(event.task_id)
            yield Planned(
                video.video_id, video.uri, video.size_bytes, video.etag, video.extra, event.probe
            )
        elif isinstance(event, TaskFailed):
            yield _failed(waiting.pop(event.task_id), event)


def _failed(video: Video, failure: TaskFailed) -> Planned:
    return Planned(
        video.video_id, video.uri, video.size_bytes, video.etag, video.extra, None,
        failure.error_class, failure.message, failure.attempts,
    )  # fmt: skip
