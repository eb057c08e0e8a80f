"""A server in this process, on a port of its own, and a client that asks it as anybody may."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from mdsgen import Pipeline
from mdsgen.runtime import Progress
from mdsgen.server import Limits, ServerSettings
from mdsgen.server.app import App
from mdsgen.server.jobs import Job, Jobs
from mdsgen.server.process import Server, address, listening
from tests.media.conftest import Renderer

TIMEOUT = 30.0


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Running:
    """A server that runs: ``folder`` holds its temporary files, ``jobs`` its row."""

    def __init__(self, url: str, folder: Path, jobs: Jobs, server: Server) -> None:
        self.host = url.removeprefix("http://").rstrip("/")
        self.folder, self.jobs, self._server = folder, jobs, server

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; an underscore in a header's name stands for a dash."""
        connection = HTTPConnection(self.host, timeout=TIMEOUT)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            return read(connection.getresponse())
        finally:
            connection.close()

    def sound(self, query: str, film: Any, **headers: str) -> Answer:
        return self.ask("POST", f"/v1/sounds?{query}", film, **headers)

    def open(self, text: str, body: bytes = b"") -> socket.socket:
        """A connection on which a request was begun; lines are parted by ``|``."""
        host, port = self.host.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        connection.sendall("".join(f"{line}\r\n" for line in text.split("|")).encode() + b"\r\n" + body)
        return connection

    def begin(self, film: bytes, query: str, sent: int | None = None) -> socket.socket:
        """A film on its way: of ``sent`` bytes, though all are promised."""
        request = f"POST /v1/sounds?{query} HTTP/1.1|Host: {self.host}|Content-Length: {len(film)}"
        return self.open(request, film[:sent])

    def stop(self) -> None:
        self._server.handle_exit(SIGTERM, None)

    @property
    def left(self) -> list[str]:
        """What lies on the disk at this moment."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


def read(response: HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


Start = Callable[..., Any]


@contextmanager
def running(pipeline: Pipeline, folder: Path, settings: ServerSettings) -> Iterator[Running]:
    jobs = Jobs(settings.limits.waiting)
    with listening(settings) as listener:
        server = Server(App(pipeline, settings, folder, jobs), jobs)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield Running(address(listener), folder, jobs, server)
        server.handle_exit(SIGTERM, None)
        thread.join(TIMEOUT)
        jobs.close()
        assert not thread.is_alive()
        assert jobs.is_idle(TIMEOUT)


@pytest.fixture
def start(pipeline: Pipeline, tmp_path: Path) -> Iterator[Start]:
    """Starts a server in a block: ``with start(token=…, waiting=…) as server``."""
    folder = tmp_path / "server"
    folder.mkdir()

    def started(token: str | None = None, **limits: Any) -> Any:
        return running(pipeline, folder, ServerSettings(port=0, token=token, limits=Limits(**limits)))

    return started


@pytest.fixture(scope="module")
def server(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of a module: films up to 1 MiB and 20 s, and two that wait."""
    limits = Limits(bytes=2**20, seconds=20.0, steps=50, waiting=2)
    with running(pipeline, tmp_path_factory.mktemp("server"), ServerSettings(port=0, limits=limits)) as found:
        yield found
        assert found.left == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A film of two seconds."""
    path = Renderer(tmp_path_factory.mktemp("clip"))("clip.mp4", frames=8, rate=4)
    return bytes(path.read_bytes())


class Gate:
    """Holds every job after its first step until it is opened; ``reached`` says that one is there."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    @staticmethod
    def hold(job: Job, gate: Gate, progress: Progress) -> bool:
        """As :meth:`Job.advance`."""
        job.fraction = progress.fraction
        gate.reached.set()
        while not (gate.opened.wait(0.01) or job.is_unwanted):
            pass
        return not job.is_unwanted


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    found = Gate()
    monkeypatch.setattr(Job, "advance", partialmethod(Gate.hold, found))
    yield found
    found.opened.set()
