"""The server's life: listen, serve, and stop within two seconds of a signal."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from mdsgen.cache import cache_folder
from mdsgen.errors import ServerError
from mdsgen.files import hidden_folder
from mdsgen.runtime import Pipeline
from mdsgen.server.app import App
from mdsgen.server.jobs import Jobs
from mdsgen.server.settings import ServerSettings
from mdsgen.watchdog import ENDING

_CONNECTIONS = 200  # at once, whatever they do
_GOODBYE = 1  # second that open requests get to end
_LAST_STEP = 0.5  # seconds that the engine gets to end the step that it is at


def serve(pipeline: Pipeline, settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve until a signal comes, and close the pipeline; ``announce`` gets the address once it is listened on.

    Where an engine does not end its step in time, the process exits at once, with status 0 and nothing left behind.
    Raises :class:`ServerError` where the address cannot be listened on.
    """
    with pipeline, listening(settings) as listener, scratch() as folder:
        jobs = Jobs(settings.limits.waiting)
        announce(address(listener))
        Server(App(pipeline, settings, folder, jobs), jobs).run(sockets=[listener])
        jobs.close()
        if jobs.is_idle(_LAST_STEP):
            return
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


class Server(uvicorn.Server):
    """uvicorn's, whose signals cancel the jobs, too, and end the process without being raised once more."""

    def __init__(self, app: App, jobs: Jobs) -> None:
        super().__init__(
            uvicorn.Config(
                app.build(),
                http="h11",
                ws="none",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_GOODBYE,
            )
        )
        self._jobs = jobs

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop. To be called from any thread, or as a signal handler."""
        self._jobs.stopping = True
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals stop the server within this block; outside the main thread none arrive."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def listening(settings: ServerSettings) -> Iterator[socket.socket]:
    """A socket that listens where the settings say."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host.strip("[]"), settings.port), family=family)
    except (OSError, OverflowError) as error:
        raise ServerError(f"cannot listen on {settings.host} port {settings.port}: {error}") from error
    with listener:
        yield listener


def address(listener: socket.socket) -> str:
    """The URL of the page."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for this server's temporary files, of this user alone; what killed servers left is removed before."""
    home, stack = cache_folder("server"), ExitStack()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        folder = stack.enter_context(hidden_folder(home / "clips"))
    except OSError as error:
        raise ServerError(f"cannot keep films in {home}: {error.strerror}") from error
    with stack:
        yield folder
