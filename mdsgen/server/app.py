"""The application: what is answered where."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from mdsgen.errors import Cancelled, MdsgenError, MediaError, SettingsError
from mdsgen.runtime import Pipeline
from mdsgen.server import openapi
from mdsgen.server.body import departure
from mdsgen.server.guard import Guard
from mdsgen.server.jobs import ENDED, Job, Jobs
from mdsgen.server.metrics import CONTENT_TYPE, Metrics
from mdsgen.server.order import TYPES, Order
from mdsgen.server.settings import ServerSettings
from mdsgen.server.studio import FILM, Made, Studio
from mdsgen.server.upload import receive_film

_PAGE = Path(__file__).parent / "page"
_PARTS = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_ARRIVAL = 5.0  # seconds that a job is waited for by whoever wants to follow it
_TICK, _SIGN_OF_LIFE = 0.1, 15.0  # seconds between two looks at a job, and between two events at most


class App:
    """The handlers, over one pipeline; films and results lie in ``folder`` while they are needed."""

    def __init__(self, pipeline: Pipeline, settings: ServerSettings, folder: Path, jobs: Jobs) -> None:
        self._settings, self._folder, self._jobs = settings, folder, jobs
        self._studio, self._metrics = Studio(pipeline, settings.limits), Metrics()

    def build(self) -> ASGIApp:
        """The ASGI application."""
        routes = [
            Route("/v1/sounds", self._sounds, methods=["POST"]),
            Route("/v1/jobs/{job}/events", self._events),
            Route("/health", self._health),
            Route("/metrics", self._counts),
            Route("/openapi.json", self._openapi),
            *(Route(path, _part(*part)) for path, part in _PARTS.items()),
        ]
        handlers = {
            HTTPException: _refused,
            SettingsError: _unusable,
            MediaError: _unusable,
            MdsgenError: _failed,
            Exception: _failed,
        }
        app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
        return Guard(app, self._settings.token, self._metrics)

    async def _sounds(self, request: Request) -> Response:
        order = Order.read(request.query_params, request.headers.get("accept", ""))
        try:
            with self._jobs.place(order.job) as job:
                made = await self._made(request, order, job)
        except (ClientDisconnect, Cancelled):
            self._metrics.cancelled += 1
            fault = "the server is stopping" if self._jobs.stopping else "cancelled"
            return JSONResponse({"error": fault}, 503, {"Retry-After": "10"})  # nobody reads it where the client left
        self._metrics.clips += 1
        self._metrics.sound_seconds += made.rendered.seconds
        self._metrics.compute_seconds += made.rendered.total
        headers = {
            "Content-Length": str(made.size),
            "Content-Disposition": f'attachment; filename="mdsgen{made.suffix}"',
            "Server-Timing": ", ".join(
                f"{name.replace(' ', '-')};dur={1000 * seconds:.1f}" for name, seconds in made.rendered.timings.items()
            ),
        }
        return StreamingResponse(made.chunks(), media_type=TYPES[made.suffix], headers=headers)

    async def _made(self, request: Request, order: Order, job: Job) -> Made:
        sampling = self._studio.sampling(order)
        with TemporaryDirectory(prefix="clip-", dir=self._folder, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            self._metrics.received_bytes += await receive_film(request, folder / FILM, self._settings.limits.bytes)
            return await self._jobs.make(
                job, lambda: self._studio.make(folder, order, sampling, job), departure(request.receive)
            )

    async def _events(self, request: Request) -> Response:
        name, end = request.path_params["job"], time.monotonic() + _ARRIVAL
        while (job := self._jobs.named(name)) is None:
            if time.monotonic() > end or self._jobs.stopping or await request.is_disconnected():
                raise HTTPException(404, "there is no such job")
            await asyncio.sleep(_TICK)
        return StreamingResponse(_followed(job), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _health(self, _: Request) -> Response:
        pipeline = self._studio.pipeline
        state = {"engine": pipeline.engine, "jobs": len(self._jobs), "running": self._jobs.running}
        if self._jobs.stopping:
            return JSONResponse({"error": "the server is stopping", **state}, 503)
        return JSONResponse({"status": "ok", **state})

    async def _counts(self, _: Request) -> Response:
        return Response(self._metrics.page(self._jobs), headers={"Content-Type": CONTENT_TYPE})

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(openapi.document(self._settings))


async def _followed(job: Job) -> AsyncIterator[str]:
    """Events of what changes about a job, up to its end."""
    told, said = None, time.monotonic()
    while told is None or told["state"] not in ENDED:
        now = job.to_dict()
        if now != told:
            yield f"event: progress\ndata: {json.dumps(now)}\n\n"
            told, said = now, time.monotonic()
        elif time.monotonic() - said > _SIGN_OF_LIFE:
            yield ": still here\n\n"
            said = time.monotonic()
        await asyncio.sleep(_TICK)


def _part(file: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_PAGE / file).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer


async def _refused(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _unusable(_: Request, error: MdsgenError) -> Response:
    return JSONResponse({"error": " ".join(str(error).split())}, 422)


async def _failed(_: Request, error: Exception) -> Response:
    fault = " ".join(str(error).split()) if isinstance(error, MdsgenError) else "the server failed: its log says why"
    return JSONResponse({"error": fault}, 500)
