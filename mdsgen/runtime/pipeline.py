"""From a video to its sound: the whole runtime behind one object."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from mdsgen.bundle import Bundle, default_bundle
from mdsgen.engines import EngineOptions, load_library, provider_names
from mdsgen.errors import Cancelled, EngineError, SettingsError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.runtime.generators import Generators
from mdsgen.runtime.live_options import LiveOptions
from mdsgen.runtime.networks import Networks
from mdsgen.runtime.turn import Turn
from mdsgen.runtime.window_generator import Generator, Timings, WindowGenerator
from mdsgen.sampling import PRESETS, Changes, Sampling
from mdsgen.values import check_seed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mdsgen.runtime.live import Live
    from mdsgen.runtime.source import VideoSource
    from mdsgen.runtime.views import Pictures
    from mdsgen.runtime.windows import Window

_log = logging.getLogger("mdsgen")


@dataclass(frozen=True)
class Progress:
    """How far a run is. ``window`` counts from 0; ``step`` counts the solver steps done in it."""

    window: int
    windows: int
    step: int
    steps: int

    @property
    def fraction(self) -> float:
        return (self.window * self.steps + self.step) / (self.windows * self.steps)


OnProgress = Callable[[Progress], bool | None]
"""Called after every solver step. Returning False cancels the run: :class:`~mdsgen.errors.Cancelled` is raised."""


@dataclass(frozen=True)
class Sound:
    """What a video sounds like: ``audio [samples]`` float32 in -1..1, and the seconds that each stage took."""

    audio: np.ndarray
    sample_rate: int
    timings: dict[str, float]

    @property
    def duration(self) -> float:
        """Seconds of sound."""
        return len(self.audio) / self.sample_rate


class Pipeline:
    """A bundle with its engines open. A context manager::

        with Pipeline.open() as pipeline:
            sound = pipeline("video.mp4", seed=0)

    Threads may share one: each clip is what it would be alone, and their windows take turns. So may the coroutines of
    ``asyncio``, with ``await asyncio.to_thread(pipeline, video)``. Two streams may be read in turn; one stream belongs
    to one thread at a time. A process that was forked has to open its own, and a progress callback cannot ask the
    pipeline that is calling it: both are an :class:`~mdsgen.errors.EngineError`.
    """

    def __init__(self, bundle: Bundle, networks: Networks) -> None:
        self.bundle, self._networks = bundle, networks
        self._generators, self._turn = Generators(networks), Turn()

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        *,
        threads: int | None = None,
        providers: Iterable[str] = ("CPUExecutionProvider",),
        bfloat16: bool = False,
        verify: bool = True,
    ) -> Pipeline:
        """Check a bundle (``verify=False`` skips the checksums) and open its five networks on an engine.

        ``bundle`` None is that of :func:`~mdsgen.bundle.default_bundle`: of ``$MDSGEN_BUNDLE``, or the demo model.
        ``bfloat16`` lets an engine compute in it that can, where the graphs are in FP32.
        Raises :class:`~mdsgen.errors.BundleError` or :class:`~mdsgen.errors.EngineError`.
        """
        folder = default_bundle() if bundle is None else bundle
        with ThreadPoolExecutor(1, "bundle") as aside, suppress(EngineError):
            checked = aside.submit(Bundle.open, folder, verify)
            load_library("onnxruntime" if engine == "auto" else engine)  # while the files are hashed
        opened = checked.result()
        options = EngineOptions(threads=threads, providers=provider_names(providers), bfloat16=bfloat16)
        networks = Networks(opened, engine, options)
        _log.info("opened %s in %s on %s", opened.folder, opened.manifest.precision, networks.engine)
        return cls(opened, networks)

    @property
    def engine(self) -> str:
        """The engine that runs the networks."""
        return self._networks.engine

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime's execution providers that really serve them; empty for other engines."""
        return self._networks.providers

    def __call__(
        self,
        video: VideoSource,
        *,
        seed: int = 0,
        start: float = 0.0,
        duration: float | None = None,
        frame_rate: float | None = None,
        progress: OnProgress | None = None,
        sampling: Sampling | None = None,
        **changes: Unpack[Changes],
    ) -> Sound:
        """The sound of a video, or of ``duration`` seconds of it from ``start``. The same seed gives the same sound.

        ``frame_rate`` is how many frames of an array come in a second, None as many as the model's geometry has.
        ``sampling`` says how it is sampled, None as the bundle says. Further keywords change that, as
        :meth:`Sampling.changed <mdsgen.sampling.Sampling.changed>` takes them: ``quality``, one of
        :data:`~mdsgen.sampling.PRESETS`, and before it ``steps``, ``guidance``, ``solver``, ``guidance_interval`` and
        the other fields of :class:`~mdsgen.sampling.Sampling`. Raises :class:`~mdsgen.errors.MediaError` for a file
        that is not a usable video, :class:`~mdsgen.errors.SettingsError` for impossible settings.
        """
        timings = Timings()
        _check_kind(sampling, Sampling | None, "sampling", "a Sampling")
        chosen = (sampling or self.bundle.sampling).changed(**changes)
        stream = self.stream(
            video,
            chosen,
            seed=seed,
            start=start,
            duration=duration,
            frame_rate=frame_rate,
            progress=progress,
            timings=timings,
        )
        return Sound(np.concatenate(list(stream)), SAMPLE_RATE, dict(timings.seconds))

    def stream(
        self,
        video: VideoSource,
        sampling: Sampling | None = None,
        *,
        seed: int = 0,
        start: float = 0.0,
        duration: float | None = None,
        frame_rate: float | None = None,
        progress: OnProgress | None = None,
        timings: Timings | None = None,
    ) -> Iterator[np.ndarray]:
        """As a call, but block after block ``[samples]`` as windows are done: memory does not grow with the length."""
        from mdsgen.runtime.source import open_source  # with PyAV, which a pipeline is opened without

        check_seed(seed)
        _check_kind(sampling, Sampling | None, "sampling", "a Sampling")
        _check_kind(progress, Callable | None, "progress", "a function")
        sampling = sampling or self.bundle.sampling
        with self._turn.taken():
            generator = self._generators.of(sampling)
        timings = Timings() if timings is None else timings
        pictures, samples = open_source(video, self.bundle.manifest.geometry, start, duration, frame_rate)
        return self._windows(generator, pictures, samples, seed, sampling.steps, progress, timings)

    def _windows(
        self,
        generator: Generator,
        pictures: Pictures,
        samples: int,
        seed: int,
        steps: int,
        progress: OnProgress | None,
        timings: Timings,
    ) -> Iterator[np.ndarray]:
        from mdsgen.runtime.soundtrack import Soundtrack
        from mdsgen.runtime.views import Views

        track = Soundtrack(self.bundle.manifest.geometry, generator, seed)
        windows = sum(1 for _ in track.plan.film(samples))
        views = Views(track.plan.geometry, track.plan.film(samples))
        for window in track.plan.film(samples):
            _log.info("window %d of %d", window.index + 1, windows)
            with timings.stage("video decoding"):
                view = views.of_film(pictures, samples)  # [F, size, size, 3]
            report = _reporter(progress, window, windows, steps)
            with self._turn.taken():  # never across a yield: whoever lets a stream go unread must not keep the turn
                block = track.add(window, view, timings, report, end=samples)
            yield np.clip(block, -1.0, 1.0)  # two loud sounds that agree by chance are louder than either

    def live(
        self,
        *,
        frame_rate: float = LiveOptions.frame_rate,
        block: float = LiveOptions.block,
        lookahead: float = LiveOptions.lookahead,
        seed: int = 0,
        sampling: Sampling | None = None,
        **changes: Unpack[Changes],
    ) -> Live:
        """The sound of pictures as they come, without an end: see :class:`~mdsgen.runtime.live.Live`.

        ``frame_rate`` is the source's: how many pictures come in a second, where they have no time stamps. Each
        ``block`` seconds of sound are given out when ``lookahead`` seconds behind them have been seen. ``sampling``
        None is the preset ``fast``, or the bundle's own where that has no more steps; further keywords change it as in
        a call. Where computing falls behind, a block gets half the steps, or is left silent. Raises
        :class:`~mdsgen.errors.SettingsError` for impossible settings.
        """
        from mdsgen.runtime.live import Live

        _check_kind(sampling, Sampling | None, "sampling", "a Sampling")
        options, own = LiveOptions(frame_rate, block, lookahead, seed), self.bundle.sampling
        quick = own if own.steps <= PRESETS["fast"].steps else own.changed(quality="fast")
        chosen = (sampling or quick).changed(**changes)
        fewer = None
        with self._turn.taken():
            generator = self._generators.of(chosen)
            if isinstance(generator, WindowGenerator) and chosen.steps > 1:
                fewer = WindowGenerator(self._networks, chosen.changed(steps=chosen.steps // 2))
        return Live(self.bundle.manifest.geometry, generator, fewer, options, self._turn.taken)

    def close(self) -> None:
        """Close the engines, once the window that another thread is at is done. In a forked process nothing is done."""
        if self._turn.is_forked:
            return
        with self._turn.taken():
            try:
                self._generators.close()
            finally:
                self._networks.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_kind(value: object, kind: Any, name: str, expected: str) -> None:
    if not isinstance(value, kind):
        raise SettingsError(f"{name} must be {expected} or None, not {value!r:.80}")


def _reporter(progress: OnProgress | None, window: Window, windows: int, steps: int) -> Callable[[int], None]:
    def report(step: int) -> None:
        if progress is not None and progress(Progress(window.index, windows, step, steps)) is False:
            raise Cancelled("cancelled by the caller")

    return report
