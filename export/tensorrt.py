"""One TensorRT plan from one graph of a bundle, through Polygraphy, on the GPU that will run it.

The graph is rewritten for TensorRT (:mod:`mdsgen.export.plan_graph`), and says the precision. TensorRT 10 and later
obey it (strong typing); 8.5 and 8.6 choose per layer whatever is fastest, so there the FP16 flag is set for an FP16
graph, and every layer that it computes in FP32 is pinned to that. All of them compute INT8 where the graph says Q/DQ,
and nowhere else.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from mdsgen.bundle import Bundle
from mdsgen.engines import DEFAULT_OPTIONS
from mdsgen.engines.plans import HARDWARE_LEVELS
from mdsgen.engines.tensorrt import import_tensorrt
from mdsgen.errors import ExportError
from mdsgen.export.plan_options import PlanOptions
from mdsgen.export.plan_progress import progress_monitor
from mdsgen.precision import PRECISIONS, DataType, Precision
from mdsgen.report import Report
from mdsgen.runtime.networks import graph_options

_MEBIBYTE = 1 << 20
_OUT_OF_MEMORY = ("out of memory", "outofmemory", "out_of_memory", "insufficient memory", "insufficient workspace")


def build_plan(bundle: Bundle, graph: str, options: PlanOptions, timing_cache: Path, report: Report) -> bytes:
    """The plan of one of a bundle's graphs, best at the bundle's own number of steps. Timings are read and added to.

    Raises :class:`ExportError` with TensorRT's own words, and with the option that may help.
    """
    trt, polygraphy = import_tensorrt(), import_polygraphy()
    typed, precision = strongly_typed(trt), PRECISIONS[bundle.manifest.precision]
    monitor = progress_monitor(trt, graph, report)
    with _failures(graph, monitor), _plan_file(bundle, graph, typed) as file:
        arguments = config_arguments(trt, precision, options)
        typing = {"strongly_typed": True} if typed else {}
        builder, network, parser = polygraphy.network_from_onnx_path(str(file), **typing)
        profile = _fix_shapes(polygraphy, network, bundle, graph, options)
        if not typed and precision.computes is DataType.FP16:
            pin_full_precision(trt, network)
        if "int8" in arguments and not is_quantised(trt, network):
            del arguments["int8"]  # a builder that may use INT8 without Q/DQ wants to calibrate
        config = polygraphy.CreateConfig(
            profiles=[profile], progress_monitor=monitor, load_timing_cache=str(timing_cache), **arguments
        )
        content = polygraphy.engine_bytes_from_network(
            (builder, network, parser), config, save_timing_cache=str(timing_cache)
        )
        return bytes(content)


def import_polygraphy() -> ModuleType:
    """Polygraphy's TensorRT loaders. Raises :class:`ExportError` that says how to get them."""
    try:
        return importlib.import_module("polygraphy.backend.trt")
    except ImportError as error:
        raise ExportError(f"Polygraphy cannot be imported ({error}): pip install 'mdsgen[tensorrt]'") from error


def strongly_typed(trt: ModuleType) -> bool:
    """Whether this TensorRT computes in the types that the ONNX says: 10 and later, and 11 in no other way."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def config_arguments(trt: ModuleType, precision: Precision, options: PlanOptions) -> dict[str, Any]:
    """What Polygraphy's ``CreateConfig`` is told: only what this TensorRT has a word for.

    Raises :class:`ExportError` where an option that was asked for does not exist.
    """
    arguments: dict[str, Any] = {}
    if not strongly_typed(trt) and precision.computes is DataType.FP16:
        arguments |= {"fp16": True, "precision_constraints": "obey"}
    if precision.computes is DataType.INT8:
        # What is not quantised is FP32 in the graph. Without FP16 there is nothing to pin, which might keep Q/DQ from
        # being fused; TF32 makes its products as fast, rounds less than INT8 beside it, and overflows nowhere.
        arguments |= {"tf32": True} if strongly_typed(trt) else {"tf32": True, "int8": True}
    if hasattr(trt.IBuilderConfig, "max_aux_streams"):
        arguments["max_aux_streams"] = 0  # the clip is one chain; more streams would be more memory
    if options.workspace is not None:
        arguments["memory_pool_limits"] = {trt.MemoryPoolType.WORKSPACE: options.workspace * _MEBIBYTE}
    if options.optimisation_level is not None:
        _require(hasattr(trt.IBuilderConfig, "builder_optimization_level"), trt, "optimisation levels")
        arguments["builder_optimization_level"] = options.optimisation_level
    if options.version_compatible:
        _require(hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"), trt, "version-compatible plans")
        arguments["version_compatible"] = True
    if options.hardware_compatible is not None:
        levels = getattr(trt, "HardwareCompatibilityLevel", None)
        name = HARDWARE_LEVELS[options.hardware_compatible]
        _require(hasattr(levels, name), trt, f"plans for hardware {options.hardware_compatible}")
        arguments["hardware_compatibility_level"] = getattr(levels, name)
    if options.tactic_sources:
        arguments["tactic_sources"] = [_tactic_source(trt, name) for name in options.tactic_sources]
    return arguments


def pin_full_precision(trt: ModuleType, network: Any) -> None:
    """Keep the FP32 islands of the ONNX: without strong typing, a builder that may use FP16 does so anywhere."""
    full = trt.DataType.FLOAT
    for layer in network:
        outputs = [i for i in range(layer.num_outputs) if layer.get_output(i).dtype == full]
        if not outputs or layer.type == trt.LayerType.CONSTANT:
            continue
        layer.precision = full
        for i in outputs:
            layer.set_output_type(i, full)


def is_quantised(trt: ModuleType, network: Any) -> bool:
    """Whether there is any Q/DQ: of an INT8 bundle's graphs only the denoiser's has."""
    return any(layer.type == trt.LayerType.QUANTIZE for layer in network)


@contextmanager
def _plan_file(bundle: Bundle, graph: str, typed: bool) -> Iterator[Path]:
    """A file with the graph as :func:`~mdsgen.export.plan_graph.plan_graph` makes it, which is gone afterwards.

    TensorRT before 10, which is not strongly ``typed``, refuses weights in INT8.
    """
    try:
        from onnx import load, save_model

        from mdsgen.export.plan_graph import plan_graph
    except ImportError as error:
        raise ExportError(f"building plans needs ONNX ({error}): pip install 'mdsgen[tensorrt]'") from error
    fold = graph_options(graph, DEFAULT_OPTIONS, bundle.manifest.geometry).fold_constants
    precision = PRECISIONS[bundle.manifest.precision]
    model = plan_graph(load(bundle.path(graph)), precision, fold=fold, int8_weights=typed)
    with tempfile.TemporaryDirectory(prefix="mdsgen-") as folder:
        file = Path(folder) / f"{graph}.onnx"
        save_model(model, str(file), save_as_external_data=True, location=f"{graph}.weights")
        del model  # TensorRT wants the memory
        yield file


def _fix_shapes(polygraphy: ModuleType, network: Any, bundle: Bundle, graph: str, options: PlanOptions) -> Any:
    """Close the axes that have one length, which makes a faster plan; a profile for those that stay open."""
    inputs, sampling = bundle.manifest.graphs[graph].inputs, bundle.sampling
    profile = polygraphy.Profile()
    for tensor in map(network.get_input, range(network.num_inputs)):
        (spec,) = [spec for spec in inputs if spec.name == tensor.name]
        if all(isinstance(length, int) for length in spec.shape):
            continue
        ranges = [options.lengths(n, sampling) if isinstance(n, str) else (n, n, n) for n in spec.shape]
        tensor.shape = tuple(least if least == most else -1 for least, _, most in ranges)
        if -1 in tuple(tensor.shape):
            least, best, most = (tuple(column) for column in zip(*ranges, strict=True))
            profile.add(spec.name, min=least, opt=best, max=most)
    return profile


def _tactic_source(trt: ModuleType, name: str) -> Any:
    known = trt.TacticSource.__members__
    word = name.upper().replace("-", "_")
    if word not in known:
        words = ", ".join(known).lower().replace("_", "-")
        raise ExportError(f"tactic source {name!r} is unknown to TensorRT {trt.__version__}: expected one of {words}")
    return known[word]


def _require(there: bool, trt: ModuleType, what: str) -> None:
    if not there:
        raise ExportError(f"TensorRT {trt.__version__} has no {what}: leave the option out")


@contextmanager
def _failures(graph: str, monitor: Any) -> Iterator[None]:
    """Turn a failed build into one line with TensorRT's own words, and an interrupted one into an interruption."""
    with _complaints() as complaints:
        try:
            yield
        except ExportError:
            raise
        except Exception as error:
            if monitor is not None and monitor.interrupted:
                raise KeyboardInterrupt from error
            raise ExportError(_explained(graph, [*complaints, str(error)])) from error


def _explained(graph: str, words: Sequence[str]) -> str:
    text = " ".join(" ".join(words).split())
    reason = f"{graph}: TensorRT could not build a plan: {text[:600]}"
    if any(sign in text.lower() for sign in _OUT_OF_MEMORY):
        return (
            f"{reason}; it ran out of memory: try --workspace 256 (MiB), or --optimisation-level 1, and close what "
            "else uses the GPU"
        )
    return reason


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What TensorRT complains of, through Polygraphy's log, which otherwise goes to stdout."""
    log = importlib.import_module("polygraphy.logger").G_LOGGER
    heard: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("Polygraphy")
    before = log.use_python_logging_system, logger.propagate
    log.use_python_logging_system, logger.propagate = True, False
    logger.addHandler(handler)
    try:
        with log.verbosity(log.ERROR):
            yield heard
    finally:
        logger.removeHandler(handler)
        log.use_python_logging_system, logger.propagate = before
