"""A network that gives no numbers, or another shape, is an error that names it: never silence or noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, LATENT_DECODER, VOCODER, Bundle
from mdsgen.errors import BundleError, EngineError
from mdsgen.runtime import Networks
from tests.altered import altered

FRAMES = np.full((8, 48, 64, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("graph", "value"), [(graph, np.nan) for graph in GRAPHS] + [(graph, np.inf) for graph in (DENOISER, VOCODER)]
)
def test_weights_that_are_no_numbers(bundle_path: Path, tmp_path: Path, graph: str, value: float) -> None:
    weights = np.fromfile(bundle_path / f"{graph}.weights", np.float32)
    weights[:64] = value
    folder = altered(bundle_path, tmp_path / "b", graph, {f"{graph}.weights": weights.tobytes()})
    not_finite = pytest.raises(EngineError, match=f"^{graph}: its output is not finite")
    with Pipeline.open(folder, "onnxruntime", threads=1) as pipeline, not_finite:
        pipeline(FRAMES, steps=2)


@pytest.mark.parametrize(
    ("graph", "follower"), [(DENOISER, DENOISER), (LATENT_DECODER, VOCODER)], ids=["latent", "spectrogram"]
)
def test_numbers_that_overflow_later(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, graph: str, follower: str
) -> None:
    """The latent is made by adding up noise; a spectrogram of huge numbers is still finite."""
    name = {DENOISER: "denoise", LATENT_DECODER: "decode"}[graph]
    before: Callable[..., Any] = getattr(Networks, name)

    def huge(self: Networks, *arrays: np.ndarray) -> Any:
        given = before(self, *arrays)
        return tuple(np.full_like(one, 3e38) for one in given) if graph == DENOISER else np.full_like(given, 3e38)

    monkeypatch.setattr(Networks, name, huge)
    not_finite = pytest.raises(EngineError, match=f"^{follower}: its output is not finite")
    with Pipeline.open(bundle_path, "onnxruntime", threads=1) as pipeline, not_finite:
        pipeline(FRAMES, steps=4, solver="ddim")


def other_modulations(width: int | str, vectors: int | str = 14) -> bytes:
    """A conditioning graph that gives one vector of one number, and says that it gives this many."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper = onnx.helper
    tensors = {
        "features": [1, 32, 512],
        "timesteps": ["steps"],
        "modulations": ["steps", 2, vectors, width],
    }
    infos = {name: helper.make_tensor_value_info(name, 1, shape) for name, shape in tensors.items()}
    nodes = [
        helper.make_node("Shape", ["timesteps"], ["steps"]),
        helper.make_node("Concat", ["steps", "rest"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["modulations"]),
    ]
    rest = helper.make_tensor("rest", onnx.TensorProto.INT64, [3], [2, 1, 1])
    graph = helper.make_graph(nodes, "g", [infos["features"], infos["timesteps"]], [infos["modulations"]], [rest])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_modulations_of_another_size_than_the_denoiser_s_are_refused(bundle_path: Path, tmp_path: Path) -> None:
    """One vector of one number would be broadcast to all of them."""
    files = {"conditioning.onnx": other_modulations(1, 1)}
    folder = altered(bundle_path, tmp_path / "b", CONDITIONING, files)
    with pytest.raises(BundleError, match=r"conditioning gives .*, and its denoiser takes modulations of \[14, 16\]"):
        Networks(Bundle.open(folder), "onnxruntime")


def test_modulations_whose_size_shows_when_they_are_made_are_refused_then(bundle_path: Path, tmp_path: Path) -> None:
    files = {"conditioning.onnx": other_modulations("width", "vectors")}
    folder = altered(bundle_path, tmp_path / "b", CONDITIONING, files)
    refused = pytest.raises(EngineError, match=r"conditioning: expected an output of shape .* 14, 16\], got")
    with Pipeline.open(folder, "onnxruntime", threads=1) as pipeline, refused:
        pipeline(FRAMES, steps=2)
