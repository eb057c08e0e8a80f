"""A small bundle of another clock: four pictures of 56 pixels in every token column, 15.625 a second."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mdsgen.bundle import VIDEO_ENCODER, Bundle, describe_graph, write_manifest
from mdsgen.geometry import FEATURE_CHANNELS
from mdsgen.tensor import TensorSpec
from tests.geometries import BRISK

FRAMES, FEATURES = [1, 128, 3, 56, 56], [1, 32, FEATURE_CHANNELS]


def write_brisk_bundle(source: Path, folder: Path) -> Path:
    """The bundle ``source``, of the paper's geometry, with a video encoder that mixes the mean colours of a column."""
    shutil.copytree(source, folder)
    manifest = Bundle.open(source).manifest
    for file in manifest.graphs[VIDEO_ENCODER].files:
        (folder / file.file).unlink()
    path = folder / f"{VIDEO_ENCODER}.onnx"
    onnx.save(_encoder(), str(path))
    specs = TensorSpec("frames", "float32", tuple(FRAMES)), TensorSpec("features", "float32", tuple(FEATURES))
    graphs = {**manifest.graphs, VIDEO_ENCODER: describe_graph(path, specs[:1], specs[1:])}
    write_manifest(folder, replace(manifest, geometry=BRISK, graphs=graphs))
    return folder


def _encoder() -> onnx.ModelProto:
    mix = np.random.default_rng(0).standard_normal((12, FEATURE_CHANNELS), np.float32)
    weights = [
        numpy_helper.from_array(np.array([1, 32, 12], np.int64), "columns"),
        numpy_helper.from_array(mix, "mix"),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["frames"], ["colours"], axes=[3, 4], keepdims=0),  # [1, 128, 3]
        helper.make_node("Reshape", ["colours", "columns"], ["by_column"]),  # [1, 32, 12]
        helper.make_node("MatMul", ["by_column", "mix"], ["mixed"]),  # [1, 32, 512]
        helper.make_node("LpNormalization", ["mixed"], ["features"], axis=-1, p=2),
    ]
    inputs = [helper.make_tensor_value_info("frames", TensorProto.FLOAT, FRAMES)]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, FEATURES)]
    graph = helper.make_graph(nodes, VIDEO_ENCODER, inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
