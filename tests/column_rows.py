"""The small bundle as one whose denoiser is told of every time column and was trained to go on; made with ONNX."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from mdsgen.bundle import CONDITIONING, DENOISER, Bundle, describe_graph, write_manifest
from mdsgen.tensor import TensorSpec

ROWS, COLUMNS = 14, 32
"""Of the small bundle's modulations, and those that come behind them: a column's own."""


def with_column_rows(folder: Path) -> Bundle:
    """Rewrite conditioning and denoiser of the bundle in ``folder``.

    A column's row is a copy of another one; its mean is added to the denoiser's noise in that column.
    """
    import onnx

    manifest = Bundle.open(folder).manifest
    made = dict(manifest.graphs)
    for name, rewrite, rows_axis in ((CONDITIONING, _condition, 2), (DENOISER, _denoise, 1)):
        path = folder / f"{name}.onnx"
        model = onnx.load(path, load_external_data=False)
        rewrite(model.graph)
        tensors = [*model.graph.input, *model.graph.output]
        (modulations,) = [tensor for tensor in tensors if tensor.name == "modulations"]
        modulations.type.tensor_type.shape.dim[rows_axis].dim_value = ROWS + COLUMNS
        onnx.save(model, path)
        inputs, outputs = ([_spec(tensor) for tensor in side] for side in (model.graph.input, model.graph.output))
        data = [folder / part.file for part in made[name].files if part.file != path.name]
        made[name] = describe_graph(path, inputs, outputs, data)
    write_manifest(folder, dataclasses.replace(manifest, graphs=made, continues=True))
    return Bundle.open(folder)


def _condition(graph: object) -> None:
    """``modulations [steps, 2, 14, D]`` -> ``[steps, 2, 46, D]``: the first 32 of its rows, over and over, behind."""
    from onnx import helper

    _rename(graph, "modulations", "own")
    _number(graph, "repeated", [row % ROWS for row in range(ROWS + COLUMNS)])
    graph.node.append(helper.make_node("Gather", ["own", "repeated"], ["modulations"], axis=2))  # type: ignore[attr-defined]


def _denoise(graph: object) -> None:
    """``modulations [2, 46, D]``: the first 14 rows are the denoiser's, the means of the others go into its noise."""
    from onnx import helper

    _rename(graph, "modulations", "own", inputs=True)
    _rename(graph, "noise", "without")
    for name, numbers in {
        "first": [0],
        "middle": [ROWS],
        "last": [ROWS + COLUMNS],
        "rows": [1],
        "columns": [2, 1, 1, COLUMNS, 1],
        "wide": [2, 1, 1, COLUMNS, 2],
        "latent_columns": [2, 1, 1, 2 * COLUMNS],
    }.items():
        _number(graph, name, numbers)
    nodes = graph.node  # type: ignore[attr-defined]
    nodes.insert(0, helper.make_node("Slice", ["modulations", "first", "middle", "rows"], ["own"]))
    nodes.append(helper.make_node("Slice", ["modulations", "middle", "last", "rows"], ["of_columns"]))
    nodes.append(helper.make_node("ReduceMean", ["of_columns"], ["means"], axes=[2], keepdims=0))  # [2, 32]
    nodes.append(helper.make_node("Reshape", ["means", "columns"], ["narrow"]))
    nodes.append(helper.make_node("Expand", ["narrow", "wide"], ["both_of_a_column"]))
    nodes.append(helper.make_node("Reshape", ["both_of_a_column", "latent_columns"], ["shift"]))  # [2, 1, 1, 64]
    nodes.append(helper.make_node("Add", ["without", "shift"], ["noise"]))


def _rename(graph: object, name: str, other: str, inputs: bool = False) -> None:
    for node in graph.node:  # type: ignore[attr-defined]
        names = node.input if inputs else node.output
        names[:] = [other if found == name else found for found in names]


def _number(graph: object, name: str, values: list[int]) -> None:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))  # type: ignore[attr-defined]


def _spec(tensor: object) -> TensorSpec:
    kind = tensor.type.tensor_type  # type: ignore[attr-defined]
    shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
    return TensorSpec(tensor.name, "float32", shape)  # type: ignore[attr-defined]
