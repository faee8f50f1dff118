"""Reading every file's header and times, before any of it is decoded in earnest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from vfeat.addresses import redacted
from vfeat.corpus import Video
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import Probed, ProbeTask, TaskFailed
from vfeat.video_facts import Probe

IN_FLIGHT = 4  # probes queued for each child, so that none waits


def probe_videos(
    pool: DecodePool, videos: Iterable[Video], workers: int
) -> Iterator[tuple[Video, Probe | TaskFailed]]:
    """Probe videos in the pool's children; results come as they finish, failures among them.

    A video that the corpus could not reach is not tried again: its problem is its failure.
    """
    waiting: dict[int, Video] = {}
    source = enumerate(videos)
    exhausted = False
    while waiting or not exhausted:
        while not exhausted and len(waiting) < IN_FLIGHT * workers:
            number, video = next(source, (-1, None))
            if video is None:
                exhausted = True
            elif video.problem is not None:
                yield video, TaskFailed(number, "storage", video.problem, 1)
            else:
                waiting[number] = video
                pool.submit(ProbeTask(number, video.read_from, video.size_bytes))
        event = pool.next_event(timeout_s=1.0) if waiting else None
        if isinstance(event, Probed):
            yield waiting.pop(event.task_id), event.probe
        elif isinstance(event, TaskFailed):
            video = waiting.pop(event.task_id)
            message = redacted(event.message.replace(video.read_from, video.uri))
            yield video, replace(event, message=message)
