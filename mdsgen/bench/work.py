"""How much work a network is: the arithmetic of its matrix products, read off its graph.

Needs the ``onnx`` package and no PyTorch: a bundle's graphs are all that there is of a trained model. Counted are
products alone, ``2·M·N·K`` each, in floating point or in integers: they are what a matrix peak is about, and in these
networks all but a percent of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mdsgen.bundle import CONDITIONING, DENOISER, LATENT_DECODER, VIDEO_ENCODER, VOCODER
from mdsgen.errors import BundleError
from mdsgen.runtime.solver import passes_of, plan_steps
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule

if TYPE_CHECKING:
    import onnx

BRANCHES, STEPS = "branches", "steps"
"""The axes of a bundle's graphs that a caller chooses."""

_MATMUL = ("MatMul", "MatMulInteger", "QLinearMatMul")
_CONV = ("Conv", "ConvInteger", "QLinearConv")
_WEIGHT_INPUT = {"QLinearMatMul": 3, "QLinearConv": 3}  # else 1


def flop_of(path: Path, **axes: int) -> int:
    """The operations of the graph in a file, its open axes as long as ``axes`` say: ``flop_of(path, branches=2)``.

    Raises :class:`~mdsgen.errors.BundleError` where a product's size does not follow from that.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        for length in value.type.tensor_type.shape.dim:
            if length.dim_param in axes:
                length.dim_value = axes[length.dim_param]
    del model.graph.value_info[:]  # said for other lengths, perhaps
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _shape(value) for value in (*graph.input, *graph.output, *graph.value_info)}
    shapes |= {weights.name: tuple(weights.dims) for weights in graph.initializer}

    def shape_of(name: str) -> tuple[int, ...]:
        if shapes.get(name) is None:
            raise BundleError(
                f"{path.stem}: the shape of {name} does not follow from its inputs' and {axes or 'those'}"
            )
        return shapes[name]  # type: ignore[return-value]

    return sum(_flop(node, shape_of) for node in graph.node)


def denoiser_passes(sampling: Sampling, schedule: NoiseSchedule, on_device: bool) -> int:
    """How often the denoiser looks at a latent: on a GPU twice in every step, where both branches are one batch.

    A distilled one looks once.
    """
    twice = on_device and sampling.distilled is None
    return 2 * sampling.steps if twice else passes_of(plan_steps(sampling, schedule))


def stage_flop(path_of: Callable[[str], Path], steps: int, passes: int) -> dict[str, int]:
    """Of every stage of one clip, by the names of the runtime, in so many steps and passes of the denoiser."""
    both, single = (flop_of(path_of(DENOISER), **{BRANCHES: branches}) for branches in (2, 1))
    return {
        "video encoder": flop_of(path_of(VIDEO_ENCODER)),
        "conditioning": flop_of(path_of(CONDITIONING), **{STEPS: steps}),
        "denoiser": both * (passes - steps) + single * (2 * steps - passes),
        "latent decoder": flop_of(path_of(LATENT_DECODER)),
        "vocoder": flop_of(path_of(VOCODER)),
    }


def _flop(node: onnx.NodeProto, shape_of: Callable[[str], tuple[int, ...]]) -> int:
    """Of one node; 0 for what is not a product."""
    if node.op_type in _MATMUL:
        return 2 * prod(shape_of(node.output[0])) * shape_of(node.input[0])[-1]  # [..., M, N], K
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return 2 * prod(shape_of(node.output[0])) * shape_of(node.input[0])[0 if transposed else 1]
    if node.op_type in _CONV:
        kernel = shape_of(node.input[_WEIGHT_INPUT.get(node.op_type, 1)])  # [out, in / groups, …]
        return 2 * prod(shape_of(node.output[0])) * prod(kernel[1:])
    if node.op_type == "ConvTranspose":
        kernel = shape_of(node.input[1])  # [in, out / groups, …]
        return 2 * prod(shape_of(node.input[0])) * prod(kernel[1:])
    return 0


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """None where a length is not known."""
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(length.HasField("dim_value") for length in kind.shape.dim):
        return None
    return tuple(length.dim_value for length in kind.shape.dim)
