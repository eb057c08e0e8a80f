"""The interface in OpenAPI's words."""

from __future__ import annotations

from typing import Any

from mdsgen import __version__
from mdsgen.sampling import PRESETS, PURE_NOISE, SOLVERS
from mdsgen.server.jobs import STATES
from mdsgen.server.order import JOB_NAME, LARGEST_SEED, TYPES
from mdsgen.server.settings import ServerSettings

_NUMBER: dict[str, Any] = {"type": "number"}


def document(settings: ServerSettings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a server with these settings."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "mdsgen", "version": __version__, "description": "Sound for silent video."},
        "paths": {
            "/v1/sounds": {"post": _sounds(settings)},
            "/v1/jobs/{job}/events": {"get": _events()},
            "/health": {"get": _plain("Whether the server takes requests.", "application/json", 503)},
            "/metrics": {"get": _plain("Counts in Prometheus' text format.", "text/plain")},
            "/openapi.json": {"get": _plain("This document.", "application/json")},
            "/": {"get": _plain("A page to do it by hand.", "text/html")},
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": _SCHEMAS},
        "security": [] if settings.token is None else [{"token": []}],
    }


def _sounds(settings: ServerSettings) -> dict[str, Any]:
    film = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"video": film}, "required": ["video"]}
    return {
        "summary": "The sound of a film, alone or under its pictures.",
        "description": "The answer is the file. A client that leaves cancels the work.",
        "operationId": "makeSound",
        "parameters": [_parameter(*query) for query in _queries(settings)],
        "requestBody": {
            "required": True,
            "description": f"A film of up to {settings.limits.bytes} bytes and {settings.limits.seconds:g} seconds.",
            "content": {
                "application/octet-stream": {"schema": film},
                "video/*": {"schema": film},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": {"description": "The file.", "content": {kind: {"schema": film} for kind in TYPES.values()}},
            **_faults(400, 401, 403, 406, 408, 409, 413, 415, 421, 422, 500, 503, 507),
        },
    }


def _queries(settings: ServerSettings) -> list[tuple[str, dict[str, Any], str]]:
    steps = {"type": "integer", "minimum": 1, "maximum": settings.limits.steps}
    level = {"type": "number", "minimum": 0, "maximum": PURE_NOISE}
    interval = {"type": "array", "items": level, "minItems": 2, "maxItems": 2}
    seed = {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED, "default": 0}
    return [
        ("seed", seed, "Another seed, another sound."),
        ("quality", _choice(PRESETS), "How much work sampling is."),
        ("steps", steps, "Denoising steps."),
        ("guidance", _NUMBER, "How closely to follow the picture."),
        ("guidance_interval", interval, "Guide at these timesteps only: low,high."),
        ("solver", _choice(SOLVERS), "How to go from step to step."),
        ("start", {"type": "number", "minimum": 0, "default": 0}, "Second where sound begins."),
        ("duration", {"type": "number", "exclusiveMinimum": 0}, "Seconds of sound; to the end without it."),
        ("format", _choice(suffix[1:] for suffix in TYPES), "Kind of file; goes before the Accept header."),
        ("job", {"type": "string", "pattern": f"^{JOB_NAME}$"}, "A name of your own, to follow the progress."),
    ]


def _parameter(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": text, "explode": False}


def _choice(names: Any) -> dict[str, Any]:
    return {"type": "string", "enum": list(names)}


def _events() -> dict[str, Any]:
    return {
        "summary": "The progress of a request that named its job, as server-sent events.",
        "description": "Every event is named progress, and its data is a Job. The last state is done, failed or "
        "cancelled. A job that has not arrived is waited for, for a moment.",
        "operationId": "followJob",
        "parameters": [
            {"name": "job", "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{JOB_NAME}$"}}
        ],
        "responses": {
            "200": {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **_faults(401, 403, 404, 421),
        },
    }


def _plain(text: str, kind: str, *faults: int) -> dict[str, Any]:
    answer = {"description": text, "content": {kind: {}}}
    return {"summary": text, "responses": {"200": answer, **_faults(401, 403, 421, *faults)}}


def _faults(*statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}
    return {str(status): {"description": _FAULTS[status], "content": content} for status in statuses}


_FAULTS = {
    400: "The body is not what its Content-Type says.",
    401: "The token is missing or wrong.",
    403: "A page of another site asks.",
    404: "There is no such job.",
    406: "None of the accepted types is made here.",
    408: "The film stopped coming.",
    409: "A job of that name is there.",
    413: "The film has too many bytes.",
    415: "The film is compressed for transport.",
    421: "Without a token only this machine is answered.",
    422: "Impossible settings, or not a usable film, or too long a one.",
    500: "The engine failed.",
    503: "Too many are waiting, or the server is stopping: Retry-After says when to come again.",
    507: "The disk is full.",
}

_SCHEMAS: dict[str, Any] = {
    "Fault": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
    "Job": {
        "type": "object",
        "properties": {
            "state": {"type": "string", "enum": list(STATES)},
            "fraction": {"type": "number", "minimum": 0, "maximum": 1},
            "ahead": {"type": "integer", "minimum": 0},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["state", "fraction", "ahead"],
    },
}
