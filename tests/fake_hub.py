"""A hub on this machine: the one route that huggingface_hub fetches files by, over real HTTP."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT, OLDER = "a1" * 20, "b2" * 20


@dataclass
class FakeHub:
    """``repositories`` are folders by ``owner/name`` and commit; ``main`` is :data:`COMMIT`.

    What was asked is in ``log``. Of a file named in ``broken`` the connection breaks off, once, in the middle.
    """

    repositories: dict[tuple[str, str], Path] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    url: str = ""

    def add(self, repository: str, folder: Path, commit: str = COMMIT) -> None:
        self.repositories[repository, commit] = folder


class _Route(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: FakeHub, *arguments: object) -> None:
        self.hub = hub
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        found = re.fullmatch(r"/(\w[\w.-]*/\w[\w.-]*)/resolve/([\w.-]+)/([\w./-]+)", self.path)
        repository, revision, name = found.groups() if found else ("", "", "")
        commit = COMMIT if revision == "main" else revision
        folder = self.hub.repositories.get((repository, commit))
        begin = int(re.sub(r"\D", "", self.headers.get("Range", "0")))
        self.hub.log.append(f"{self.command} {repository} {revision[:4]} {name}" + (f" from {begin}" if begin else ""))
        if folder is None or not (folder / name).is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if folder else "RepoNotFound")
            if folder:
                self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = (folder / name).read_bytes()
        self.send_response(206 if begin else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if with_body and name in self.hub.broken:
            self.hub.broken.remove(name)
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif with_body:
            self.wfile.write(content[begin:])


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub without repositories, which listens within this block."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Route, hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def asked(hub: FakeHub, cache: Path) -> Iterator[None]:
    """Within this block huggingface_hub, which reads the environment when it is imported, asks this hub."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what is not a whole one is lost when it breaks off
        patch.setenv("MDSGEN_CACHE", str(cache / "mdsgen"))
        yield


def environment(hub: FakeHub, cache: Path, **more: str) -> dict[str, str]:
    """What a process is started with to ask this hub."""
    return {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "MDSGEN_CACHE": str(cache / "mdsgen"), **more}
