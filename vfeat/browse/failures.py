"""Answer to a failed request: a status and one message."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vfeat.errors import EnvironmentMissing, JobError, SourceChanged, UnitError, VfeatError
from vfeat.plain_text import one_line
from vfeat.storage.failures import MissingObject, ObjectChanged

_STATUS: tuple[tuple[type[VfeatError], int], ...] = (
    (MissingObject, 404),
    (ObjectChanged, 409),
    (SourceChanged, 409),
    (UnitError, 422),
    (JobError, 400),
    (EnvironmentMissing, 501),
)


class NotThere(VfeatError):
    """Nothing of the dataset has this address."""


class Refused(VfeatError):
    """A request that the page never makes."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def failure(status: int, message: str) -> JSONResponse:
    """Return the answer to a request that failed."""
    return JSONResponse({"error": one_line(message)}, status)


async def on_vfeat_error(request: Request, error: Exception) -> Response:
    """Answer a request that failed on purpose."""
    if isinstance(error, Refused):
        return failure(error.status, str(error))
    if isinstance(error, NotThere):
        return failure(404, str(error))
    text = error.message if isinstance(error, UnitError) else str(error)
    return failure(next((n for kind, n in _STATUS if isinstance(error, kind)), 502), text)


async def on_bug(request: Request, error: Exception) -> Response:
    """Answer a request that failed for a bug; the server prints the traceback."""
    return failure(500, f"a bug in vfeat ({type(error).__name__}); the terminal shows where")


async def on_refused(request: Request, error: Exception) -> Response:
    """Answer what no route takes."""
    status = getattr(error, "status_code", 404)
    text = "only GET, HEAD and the query are answered" if status == 405 else "nothing is here"
    return failure(status, text)
