"""Polygraphy's logger, which has nothing to say."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


class _Logger:
    ERROR = 40
    use_python_logging_system = False

    def verbosity(self, level: int) -> AbstractContextManager[None]:
        return nullcontext()


G_LOGGER = _Logger()
