"""The work of a graph is what one counts by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mdsgen.bench.work import denoiser_passes, flop_of, stage_flop
from mdsgen.bundle import CONDITIONING, DENOISER, Bundle
from mdsgen.errors import BundleError
from mdsgen.geometry import PAPER
from mdsgen.sampling import Distilled, Sampling
from mdsgen.schedule import NoiseSchedule


def graph(folder: Path, node: onnx.NodeProto, takes: list[object], gives: list[object], **weights: np.ndarray) -> Path:
    """A file with one node, ``x`` to ``y``."""
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", takes), ("y", gives))]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_graph([node], "one", tensors[:1], tensors[1:], stored)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]), folder / "one.onnx")
    return folder / "one.onnx"


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def test_a_matrix_product(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = graph(tmp_path, node, ["rows", 5, 7], ["rows", 5, 11], w=zeros(7, 11))
    assert flop_of(path, rows=3) == 2 * 3 * 5 * 11 * 7


@pytest.mark.parametrize(("transposed", "takes"), [(0, [5, 7]), (1, [7, 5])])
def test_a_general_matrix_product(tmp_path: Path, transposed: int, takes: list[object]) -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=transposed)
    assert flop_of(graph(tmp_path, node, takes, [5, 11], w=zeros(7, 11))) == 2 * 5 * 7 * 11


def test_a_convolution_in_groups(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=2, strides=[2, 2])
    path = graph(tmp_path, node, [1, 6, 9, 9], [1, 8, 4, 4], w=zeros(8, 3, 3, 3))
    assert flop_of(path) == 2 * (8 * 4 * 4) * (3 * 3 * 3)


def test_a_transposed_convolution(tmp_path: Path) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[4])
    path = graph(tmp_path, node, [1, 6, 10], [1, 5, 44], w=zeros(6, 5, 8))
    assert flop_of(path) == 2 * (6 * 10) * (5 * 8)


def test_a_product_of_integers_counts_as_one(tmp_path: Path) -> None:
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    path = graph(tmp_path, node, [5, 7], [5, 11], w=zeros(7, 11, dtype="int8"))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, path)
    assert flop_of(path) == 2 * 5 * 7 * 11


def test_what_is_no_product_is_no_work(tmp_path: Path) -> None:
    assert flop_of(graph(tmp_path, helper.make_node("Relu", ["x"], ["y"]), [5], [5])) == 0


def test_an_axis_that_stays_open_is_refused(tmp_path: Path) -> None:
    path = graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), ["rows", 7], ["rows", 11], w=zeros(7, 11))
    with pytest.raises(BundleError, match="one: the shape of y does not follow"):
        flop_of(path)


def test_a_denoiser_step_is_its_layers_and_its_attention(bundle_path: Path) -> None:
    """DiT's blocks, two of width 16, over all tokens of both branches."""
    width, depth, tokens = 16, 2, PAPER.tokens
    linear = 3 * width * width + width * width + 2 * 4 * width * width  # qkv, projection, MLP
    attention = 2 * tokens * width  # scores and their weighted sum
    block = 2 * tokens * (linear + attention)
    ends = 2 * tokens * width * PAPER.patch**2 * PAPER.channels  # patches in, and noise out for each branch
    found = flop_of(Bundle.open(bundle_path).path(DENOISER))
    assert 2 * depth * block + 3 * ends == pytest.approx(found, rel=0.002)


def test_a_clip_has_as_many_passes_as_its_settings_say(bundle_path: Path) -> None:
    path = Bundle.open(bundle_path).path
    found = stage_flop(path, steps=5, passes=10)
    assert list(found) == ["video encoder", "conditioning", "denoiser", "latent decoder", "vocoder"]
    assert found["denoiser"] == 5 * flop_of(path(DENOISER), branches=2)
    assert found["conditioning"] == flop_of(path(CONDITIONING), steps=5)
    both, single = (flop_of(path(DENOISER), branches=branches) for branches in (2, 1))
    assert stage_flop(path, steps=5, passes=7)["denoiser"] == 2 * both + 3 * single


def test_a_gpu_computes_both_branches_in_every_step() -> None:
    sampling = Sampling(5, 2.0, 0.01, unconditional_every=2)
    passes = partial(denoiser_passes, sampling, NoiseSchedule())
    assert (passes(on_device=False), passes(on_device=True)) == (8, 10)


def test_of_a_distilled_denoiser_there_is_one_branch_everywhere() -> None:
    sampling = Sampling(4, 1.0, distilled=Distilled(2.0, (4, 2)))
    passes = partial(denoiser_passes, sampling, NoiseSchedule())
    assert (passes(on_device=False), passes(on_device=True)) == (4, 4)
