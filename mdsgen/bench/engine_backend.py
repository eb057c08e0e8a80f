"""A bundle's graphs on an engine, as the runtime runs them."""

from __future__ import annotations

import platform
from contextlib import ExitStack
from functools import partial

import numpy as np

from mdsgen.bench.backends import Backend, Run
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.bundle import CONDITIONING, DENOISER
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.errors import EngineError
from mdsgen.precision import PRECISIONS, DataType
from mdsgen.runtime.generators import Generators
from mdsgen.runtime.networks import Networks, graph_options
from mdsgen.runtime.solver import plan_steps, timesteps_of
from mdsgen.runtime.window_generator import Timings, WindowGenerator
from mdsgen.sampling import Sampling


def data_type(precision: str, engine: str, bfloat16: bool, quantised: bool = True) -> str:
    """What matrix products compute in: on a processor an FP16 graph is computed in FP32, on a GPU as it is.

    An INT8 bundle's plans compute what is not ``quantised`` in TF32.
    """
    computes = PRECISIONS[precision].computes
    if engine == "tensorrt":
        return f"cuda {'tf32' if computes is DataType.INT8 and not quantised else computes.value}"
    if computes is DataType.INT8:
        return str(computes.value)
    reduced = computes_bfloat16() if engine == "openvino" else platform.machine() in ("arm64", "aarch64")
    return "bf16" if bfloat16 and reduced else "fp32"


class EngineBackend(Backend):
    """One pass for both branches, conditioning once per clip; only the networks that are asked for are opened."""

    def __init__(self, source: Subject, threads: int, engine: str, bfloat16: bool = False) -> None:
        self._source, self._engine = source, engine
        self._options = EngineOptions(threads, bfloat16=bfloat16)
        self._describe(engine)
        self._stack, self._held = ExitStack(), ExitStack()
        self._networks: Networks | None = None

    def _describe(self, engine: str) -> None:
        """What it is on that engine, which is another name than it was asked for where that was ``auto``.

        Raises :class:`EngineError` where that came to be a GPU's, which has names of its own here.
        """
        if engine == "tensorrt" and self._engine != "tensorrt":
            raise EngineError(
                f"{self._engine} is tensorrt here, where there are plans: compare tensorrt or tensorrt-stream by name"
            )
        precision, bfloat16 = self._source.precision, self._options.bfloat16
        self.data_type = data_type(precision, engine, bfloat16)
        self.precision = "bf16" if self.data_type == "bf16" else precision
        arithmetic = ", bfloat16 arithmetic" if bfloat16 else ""
        passes = "one pass for both branches" if self._source.sampling.distilled is None else "one branch"
        self.what = f"{engine}, {precision}{arithmetic}, {passes} ({self._source.name})"

    def step(self, inputs: Inputs) -> Run:
        held = self._hold()
        options = graph_options(CONDITIONING, self._options, self._source.geometry)
        with open_engine(self._source.path(CONDITIONING), self._engine, options) as conditioning:
            feeds = {"features": inputs.features, "timesteps": inputs.timestep}
            modulations = conditioning.run(feeds)["modulations"][0]  # [branches, V, D]
        options = graph_options(DENOISER, self._options, self._source.geometry)
        denoiser = held.enter_context(open_engine(self._source.path(DENOISER), self._engine, options))
        self._describe(denoiser.name)
        noise = np.zeros((len(modulations), *inputs.latent.shape[1:]), np.float32)
        run = denoiser.bind({"latent": inputs.latent, "modulations": modulations}, {"noise": noise})

        def step() -> np.ndarray:
            run()
            return noise

        return step

    def loop(self, inputs: Inputs, sampling: Sampling) -> Run:
        networks = self._open()
        timesteps = timesteps_of(plan_steps(sampling, networks.schedule))
        generator = WindowGenerator(networks, sampling)
        return lambda: generator.denoise(inputs.latent, networks.condition(inputs.features, timesteps))

    def clip(self, inputs: Inputs, sampling: Sampling) -> Run:
        generators = Generators(self._open())
        self._hold().callback(generators.close)
        generate = generators.of(sampling)
        return lambda: generate(inputs.pictures, inputs.latent, Timings())

    def _open(self) -> Networks:
        """All networks, once."""
        if self._networks is None:
            self._networks = self._stack.enter_context(Networks(self._source.bundle, self._engine, self._options))
            self._describe(self._networks.engine)
        return self._networks

    def _hold(self) -> ExitStack:
        """What the next run holds on to, beside the networks; what the last one held is given back."""
        self._held.close()
        return self._held

    def close(self) -> None:
        self._networks = None
        with self._stack:
            self._held.close()


on_onnxruntime = partial(EngineBackend, engine="onnxruntime")
on_openvino = partial(EngineBackend, engine="openvino")
on_auto = partial(EngineBackend, engine="auto")


def on_openvino_bf16(source: Subject, threads: int) -> EngineBackend:
    """Raises :class:`EngineError` where OpenVINO would compute in FP32 after all."""
    if not computes_bfloat16():
        raise EngineError("openvino-bf16: OpenVINO is not installed, or this processor does not compute in bfloat16")
    return EngineBackend(source, threads, "openvino", bfloat16=True)


def computes_bfloat16() -> bool:
    """Whether OpenVINO is here and this processor is one on which it computes in bfloat16, not in FP32 instead."""
    try:
        import openvino
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
