"""From a PyTorch module to a slim ONNX file with its weights beside it."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from mdsgen import __version__
from mdsgen.bundle import Graph, describe_graph
from mdsgen.errors import ExportError
from mdsgen.tensor import TensorSpec

if TYPE_CHECKING:  # a graph is saved without PyTorch, too
    from torch import Tensor, nn

OPSET = 17
"""The newest that TensorRT 8.6 parses; TensorRT 10 and 11 and ONNX Runtime take it as well."""

_FOLD_LIMIT = 1 << 16  # bytes; larger constants stay computed, so that a bias table is not stored as its N² expansion


@dataclass(frozen=True)
class Network:
    """A module to export, with example inputs by name; ``dynamic`` names the first axis of inputs where it may vary."""

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    output: str
    dynamic: Mapping[str, str]


def trace(network: Network) -> onnx.ModelProto:
    """The network as an ONNX model in float32: traced, simplified, checked, with the project's name inside.

    Uses PyTorch's TorchScript exporter: the newer one writes opset 18 at least, and its conversion down to 17 leaves
    attributes behind that ONNX Runtime refuses (seen with torch 2.13).
    """
    import torch

    dynamic_axes = {name: {0: axis} for name, axis in network.dynamic.items()}
    # Quiet of the exporter's deprecation, and of the tracer's warnings about shapes that are static here.
    with tempfile.TemporaryDirectory(prefix="mdsgen-") as folder, quiet("torch.onnx"), torch.no_grad():
        path = Path(folder) / f"{network.name}.onnx"
        torch.onnx.export(
            network.module.eval(),
            tuple(network.inputs.values()),
            str(path),
            input_names=list(network.inputs),
            output_names=[network.output],
            dynamic_axes=dynamic_axes,
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(path)
    model = _simplify(model)
    model.producer_name, model.producer_version = "mdsgen", __version__
    return model


def _simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold and tidy the graph, its large weights taken out: the simplifier copies all it sees several times."""
    import onnxslim

    graph = model.graph
    weights = [tensor for tensor in graph.initializer if len(tensor.raw_data) > _FOLD_LIMIT]
    small = [tensor for tensor in graph.initializer if len(tensor.raw_data) <= _FOLD_LIMIT]
    inputs = list(graph.input)
    stand_ins = [onnx.helper.make_tensor_value_info(w.name, w.data_type, list(w.dims)) for w in weights]
    _replace(graph.initializer, small)
    _replace(graph.input, [*inputs, *stand_ins])
    slim: onnx.ModelProto = onnxslim.slim(model, size_threshold=_FOLD_LIMIT)
    used = {name for node in slim.graph.node for name in node.input}
    _replace(slim.graph.input, inputs)
    slim.graph.initializer.extend(weight for weight in weights if weight.name in used)
    return slim


def _replace(field: Any, values: Sequence[Any]) -> None:
    kept = [type(value).FromString(value.SerializeToString()) for value in values]  # not views into the field
    del field[:]
    field.extend(kept)


def save(model: onnx.ModelProto, name: str, folder: Path, **facts: str) -> Graph:
    """Write ``name.onnx`` and ``name.weights`` into ``folder`` and describe them for the manifest.

    The file says which graph it is, and ``facts`` (as ``precision="fp16"``), for whoever meets it alone.
    """
    onnx.helper.set_model_props(model, {"graph": name, **facts})
    path, weights = folder / f"{name}.onnx", folder / f"{name}.weights"
    onnx.save_model(model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=weights.name)
    if weights.exists():
        weights.chmod(path.stat().st_mode)  # ONNX makes it private; it is for the same readers as the graph
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the exported {name} is not a valid ONNX model: {error}") from error
    inputs, outputs = tuple(map(_spec, model.graph.input)), tuple(map(_spec, model.graph.output))
    return describe_graph(path, inputs, outputs, data=(weights,) if weights.exists() else ())


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(d.dim_param if d.HasField("dim_param") else d.dim_value for d in kind.shape.dim)
    return TensorSpec(value.name, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape)


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """Within this context the logger of that name and Python's warnings say nothing but errors."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
