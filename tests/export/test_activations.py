"""The denoiser is watched without being disturbed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mdsgen.errors import ExportError
from mdsgen.export.activations import Activations
from mdsgen.export.linear_layers import linear_layers
from tests.export.conftest import SIZE, passes, run


def exposed(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The same, its only output what another node makes."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return shown


def test_the_noise_is_the_denoiser_s_own(denoiser: onnx.ModelProto) -> None:
    watched, feeds = Activations(denoiser), passes()
    found = np.stack([watched(**feed) for feed in feeds])
    np.testing.assert_allclose(found, run(denoiser, feeds), atol=1e-5)


def test_maxima_are_those_of_all_passes_and_both_branches_channel_by_channel(denoiser: onnx.ModelProto) -> None:
    watched, feeds = Activations(denoiser), passes(3)
    assert watched.maxima == {}
    for feed in feeds:
        watched(**feed)
    inputs = {layer.input: layer.name for layer in linear_layers(denoiser)}
    assert watched.maxima.keys() == inputs.keys()
    for name in (name for name, layer in inputs.items() if layer.startswith("blocks.1.") or "final" in layer):
        values = run(exposed(denoiser, name), feeds)  # [passes, branches, tokens, K]
        assert values.shape[:2] == (3, 2)
        np.testing.assert_allclose(watched.maxima[name], np.abs(values).max(axis=(0, 1, 2)), rtol=1e-5)
        assert watched.maxima[name].shape == (4 * SIZE.width if inputs[name].endswith("fc2") else SIZE.width,)


def test_an_activation_that_is_not_finite_is_named_by_its_layer(denoiser: onnx.ModelProto) -> None:
    feed = passes(1)[0]
    feed["modulations"][0, 5, 3] = np.inf
    with pytest.raises(ExportError, match=r"what flows into the layer blocks\.\d\..* is not finite: check the weights"):
        Activations(denoiser)(**feed)


def test_another_pass_never_makes_them_smaller(denoiser: onnx.ModelProto) -> None:
    watched, (large, small) = Activations(denoiser), passes()
    watched(**large)
    before = dict(watched.maxima)
    watched(small["latent"] * 0.1, small["modulations"] * 0.1)
    assert all((watched.maxima[name] >= values).all() for name, values in before.items())
