"""The small bundle as a model that needs no unconditional branch would have it; made with ONNX."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from mdsgen.bundle import CONDITIONING, DENOISER, Bundle, describe_graph, write_manifest
from mdsgen.tensor import TensorSpec


def with_one_branch(folder: Path, *graphs: str) -> Bundle:
    """Rewrite ``graphs`` of the bundle in ``folder``: a denoiser of one branch, and a conditioning that makes one."""
    import onnx
    from onnx import helper, numpy_helper

    manifest = Bundle.open(folder).manifest
    made = dict(manifest.graphs)
    for name in graphs:
        path, axis = folder / f"{name}.onnx", {DENOISER: 0, CONDITIONING: 1}[name]
        model = onnx.load(path, load_external_data=False)
        graph = model.graph
        for index, value in enumerate((0, 1, axis)):
            graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), f"one_branch_{index}"))
        (output,) = graph.output
        for node in graph.node:
            node.output[:] = [f"{output.name}_both" if o == output.name else o for o in node.output]
            if name == DENOISER:
                node.input[:] = ["modulations_both" if i == "modulations" else i for i in node.input]
        start, end, of_axis = (f"one_branch_{i}" for i in range(3))
        graph.node.append(helper.make_node("Slice", [f"{output.name}_both", start, end, of_axis], [output.name]))
        output.type.tensor_type.shape.dim[axis].dim_value = 1
        if name == DENOISER:
            (taken,) = [tensor for tensor in graph.input if tensor.name == "modulations"]
            taken.type.tensor_type.shape.dim[0].dim_value = 1
            graph.node.insert(0, helper.make_node("Concat", ["modulations"] * 2, ["modulations_both"], axis=0))
        onnx.save(model, path)
        inputs, outputs = ([_spec(tensor) for tensor in side] for side in (graph.input, graph.output))
        data = [folder / part.file for part in made[name].files if part.file != path.name]
        made[name] = describe_graph(path, inputs, outputs, data)
    write_manifest(folder, dataclasses.replace(manifest, graphs=made))
    return Bundle.open(folder)


def _spec(tensor: object) -> TensorSpec:
    kind = tensor.type.tensor_type  # type: ignore[attr-defined]
    shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
    return TensorSpec(tensor.name, "float32", shape)  # type: ignore[attr-defined]
