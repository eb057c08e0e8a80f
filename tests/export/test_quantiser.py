"""The denoiser's way to INT8 as a whole: the same by the same seed, and described as it was."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest

from mdsgen.bundle import CONDITIONING, DENOISER, VIDEO_ENCODER, Bundle
from mdsgen.engines import open_engine
from mdsgen.errors import ExportError
from mdsgen.export.calibration_clips import LEAST_CLIPS
from mdsgen.export.linear_layers import linear_layers
from mdsgen.export.onnx_graph import save
from mdsgen.export.precision import in_precision
from mdsgen.export.quantiser import Quantiser
from mdsgen.export.sensitivity import MOST_KEPT
from tests.export.conftest import SAMPLING, SIZE, still_clips


def test_the_same_clips_and_seed_give_the_same_graph_to_the_bit(
    bundles: dict[str, Bundle], quantised: Bundle, denoiser: onnx.ModelProto, frames: np.ndarray, tmp_path: Path
) -> None:
    again = Quantiser(bundles["fp32"], still_clips(frames))
    model = in_precision(again(denoiser), DENOISER, "int8")
    graph = save(model, DENOISER, tmp_path, geometry="paper", precision="int8")
    expected = quantised.manifest.graphs[DENOISER]
    assert (graph.sha256, graph.data) == (expected.sha256, expected.data)
    assert again.describe() == quantised.manifest.provenance["calibration"]


def test_it_says_what_it_used_found_and_kept(quantised: Bundle, denoiser: onnx.ModelProto) -> None:
    found = quantised.manifest.provenance["calibration"]
    assert found["clips"] == [f"clip {n}" for n in range(LEAST_CLIPS)]
    assert (found["seed"], found["passes"]) == (0, LEAST_CLIPS * SAMPLING.steps)
    assert list(found["layers"])[:2] == ["blocks.0.attn.query+key+value", "blocks.0.attn.proj"]
    assert len(found["layers"]) == 4 * SIZE.depth + 1
    products = {layer.name: layer.products for layer in linear_layers(denoiser)}
    assert sum(products.get(name, 3 * SIZE.width**2) for name in found["kept"]) <= MOST_KEPT * sum(products.values())
    assert found["kept"] == [] or min(found["layers"], key=found["layers"].__getitem__) in found["kept"]
    assert 30 <= found["decibels"] <= max(found["layers"].values())


def test_what_it_kept_is_in_fp32_and_all_else_is_not(quantised: Bundle) -> None:
    nodes = onnx.load(quantised.path(DENOISER)).graph.node
    made = {name: node.op_type for node in nodes for name in node.output}
    factors = {node.name: [made.get(name) for name in node.input] for node in nodes if node.op_type == "MatMul"}
    found = quantised.manifest.provenance["calibration"]
    assert found["kept"] == ["final_layer.linear"]
    for name in found["layers"]:
        in_int8 = factors[f"/{name.replace('.', '/').replace('blocks/', 'blocks.')}/MatMul"] == ["DequantizeLinear"] * 2
        assert in_int8 == (name not in found["kept"])


def test_of_the_bundle_only_the_networks_that_tell_the_denoiser_of_a_clip_are_opened(
    bundles: dict[str, Bundle], denoiser: onnx.ModelProto, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(
        "mdsgen.export.conditioning.open_engine",
        lambda path, *how: opened.append(path.stem) or open_engine(path, *how),
    )
    Quantiser(bundles["fp32"], still_clips(frames))(denoiser)
    assert opened == [VIDEO_ENCODER, CONDITIONING]


def test_a_layer_that_int8_does_not_change_has_no_figure(
    bundles: dict[str, Bundle], denoiser: onnx.ModelProto, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON has no word for infinite decibels."""
    monkeypatch.setattr(
        "mdsgen.export.quantiser.sensitivities",
        lambda model, layers, *others: {layer.name: math.inf if "fc2" in layer.name else 51.239 for layer in layers},
    )
    quantiser = Quantiser(bundles["fp32"], still_clips(frames))
    quantiser(denoiser)
    figures = json.loads(json.dumps(quantiser.describe(), allow_nan=False))["layers"]
    assert figures == {name: None if "fc2" in name else 51.24 for name in figures}


def test_a_denoiser_without_any_linear_layer_is_refused(bundle_path: Path, frames: np.ndarray) -> None:
    """Bundles of before, with two branches for good, may have Gemm in the places of very small ones."""
    bundle = Bundle.open(bundle_path)
    with pytest.raises(ExportError, match=r"has no MatMul with a constant weight, .* or choose int8-weights"):
        Quantiser(bundle, still_clips(frames))(onnx.load(bundle.path(DENOISER)))
