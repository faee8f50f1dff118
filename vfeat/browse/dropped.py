"""The bytes of a dropped clip: a temporary file of bounded size, gone after its encoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from vfeat.browse.failures import Refused
from vfeat.storage.temporary import temporary_file

MOST_BYTES = 1 << 30
T = TypeVar("T")


async def with_dropped_file(request: Request, name: str, use: Callable[[str, str], T]) -> T:
    """Call a function with the path of what a request brings, and its name.

    Raises:
        Refused: it is empty or too large.
    """
    with temporary_file("query") as path:
        size = 0
        with open(path, "wb") as file:
            async for block in request.stream():
                size += len(block)
                if size > MOST_BYTES:
                    raise Refused(413, f"{name}: a dropped clip has up to {MOST_BYTES:,} bytes")
                await run_in_threadpool(file.write, block)
        if not size:
            raise Refused(400, f"{name} is empty")
        return await run_in_threadpool(use, path, name)
