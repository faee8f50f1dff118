"""The door: which requests are answered at all, and what each answer forbids the browser.

The address of the page begins with a token. A request without it, or under a name that is not this
machine's own (DNS rebinding), is refused before anything looks at it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vfeat.browse.failures import failure

_NAMES = {"127.0.0.1", "localhost", "::1"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


class Guard:
    """Application in front of another one; strips the token from the path."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # the server closes it

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in _HEADERS.items()
                      if n.encode() not in names),
                ]  # fmt: skip
            await send(message)

        if (reason := self._reason(scope)) is not None:
            await failure(403, reason)(scope, receive, guarded)
            return
        _, _, rest = scope["path"].removeprefix("/").partition("/")
        inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}
        await self._app(inner, receive, guarded)

    def _reason(self, scope: MutableMapping[str, Any]) -> str | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_name(hosts[0]) not in _NAMES:
            return "this page answers under 127.0.0.1 and localhost only"
        origins = [v.decode("latin-1") for name, v in scope["headers"] if name == b"origin"]
        if any(origin != f"http://{hosts[0]}" for origin in origins):
            return "a request of another site"
        found, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(found.encode(), self._token.encode()):
            return "the token of the address is wrong: open the address that vfeat browse printed"
        return None


def host_name(host: str) -> str:
    """Return the name of `name:port`, without the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
