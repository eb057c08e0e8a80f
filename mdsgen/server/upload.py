"""The film of a request, from its body to a file: the body itself, or the first file of a multipart form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Protocol

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from mdsgen.server.body import chunks

_FORM = 64 * 2**10  # bytes that a form may add to its film
_LONGEST_HEADER = 8192  # bytes


class Sink(Protocol):
    """Takes a body piece by piece, and its end."""

    def write(self, data: bytes) -> object: ...
    def finish(self) -> None: ...


async def receive_film(request: Request, target: Path, limit: int) -> int:
    """Write the film to ``target``, which must not exist; its bytes are counted and returned.

    Nothing of the request names a file. Raises :class:`HTTPException` for what is larger than ``limit`` bytes (413),
    compressed (415), not a form though it says so (400), or empty (422), and where the disk is full (507).
    """
    if int(request.headers.get("content-length", 0)) > limit + _FORM:
        raise _too_large(limit)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "expected a film as it is, without a Content-Encoding")
    try:
        with open(target, "xb") as file:
            film = _Film(file, limit)
            sink = _sink(request.headers.get("content-type", ""), film)
            await _pour(request, sink, limit)
    except OSError as error:
        raise HTTPException(507, f"cannot keep the film: {error.strerror}") from error
    if not film.size:
        raise HTTPException(422, "the request holds no film: send it as the body, or as a file in a multipart form")
    return film.size


async def _pour(request: Request, sink: Sink, limit: int) -> None:
    total = 0
    try:
        async for chunk in chunks(request.receive):
            total += len(chunk)
            if total > limit + _FORM:
                raise _too_large(limit)
            await anyio.to_thread.run_sync(sink.write, chunk)
        sink.finish()
    except FormParserError as error:
        raise HTTPException(400, "the body is not the multipart form that its Content-Type promises") from error


def _sink(content_type: str, film: _Film) -> Sink:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return film
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046
        raise HTTPException(400, "a multipart form needs a boundary of 1 to 70 characters")
    return _Form(boundary, film)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"a film may have {limit / 2**20:g} MiB here")


class _Film:
    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._limit, self.size = file, limit, 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise _too_large(self._limit)
        self._file.write(data)

    def finish(self) -> None:
        """A body that ends is whole: HTTP counts its bytes."""


class _Form:
    """A multipart form: the first part that has a file name is the film, other parts are passed over."""

    def __init__(self, boundary: bytes, film: _Film) -> None:
        self._film, self._ended = film, False
        self._header, self._value = b"", b""
        self._taken, self._taking = False, False
        callbacks: dict[str, Any] = {
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_part_data": self._on_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self._parser.write(data)

    def finish(self) -> None:
        self._parser.finalize()
        if not self._ended:
            raise HTTPException(400, "the multipart form is cut off")

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header = self._grown(self._header, data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value = self._grown(self._value, data[start:end])

    @staticmethod
    def _grown(text: bytes, more: bytes) -> bytes:
        if len(text) + len(more) > _LONGEST_HEADER:
            raise HTTPException(400, "a header in the multipart form is too long")
        return text + more

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition" and not self._taken:
            _, options = parse_options_header(self._value)
            self._taken = self._taking = b"filename" in options
        self._header, self._value = b"", b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._taking:
            self._film.write(data[start:end])

    def _on_part_end(self) -> None:
        self._taking = False

    def _on_end(self) -> None:
        self._ended = True
