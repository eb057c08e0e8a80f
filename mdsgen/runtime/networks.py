"""The five networks of a bundle, each on an engine, opened once and run many times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType

import numpy as np

from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, LATENT_DECODER, VIDEO_ENCODER, VOCODER, Bundle
from mdsgen.engines import DEFAULT_OPTIONS, Engine, EngineOptions, first_that_opens, open_engine, warn_once
from mdsgen.engines.device import DeviceEngine, share_activations
from mdsgen.engines.optimised import LARGEST
from mdsgen.errors import BundleError, EngineError
from mdsgen.geometry import FEATURE_CHANNELS, Geometry
from mdsgen.runtime.outputs import check_finite, check_shape
from mdsgen.runtime.solver import Plan, plan_steps
from mdsgen.sampling import Sampling
from mdsgen.tensor import TensorSpec

_FOLDED_TOKENS = 512
"""Up to so many tokens a denoiser's position biases, N² numbers per head and block, are computed once and kept. The 816
of the release's geometry would make that 384 MB instead of 2 MB in Base, to save 3 % of a step."""

_OF_BLOCK, _OF_FINAL_LAYER = 6, 2  # modulations; those of time columns come behind them
_BRANCHES = 2  # of guidance, in one batch: conditional first


def graph_options(graph: str, options: EngineOptions, geometry: Geometry) -> EngineOptions:
    """How a graph is opened in this geometry: as it is asked for, but for two of them.

    The denoiser is run step after step, and folds its position biases only where they are small. Conditioning is never
    computed in bfloat16: the angles of its timestep embedding reach 999, where bfloat16 has steps of 4. It costs
    little, and all else is built on it: in the release's geometry the noise estimate is 20 dB with it in bfloat16, and
    41 dB without.
    """
    if graph == DENOISER:
        return replace(options, repeats=True, fold_constants=geometry.tokens <= _FOLDED_TOKENS)
    return replace(options, bfloat16=False) if graph == CONDITIONING else options


class Networks:
    """What the runtime asks of a bundle, in arrays; how an engine wants its inputs named stays in here.

    ``branches`` are those of guidance that the bundle has: both, or the conditional one of a model that needs no other.
    ``continues``: the denoiser was trained to go on from known columns, marked in their rows of the modulations.

    A context manager. Raises :class:`~mdsgen.errors.EngineError` where an engine cannot be opened or a network gives
    numbers that are not finite, and :class:`~mdsgen.errors.BundleError` where a graph is not of the bundle's geometry.
    """

    def __init__(self, bundle: Bundle, engine: str = "auto", options: EngineOptions = DEFAULT_OPTIONS) -> None:
        self.geometry, self.schedule = bundle.manifest.geometry, bundle.manifest.schedule
        self.continues = bundle.manifest.continues
        self._engines: dict[str, Engine] = {}
        tried = graph_options(DENOISER, options, self.geometry)
        first_that_opens(engine, bundle.path(DENOISER), lambda name: self._open(bundle, name, options), tried)
        for line in self._unused(options):
            warn_once(line)

    def _open(self, bundle: Bundle, engine: str, options: EngineOptions) -> None:
        """All networks on one engine, or none of them."""
        interfaces = _interfaces(self.geometry)
        with ExitStack() as opened:  # closes the first ones should a later one fail
            for name in GRAPHS:  # in this thread: of graphs opened in several, 100 MB stay in the threads' heaps
                chosen = replace(graph_options(name, options, self.geometry), checksum=_checksum(bundle, name))
                adapter = open_engine(bundle.path(name), engine, chosen)
                self._engines[name] = opened.enter_context(adapter)
                _check_interface(name, adapter, *interfaces[name])
            if self.device_engines:
                opened.callback(share_activations(self.device_engines.values()).free)
            self._bind_step()
            self._check_modulations()
            self._close = opened.pop_all()

    def _unused(self, options: EngineOptions) -> Iterator[str]:
        """Says of every option that changes nothing that it does not."""
        if options.bfloat16 and not any(engine.bfloat16 for engine in self._engines.values()):
            yield f"bfloat16 changes nothing: {self.engine} does not compute in it on this machine"
        if options.providers != DEFAULT_OPTIONS.providers and not self.providers:
            yield f"execution providers change nothing: {self.engine} has none"
        if options.threads is not None and self.device_engines:
            yield f"threads change nothing: {self.engine} runs on the GPU"

    def _bind_step(self) -> None:
        """Fix the arrays of the diffusion loop, so that a step allocates nothing.

        A denoiser of one branch computes two one after the other, where the bundle has two.
        """
        denoiser, conditioning = self._engines[DENOISER], self._engines[CONDITIONING]
        specs = {spec.name: spec for spec in (*denoiser.inputs, *denoiser.outputs)}
        (all_modulations,) = conditioning.outputs
        self.branches: int = _count_branches(all_modulations.shape[1])
        vectors, width = map(int, specs["modulations"].shape[1:])
        self._latent = np.zeros((1, *self.geometry.latent_shape), np.float32)
        self._modulations = np.zeros((self.branches, vectors, width), np.float32)
        self._noise = np.zeros((self.branches, *self.geometry.latent_shape), np.float32)
        self._step: Callable[[], None]
        self._conditional_step: Callable[[], None] | None = None
        if specs["noise"].shape[0] == 1:
            steps = [self._bound(slice(i, i + 1)) for i in range(self.branches)]
            self._step, self._conditional_step = partial(_one_after_the_other, steps), steps[0]
        else:
            self._step = self._bound(slice(None))

    def _bound(self, branches: slice) -> Callable[[], None]:
        """The denoiser for these branches, over their parts of the loop's arrays."""
        inputs = {"latent": self._latent, "modulations": self._modulations[branches]}
        return self._engines[DENOISER].bind(inputs, {"noise": self._noise[branches]})

    def _check_modulations(self) -> None:
        """Raise where conditioning gives modulations of another size than the denoiser takes: they would be broadcast.

        Lengths that are open there are compared when it has run.
        """
        (given,), taken = self._engines[CONDITIONING].outputs, self._modulations.shape[1:]
        lengths = zip(taken, given.shape[2:], strict=True)
        if any(isinstance(have, int) and have != want for want, have in lengths):
            raise BundleError(
                f"the bundle's {CONDITIONING} gives {given}, and its {DENOISER} takes modulations of {list(taken)}: "
                "export the bundle again"
            )
        rows, columns = taken[0], self.geometry.time_columns
        if self.continues and (rows - columns) % _OF_BLOCK != _OF_FINAL_LAYER:
            raise BundleError(
                f"the manifest says that the denoiser goes on from marked columns, and of its {rows} modulations none "
                "are of columns: export the bundle again"
            )

    def _bind_conditional_step(self) -> Callable[[], None]:
        """The conditional branch alone.

        A bundle from before there was a choice computes both branches always: there it costs as much as both.
        """
        if all(isinstance(length, int) for spec in self._engines[DENOISER].inputs for length in spec.shape):
            return self._step
        return self._bound(slice(0, 1))

    @property
    def engine(self) -> str:
        """The engine that runs them."""
        return self._engines[DENOISER].name

    @property
    def providers(self) -> tuple[str, ...]:
        """What the engine says it runs on; empty where it does not say."""
        return self._engines[DENOISER].providers

    @property
    def device_engines(self) -> dict[str, DeviceEngine]:
        """The engines by network where they are on a GPU; else none."""
        return {name: engine for name, engine in self._engines.items() if isinstance(engine, DeviceEngine)}

    def plan(self, sampling: Sampling) -> Plan:
        """The solver's steps with this bundle; raises :class:`~mdsgen.errors.SettingsError` as
        :func:`~mdsgen.runtime.solver.plan_steps` does."""
        return plan_steps(sampling, self.schedule, self.branches, self.continues)

    @property
    def marked_columns(self) -> int:
        """How many of the last rows of the modulations get a mark where their column is known."""
        return self.geometry.time_columns if self.continues else 0

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """``frames [frames, 3, size, size]`` in 0..1 -> features ``[1, F, 512]``, one a token column or one a frame."""
        shape = (1, self.geometry.video_features, FEATURE_CHANNELS)
        return self._run(VIDEO_ENCODER, shape, frames=frames[None])

    def condition(self, features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        """``features [1, F, 512]``, ``timesteps [steps]`` -> modulations ``[steps, branches, M, D]``."""
        shape = (len(timesteps), self.branches, *self._modulations.shape[1:])
        return self._run(CONDITIONING, shape, features=features, timesteps=timesteps)

    def denoise(self, latent: np.ndarray, modulations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``latent [1, C, H, W]``, ``modulations [2, M, D]`` -> the estimates of both branches ``[1, C, H, W]``,
        the conditional one first.

        Both are views of one buffer, valid until the next call. Raises :class:`~mdsgen.errors.BundleError` where the
        bundle has no unconditional branch.
        """
        if self.branches == 1:
            raise BundleError("this bundle has no unconditional branch, so guidance must be 1")
        self._latent[...], self._modulations[...] = latent, modulations
        self._step()
        check_finite(DENOISER, self._noise)
        return self._noise[:1], self._noise[1:]

    def denoise_conditional(self, latent: np.ndarray, modulations: np.ndarray) -> np.ndarray:
        """As :meth:`denoise`, but the conditional estimate alone, for half the work where the bundle allows it."""
        self._conditional_step = self._conditional_step or self._bind_conditional_step()
        self._latent[...], self._modulations[...] = latent, modulations[: self.branches]
        self._conditional_step()
        check_finite(DENOISER, self._noise[:1])
        return self._noise[:1]

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """``latent [1, C, H, W]`` -> log-mel spectrogram ``[1, frames, bins]``."""
        return self._run(LATENT_DECODER, (1, self.geometry.mel_frames, self.geometry.mel.bins), latent=latent)

    def vocode(self, log_mel: np.ndarray) -> np.ndarray:
        """Log-mel spectrogram ``[1, frames, bins]`` -> waveform ``[1, samples]``."""
        return self._run(VOCODER, (1, self.geometry.samples), log_mel=log_mel)

    def close(self) -> None:
        """Close all engines. Closing twice is allowed."""
        self._close.close()
        self._step = self._conditional_step = self._closed_step  # the bound ones keep the denoiser's memory

    def __enter__(self) -> Networks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _closed_step(self) -> None:
        raise EngineError(f"{DENOISER}: the engine is closed; open it again to run it")

    def _run(self, graph: str, shape: tuple[int, ...], **feeds: np.ndarray) -> np.ndarray:
        (output,) = self._engines[graph].run(feeds).values()
        check_shape(graph, output, shape)
        check_finite(graph, output)
        return output


def _checksum(bundle: Bundle, graph: str) -> str | None:
    """Of a graph and its weights; None where nobody has checked it, or an engine had too much to keep."""
    files = bundle.manifest.graphs[graph].files
    kept = bundle.verified and sum(part.bytes for part in files) <= LARGEST
    return " ".join(part.sha256 for part in files) if kept else None


def _interfaces(geometry: Geometry) -> dict[str, tuple[TensorSpec, ...]]:
    """What each graph takes and, last, what it gives. A length with a name is the graph's own affair."""
    size = geometry.frame_size
    frames = TensorSpec("frames", "float32", (1, geometry.video_frames, 3, size, size))
    features = TensorSpec("features", "float32", (1, geometry.video_features, FEATURE_CHANNELS))
    timesteps = TensorSpec("timesteps", "float32", ("steps",))
    all_modulations = TensorSpec("modulations", "float32", ("steps", "branches", "vectors", "width"))
    modulations = TensorSpec("modulations", "float32", ("branches", "vectors", "width"))
    latent = TensorSpec("latent", "float32", (1, *geometry.latent_shape))
    noise = TensorSpec("noise", "float32", ("branches", *geometry.latent_shape))
    log_mel = TensorSpec("log_mel", "float32", (1, geometry.mel_frames, geometry.mel.bins))
    return {
        VIDEO_ENCODER: (frames, features),
        CONDITIONING: (features, timesteps, all_modulations),
        DENOISER: (latent, modulations, noise),
        LATENT_DECODER: (latent, log_mel),
        VOCODER: (log_mel, TensorSpec("waveform", "float32", (1, geometry.samples))),
    }


def _check_interface(graph: str, engine: Engine, *expected: TensorSpec) -> None:
    specs = (*engine.inputs, *engine.outputs)
    found = {spec.name: _with_branches(spec) if graph == DENOISER else spec for spec in specs}
    fits = found.keys() == {spec.name for spec in expected} and all(
        spec.admits(found[spec.name].dtype, found[spec.name].shape) for spec in expected
    )
    if not fits or not _has_branches(graph, found):
        raise BundleError(
            f"the bundle's {graph} does not fit its manifest: expected {'; '.join(map(str, expected))}, "
            f"found {'; '.join(map(str, found.values()))}; export the bundle again"
        )


def _has_branches(graph: str, found: Mapping[str, TensorSpec]) -> bool:
    """That what is of each branch of guidance is of one or of both, and no other length of the loop is open."""
    if graph == CONDITIONING:
        return _count_branches(found["modulations"].shape[1]) in (1, _BRANCHES)
    if graph != DENOISER:
        return True
    lengths = [length for spec in found.values() for length in spec.shape]
    branches = {found[name].shape[0] for name in ("modulations", "noise")}
    return all(isinstance(length, int) for length in lengths) and branches in ({1}, {_BRANCHES})


def _count_branches(length: int | str) -> int:
    """Of an axis of branches; engines do not all keep an axis' name, and one that is open takes both."""
    return _BRANCHES if isinstance(length, str) else length


def _one_after_the_other(steps: Sequence[Callable[[], None]]) -> None:
    for step in steps:
        step()


def _with_branches(spec: TensorSpec) -> TensorSpec:
    """The shape that a denoiser's tensor has when it computes both branches."""
    first, *rest = spec.shape
    return replace(spec, shape=(_count_branches(first), *rest))
