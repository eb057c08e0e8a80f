"""One session of the C interface, in Python's types: a pipeline, and the live sound of one source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.runtime import Pipeline

OPTIONS: dict[str, Callable[[str], object]] = {
    "engine": str,
    "threads": int,
    "steps": int,
    "seed": int,
    "frame_rate": float,
    "block": float,
    "lookahead": float,
}


class Session:
    """Pictures in, samples out, as many at a time as are asked for."""

    def __init__(self, bundle: str | None, words: str) -> None:
        options = parsed(words)
        opening = {name: options.pop(name) for name in ("engine", "threads") if name in options}
        self._pipeline = Pipeline.open(bundle, **opening)  # type: ignore[arg-type]
        try:
            self._live = self._pipeline.live(**options)  # type: ignore[arg-type]
        except BaseException:
            self._pipeline.close()
            raise
        self._blocks: Iterator[np.ndarray] = iter(())
        self._left, self._pulling = np.zeros(0, np.float32), threading.Lock()

    def push(self, picture: np.ndarray, time: float | None) -> None:
        """Take a picture, uint8 ``[H, W, 3]``."""
        self._blocks = self._live.push(picture, time)

    def end(self) -> None:
        """No picture comes any more."""
        self._live.end()
        self._blocks = self._live.pull()

    def pull(self, most: int) -> np.ndarray:
        """At most that many samples of what is ready."""
        with self._pulling:
            if not self._left.size:
                self._left = next(self._blocks, self._left)
            now, self._left = self._left[:most], self._left[most:]
            return now

    def close(self) -> None:
        """Let everything go."""
        self._live.close()
        self._pipeline.close()


def parsed(words: str) -> dict[str, object]:
    """Options by name, from ``"block=0.5 seed=7"``. Raises :class:`SettingsError` for what is none."""
    options: dict[str, object] = {}
    for word in words.split():
        name, _, value = word.partition("=")
        if name not in OPTIONS:
            raise SettingsError(f"expected options of {', '.join(OPTIONS)}, got {word!r}")
        try:
            options[name] = OPTIONS[name](value)
        except ValueError as error:
            raise SettingsError(f"{word}: expected a number") from error
    return options
