"""The application: one function for each kind of address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from vfeat.browse.dropped import with_dropped_file
from vfeat.browse.failures import NotThere, Refused, on_bug, on_refused, on_vfeat_error
from vfeat.browse.guard import Guard
from vfeat.browse.label_views import label_routes
from vfeat.browse.opened import Opened
from vfeat.browse.parameters import HITS, MOST_HITS, count, filters, seconds
from vfeat.browse.playing import file_answer, stretch_answer
from vfeat.browse.time_line import video_fields
from vfeat.browse.videos import Video
from vfeat.errors import JobError, VfeatError
from vfeat.plain_text import one_line

PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
}  # fmt: skip
MOST_TEXT = 1000  # characters of a sentence
_MOST_FIRST = 10_000_000
_THUMBNAIL_S = 90.0


def application(opened: Opened, token: str) -> ASGIApp:
    """Return the application that shows a dataset."""
    views = _Views(opened)
    app = Starlette(
        routes=[
            *label_routes(opened),
            Route("/", views.page),
            Route("/page/{name}", views.page),
            Route("/api/dataset", views.dataset),
            Route("/api/videos", views.videos),
            Route("/api/clips", views.clips),
            Route("/api/search", views.search),
            Route("/api/video/{video}", views.video),
            Route("/api/query", views.query, methods=["POST"]),
            Route("/thumbnail/{video}", views.thumbnail),
            Route("/file/{video}", views.file),
            Route("/stretch/{video}", views.stretch),
        ],
        exception_handlers={
            VfeatError: on_vfeat_error, HTTPException: on_refused, Exception: on_bug,
        },
    )  # fmt: skip
    return Guard(app, token)


class _Views:
    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in {path.name for path in PAGE.iterdir()}:
            raise NotThere("the page has no such part")
        path = PAGE / name
        return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

    async def dataset(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._opened.about))

    async def videos(self, request: Request) -> Response:
        first = count(request.query_params, "first", 0, _MOST_FIRST)
        part = request.query_params.get("name", "")
        found, total = await run_in_threadpool(self._opened.videos.named, part, first, HITS)
        fields = [
            {"video": v.video_id, "name": one_line(v.name), "uri": one_line(v.uri),
             "duration_s": v.duration_s}
            for v in found
        ]  # fmt: skip
        return JSONResponse({"videos": fields, "total": total})

    async def clips(self, request: Request) -> Response:
        first = count(request.query_params, "first", 0, _MOST_FIRST)
        wanted, order = filters(request.query_params), request.query_params.get("order", "")
        if order not in ("", "unsure"):
            raise JobError(f"order={order[:40]!r}: expected order=unsure, or none")
        view = self._opened.search
        found = view.unsure if order else view.matching
        return await _json(partial(found, wanted, first, HITS))

    async def search(self, request: Request) -> Response:
        asked = request.query_params
        k, wanted = count(asked, "k", HITS, MOST_HITS) or 1, filters(asked)
        if "query" in asked:
            query = self._opened.queries.get(asked["query"])
            found = partial(self._opened.search.nearest, query.vector_D, k, wanted)
            answer = await run_in_threadpool(found)
            return JSONResponse({**answer, "of": {"name": one_line(query.name)}})
        if "text" in asked:
            text = asked["text"][:MOST_TEXT]

            def answer_words() -> dict[str, Any]:
                vector, unknown = self._opened.words.vector(text)
                found = self._opened.search.nearest(vector, k, wanted)
                if unknown:
                    found["how"] += f" Not learnt, and without effect: {', '.join(unknown)}."
                return {**found, "of": {"name": text}}

            return await _json(answer_words)
        video = await self._video(asked.get("like", ""))
        return await _json(
            partial(self._opened.search.like, video.video_id, seconds(asked), k, wanted)
        )

    async def video(self, request: Request) -> Response:
        video = await self._video(request.path_params["video"])

        def fields() -> dict[str, Any]:
            copies = self._opened.copies.of(video.video_id)
            return {**video_fields(video, self._opened.lined), "copies": copies}

        return await _json(fields)

    async def query(self, request: Request) -> Response:
        name = request.query_params.get("name", "")[:200] or "the dropped clip"
        number = await with_dropped_file(request, name, self._opened.queries.add)
        return JSONResponse({"query": number, "name": one_line(name)})

    async def thumbnail(self, request: Request) -> Response:
        video = await self._video(request.path_params["video"])
        asked = self._opened.thumbnails.ask(video, seconds(request.query_params))
        # Several requests wait for one picture: one that goes away must not cancel it.
        waited = asyncio.shield(asyncio.wrap_future(asked))
        try:
            jpeg = await asyncio.wait_for(waited, _THUMBNAIL_S)
        except TimeoutError:
            raise Refused(504, "not decoded in time: the source is slow or away") from None
        headers = {"cache-control": "private, max-age=86400"}
        return Response(jpeg, headers=headers, media_type="image/jpeg")

    async def file(self, request: Request) -> Response:
        video = await self._video(request.path_params["video"])
        asked, if_range = request.headers.get("range"), request.headers.get("if-range")
        return await run_in_threadpool(file_answer, video, request.method, asked, if_range)

    async def stretch(self, request: Request) -> Response:
        video = await self._video(request.path_params["video"])
        return await run_in_threadpool(stretch_answer, video, seconds(request.query_params))

    async def _video(self, text: str) -> Video:
        return await run_in_threadpool(self._opened.videos.get, text)


async def _json(work: Callable[[], dict[str, Any]]) -> Response:
    return JSONResponse(await run_in_threadpool(work))
