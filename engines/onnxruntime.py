"""ONNX Runtime: the engine that runs everywhere.

Measured on two x86 cores with ONNX Runtime 1.32, medians: binding arrays saves nothing on a CPU (10.5 against 9.9 ms
for 12 blocks of width 192, 164 against 167 ms for width 768, 112 against 111 ms for a convolutional decoder), so
``run`` returns fresh arrays and ``bind`` serves loops that must allocate nothing.

Threads that spin while they wait save a sixth of a guided step of the demo model (15.3 against 18.4 ms). Those of a
network that waits for its turn, though, take the processor from the one that runs: with five networks that spun, a clip
took 1.39 s of processor time, with the denoiser alone spinning and only within its runs 1.05 s.

Memory decides on the edge. Without ONNX Runtime's arena a network keeps nothing between runs: the five networks of Base
hold on to 0.7 GB less, for 0 to 5 % of the time.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mdsgen.engines.base import DEFAULT_OPTIONS, Engine, EngineOptions, errors_as, onnx_file
from mdsgen.engines.forked import opening
from mdsgen.engines.optimised import GRAPH, WEIGHTS, KeptGraph
from mdsgen.errors import EngineError
from mdsgen.tensor import TensorSpec

_DTYPES = {f"tensor({name})": name for name in ("float16", "bool")}
_DTYPES |= {f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_DTYPES |= {"tensor(float)": "float32", "tensor(double)": "float64"}

_EXTERNAL = "session.optimized_model_external_initializers"  # where the weights of a graph go that it writes
_SILENT = 4  # ONNX Runtime's log level of what is fatal: whatever else fails is said by an exception


class OnnxRuntimeEngine(Engine):
    """An ONNX file in ONNX Runtime. ``providers`` are the execution providers that really serve it.

    A function that :meth:`bind` returned holds on to the session: its memory comes back when that is let go, too.
    """

    name = "onnxruntime"

    def __init__(self, path: str | os.PathLike[str], options: EngineOptions = DEFAULT_OPTIONS) -> None:
        path = onnx_file(path)
        self._runtime = _import()
        self._session = self._open_session(path, options)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self._run_options = self._runtime.RunOptions()
        self._run_options.log_severity_level = _SILENT
        _return_freed_memory()
        super().__init__(
            path.stem, _specs(path.stem, self._session.get_inputs()), _specs(path.stem, self._session.get_outputs())
        )

    @classmethod
    def load_library(cls) -> None:
        _import()

    def _open_session(self, path: Path, options: EngineOptions) -> Any:
        """Open the file with the providers asked for, all of them or none.

        Operators that a provider does not have still run on the CPU, as ONNX Runtime does it. A provider that fails is
        an error: ONNX Runtime would go on with the CPU and a line on stdout.
        """
        available = self._runtime.get_available_providers()
        _require_providers(path.stem, options.providers, available, available)
        self.bfloat16 = options.bfloat16 and _has_bfloat16()
        session = self._kept_or_new(path, options) if options.checksum else self._new(path, options)
        _require_providers(path.stem, options.providers, session.get_providers(), available)
        return session

    def _kept_or_new(self, path: Path, options: EngineOptions) -> Any:
        """The graph as it was kept when it was opened before, or newly optimised and kept for the next time."""
        if options.providers != DEFAULT_OPTIONS.providers:
            return self._new(path, options)
        kept = KeptGraph(path.stem, options, f"{self.name} {self._runtime.__version__}")
        found = kept.find()
        if found is not None:
            with suppress(EngineError):
                settings = self._session_options(options)
                settings.graph_optimization_level = (
                    self._runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
                )  # they are done
                return self._opened(path.stem, found / GRAPH, settings, options)
            kept.forget()
        return kept.keep(lambda folder: self._new(path, options, folder))

    def _new(self, path: Path, options: EngineOptions, folder: Path | None = None) -> Any:
        """The graph optimised; and written to ``folder``, if any."""
        settings = self._session_options(options)
        settings.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if folder is not None:
            settings.optimized_model_filepath = str(folder / GRAPH)
            settings.add_session_config_entry(f"{_EXTERNAL}_file_name", WEIGHTS)
            settings.add_session_config_entry(f"{_EXTERNAL}_min_size_in_bytes", "1024")
        return self._opened(path.stem, path, settings, options)

    def _session_options(self, options: EngineOptions) -> Any:
        settings = self._runtime.SessionOptions()
        settings.log_severity_level = _SILENT
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        settings.enable_cpu_mem_arena = False
        settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.repeats else "0")
        settings.add_session_config_entry("session.force_spinning_stop", "1")  # at the end of every run
        if self.bfloat16:
            settings.add_session_config_entry("mlas.enable_gemm_fastmath_arm64_bfloat16", "1")
        return settings

    def _opened(self, graph: str, path: Path, settings: Any, options: EngineOptions) -> Any:
        with opening, errors_as(f"{graph}: ONNX Runtime could not open it"):
            session = self._runtime.InferenceSession(
                str(path),
                settings,
                providers=list(options.providers),
                disabled_optimizers=[] if options.fold_constants else ["ConstantFolding"],
                enable_fallback=0,  # already while it opens, from 1.23 on
            )
            session.disable_fallback()
        return session

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [spec.name for spec in self.outputs]
        with errors_as(f"{self.graph}: ONNX Runtime could not run it"):
            outputs = self._session.run(names, dict(feeds), self._run_options)
        _return_freed_memory()
        return dict(zip(names, outputs, strict=True))

    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Callable[[], None]:
        wrap = self._runtime.OrtValue.ortvalue_from_numpy  # shares the array's memory
        values = {name: wrap(array) for name, array in {**inputs, **outputs}.items()}
        with errors_as(f"{self.graph}: ONNX Runtime could not bind it"):
            binding = self._session.io_binding()
            for name in inputs:
                binding.bind_ortvalue_input(name, values[name])
            for name in outputs:
                binding.bind_ortvalue_output(name, values[name])
        return partial(self._run_bound, binding, values)

    def _run_bound(self, binding: Any, values: Mapping[str, Any]) -> None:
        """Run once over the binding; ``values`` keep the arrays alive whose addresses it holds."""
        with errors_as(f"{self.graph}: ONNX Runtime could not run it"):
            self._session.run_with_iobinding(binding, self._run_options)

    def _close(self) -> None:
        del self._session


def _return_freed_memory() -> None:
    """Make glibc give back what was freed: after opening the CAVP encoder 150 MB of weights, after a run 260 MB.

    Elsewhere there is nothing to do. A bound loop does without, since its next step needs the memory again.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@functools.cache
def _has_bfloat16() -> bool:
    """Whether this is an Arm processor that multiplies in bfloat16: on others ONNX Runtime does not."""
    info = Path("/proc/cpuinfo")
    return platform.machine() == "aarch64" and info.exists() and "bf16" in info.read_text(encoding="utf-8").split()


def _import() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(f"ONNX Runtime cannot be imported ({error}): pip install onnxruntime") from error
    with suppress(AttributeError):  # for whoever imported it before mdsgen
        onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(_SILENT)
    module: ModuleType = onnxruntime
    return module


def _require_providers(graph: str, wanted: Iterable[str], present: Iterable[str], available: Iterable[str]) -> None:
    missing = [name for name in wanted if name not in present]
    if missing:
        raise EngineError(
            f"{graph}: ONNX Runtime cannot use {', '.join(missing)} here: available are {', '.join(available)}"
        )


def _specs(graph: str, tensors: Iterable[Any]) -> list[TensorSpec]:
    """What the session says of its inputs or outputs; a length without a name is ``"?"``."""
    specs = []
    for tensor in tensors:
        if tensor.type not in _DTYPES:
            raise EngineError(f"{graph}: {tensor.name} is a {tensor.type}, which NumPy has no dtype for")
        shape = tuple("?" if length is None else length for length in tensor.shape)
        specs.append(TensorSpec(tensor.name, _DTYPES[tensor.type], shape))
    return specs
