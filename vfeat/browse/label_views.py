"""Addresses that exist only where the page takes labels: the one thing that is ever written."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vfeat.browse.clip_view import LabelledClip, labelled_clip
from vfeat.browse.corrections import Corrections
from vfeat.browse.failures import Refused
from vfeat.browse.label_file import Part
from vfeat.browse.opened import Opened
from vfeat.browse.parameters import seconds
from vfeat.errors import JobError
from vfeat.plain_text import one_line

_MOST_BYTES = 16 << 10
_FIELDS: dict[str, Any] = {"video": str, "t": (int, float), "scope": str, "label": str}


def label_routes(opened: Opened) -> list[Route]:
    """Return the addresses of labels; none without a file for them."""
    if opened.corrections is None:
        return []
    views = _LabelViews(opened, opened.corrections)
    return [
        Route("/api/labels", views.progress),
        Route("/api/labels", views.give, methods=["POST"]),
        Route("/api/clip/{video}", views.clip),
    ]


class _LabelViews:
    def __init__(self, opened: Opened, corrections: Corrections) -> None:
        self._opened, self._corrections = opened, corrections

    async def progress(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._corrections.progress))

    async def clip(self, request: Request) -> Response:
        at_s, video_id = seconds(request.query_params), request.path_params["video"]
        return JSONResponse(await run_in_threadpool(self._clip, video_id, at_s))

    async def give(self, request: Request) -> Response:
        if "origin" not in request.headers:
            raise Refused(403, "labels are taken from the page alone: the request has no Origin")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refused(415, "expected application/json")
        body = b""
        async for block in request.stream():
            body += block
            if len(body) > _MOST_BYTES:
                raise Refused(413, f"a label has up to {_MOST_BYTES:,} bytes")
        return JSONResponse(await run_in_threadpool(self._give, _fields(body)))

    def _give(self, asked: dict[str, Any]) -> dict[str, Any]:
        uri, clip = self._at(asked["video"], asked["t"])
        is_whole = asked["scope"] == "video"
        part = Part(uri) if is_whole else Part(uri, clip.start_s, clip.end_s)
        self._corrections.give(part, asked["label"])
        return {**self._shown(uri, clip), **self._corrections.progress()}

    def _clip(self, video_id: str, at_s: float) -> dict[str, Any]:
        return self._shown(*self._at(video_id, at_s))

    def _at(self, video_id: str, at_s: float) -> tuple[str, LabelledClip]:
        video = self._opened.videos.get(video_id)
        return video.uri, labelled_clip(self._opened.dataset.root, video, at_s)

    def _shown(self, uri: str, clip: LabelledClip) -> dict[str, Any]:
        return {
            "start_s": clip.start_s, "end_s": clip.end_s, "label": clip.label,
            "shown": None if clip.label is None else one_line(clip.label), "score": clip.score,
            **self._corrections.of(Part(uri, clip.start_s, clip.end_s)),
        }  # fmt: skip


def _fields(body: bytes) -> dict[str, Any]:
    """Return what a label is given with.

    Raises:
        JobError: it is something else.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if (
        not isinstance(found, dict)
        or found.keys() != _FIELDS.keys()
        or not all(isinstance(found[name], kind) for name, kind in _FIELDS.items())
        or found["scope"] not in ("clip", "video")
        or not 0 <= found["t"] < 1e9
    ):
        raise JobError(
            'expected {"video": ID, "t": SECONDS, "scope": "clip" or "video", "label": ""}'
        )
    return found
