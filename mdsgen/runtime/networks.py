"""The five networks of a bundle, each on an engine, opened once and run many times."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType

import numpy as np

from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, LATENT_DECODER, VIDEO_ENCODER, VOCODER, Bundle
from mdsgen.engines import DEFAULT_OPTIONS, Engine, EngineOptions, open_engine
from mdsgen.errors import BundleError


class Networks:
    """What the runtime asks of a bundle, in arrays; how an engine wants its inputs named stays in here.

    A context manager. Raises :class:`~mdsgen.errors.EngineError` where an engine cannot be opened.
    """

    def __init__(self, bundle: Bundle, engine: str = "auto", options: EngineOptions = DEFAULT_OPTIONS) -> None:
        self.geometry = bundle.manifest.geometry
        self._engines: dict[str, Engine] = {}
        with ExitStack() as opened:  # closes the first ones should a later one fail
            for name in GRAPHS:
                # The denoiser runs in every step and keeps its activations; the others run once a clip.
                adapter = open_engine(bundle.path(name), engine, replace(options, release_memory=name != DENOISER))
                self._engines[name] = opened.enter_context(adapter)
                _check_interface(name, adapter)
            self._bind_step()
            self._close = opened.pop_all()

    def _bind_step(self) -> None:
        """Fix the arrays of the diffusion loop, so that a step allocates nothing."""
        denoiser = self._engines[DENOISER]
        arrays = {
            spec.name: np.zeros(tuple(map(int, spec.shape)), spec.dtype)
            for spec in (*denoiser.inputs, *denoiser.outputs)
        }
        self._latent, self._modulations = arrays["latent"], arrays["modulations"]
        self._noise = arrays[denoiser.outputs[0].name]
        self._step = denoiser.bind(
            {"latent": self._latent, "modulations": self._modulations}, {denoiser.outputs[0].name: self._noise}
        )

    @property
    def engine(self) -> str:
        """The engine that runs them."""
        return self._engines[DENOISER].name

    @property
    def providers(self) -> tuple[str, ...]:
        """What the engine says it runs on; empty where it does not say."""
        return self._engines[DENOISER].providers

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """``frames [F, 3, 224, 224]`` in 0..1 -> features ``[1, F, 512]``."""
        return self._run(VIDEO_ENCODER, frames=frames[None])

    def condition(self, features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        """``features [1, F, 512]``, ``timesteps [steps]`` -> modulations ``[steps, 2, M, D]`` of both branches."""
        return self._run(CONDITIONING, features=features, timesteps=timesteps)

    def denoise(self, latent: np.ndarray, modulations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``latent [1, C, H, W]``, ``modulations [2, M, D]`` -> conditional and unconditional noise ``[1, C, H, W]``.

        Both are views of one buffer, valid until the next call.
        """
        self._latent[...], self._modulations[...] = latent, modulations
        self._step()
        return self._noise[:1], self._noise[1:]

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """``latent [1, C, H, W]`` -> log-mel spectrogram ``[1, frames, bins]``."""
        return self._run(LATENT_DECODER, latent=latent)

    def vocode(self, log_mel: np.ndarray) -> np.ndarray:
        """Log-mel spectrogram ``[1, frames, bins]`` -> waveform ``[1, samples]``."""
        return self._run(VOCODER, log_mel=log_mel)

    def close(self) -> None:
        """Close all engines. Closing twice is allowed."""
        self._close.close()

    def __enter__(self) -> Networks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, graph: str, **feeds: np.ndarray) -> np.ndarray:
        (output,) = self._engines[graph].run(feeds).values()
        return output


_INPUTS = {
    VIDEO_ENCODER: {"frames"},
    CONDITIONING: {"features", "timesteps"},
    DENOISER: {"latent", "modulations"},
    LATENT_DECODER: {"latent"},
    VOCODER: {"log_mel"},
}


def _check_interface(graph: str, engine: Engine) -> None:
    found = {spec.name for spec in engine.inputs}
    if found != _INPUTS[graph] or len(engine.outputs) != 1:
        raise BundleError(
            f"the bundle's {graph} takes {sorted(found)} and gives {len(engine.outputs)} outputs: "
            f"expected inputs {sorted(_INPUTS[graph])} and one output"
        )
