"""What stands before every request: who may ask, and what every answer says."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mdsgen.server.body import Body
from mdsgen.server.metrics import Metrics
from mdsgen.server.settings import is_loopback

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PRIVATE = ("/v1/", "/metrics")
"""What needs the token; the page, its parts and the health of the server do not."""


class Guard:
    """An ASGI application around another. Without a token it answers none but this machine, by a name of its own.

    A page of another site cannot ask: neither by its own name for this machine, nor across origins.
    """

    def __init__(self, app: ASGIApp, token: str | None, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._token = None if token is None else token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = Body(receive, headers)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answers[message["status"]] += 1
                if message["status"] >= 400:
                    await body.drain()
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope["path"], headers)
        await (refusal or self._app)(scope, body.receive, answer)

    def _refusal(self, path: str, headers: Headers) -> JSONResponse | None:
        if self._token is None and not is_loopback(_host(headers.get("host", ""))):
            return JSONResponse({"error": "ask for 127.0.0.1 or localhost: other names need a token"}, 421)
        if _is_foreign(headers):
            return JSONResponse({"error": "a page of another site cannot ask"}, 403)
        if self._token is not None and path.startswith(_PRIVATE) and not self._is_known(headers):
            return JSONResponse({"error": "a token is needed"}, 401, {"WWW-Authenticate": "Bearer"})
        return None

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode("latin-1"), self._token or b"")
        return known and scheme.lower() == "bearer"


def _host(name: str) -> str:
    try:
        return urlsplit(f"//{name}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host", "")
