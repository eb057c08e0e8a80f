"""The graph files: what engines can take, nothing in them twice or in vain, and fused where they were built for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from mdsgen import __version__
from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, Bundle
from mdsgen.engines import open_engine
from mdsgen.errors import ExportError
from mdsgen.export import Models
from mdsgen.export.graphs import Conditioning, DenoiserStep, deployable
from mdsgen.export.onnx_graph import OPSET, Network, save, trace
from mdsgen.export.precision import store_half
from mdsgen.geometry import DEMO, FEATURE_CHANNELS, PAPER, RELEASE
from mdsgen.model.denoiser import Denoiser, inference_parameters
from mdsgen.model.istft_vocoder import IstftVocoder
from mdsgen.parity import snr_db
from tests.export.conftest import SIZE

Graphs = dict[str, dict[str, onnx.ModelProto]]

EACH = pytest.mark.parametrize("name", GRAPHS)
BOTH = pytest.mark.parametrize("precision", ["fp32", "fp16"])


def elements(model: onnx.ModelProto, kinds: tuple[int, ...] = (TensorProto.FLOAT, TensorProto.FLOAT16)) -> int:
    return sum(int(np.prod(weight.dims)) for weight in model.graph.initializer if weight.data_type in kinds)


# What an engine meets


@EACH
@BOTH
def test_is_of_the_opset_that_every_engine_parses(graphs: Graphs, precision: str, name: str) -> None:
    model = graphs[precision][name]
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert OPSET == 17
    onnx.checker.check_model(model, full_check=True)


@EACH
@BOTH
def test_says_what_it_is(graphs: Graphs, precision: str, name: str) -> None:
    model = graphs[precision][name]
    assert (model.producer_name, model.producer_version) == ("mdsgen", __version__)
    facts = {fact.key: fact.value for fact in model.metadata_props}
    assert facts == {"graph": name, "geometry": "paper", "precision": precision}


@EACH
@BOTH
def test_every_length_is_fixed_but_the_numbers_of_steps_and_branches(
    bundles: dict[str, Bundle], graphs: Graphs, precision: str, name: str
) -> None:
    graph = graphs[precision][name].graph
    found = {
        value.name: tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.output)
    }
    loose = {tensor: [length for length in shape if isinstance(length, str)] for tensor, shape in found.items()}
    loose_axes = {
        CONDITIONING: {"timesteps": ["steps"], "modulations": ["steps"]},
        DENOISER: {"modulations": ["branches"], "noise": ["branches"]},
    }
    expected = loose_axes.get(name, {})
    assert {tensor: names for tensor, names in loose.items() if names} == expected
    manifest = bundles[precision].manifest.graphs[name]
    assert {spec.name: spec.shape for spec in (*manifest.inputs, *manifest.outputs)} == found


@EACH
@BOTH
def test_the_weights_lie_beside_the_graph(bundles: dict[str, Bundle], precision: str, name: str) -> None:
    bundle = bundles[precision]
    (weights,) = bundle.manifest.graphs[name].data
    model = onnx.load(bundle.path(name), load_external_data=False)
    inside = [tensor for tensor in model.graph.initializer if tensor.data_location != TensorProto.EXTERNAL]
    assert weights.file == f"{name}.weights"
    assert all(len(tensor.raw_data) < 1024 for tensor in inside)
    assert max(int(np.prod(tensor.dims)) for tensor in model.graph.initializer) > 1024


@EACH
@BOTH
def test_holds_nothing_that_no_node_reads(graphs: Graphs, precision: str, name: str) -> None:
    graph = graphs[precision][name].graph
    read = {tensor for node in graph.node for tensor in node.input} | {value.name for value in graph.output}
    assert not [weight.name for weight in graph.initializer if weight.name not in read]
    assert not [node.name for node in graph.node if not read.intersection(node.output)]


def test_whoever_may_read_the_graph_may_read_its_weights(bundles: dict[str, Bundle]) -> None:
    """A bundle is made by one user, and run by another."""
    modes = {path.suffix: path.stat().st_mode for path in bundles["fp32"].folder.iterdir()}
    assert modes[".weights"] == modes[".onnx"] == modes[".json"]


# The denoiser's weights


def test_only_the_weights_of_inference_are_in_the_files(graphs: Graphs, models: Models) -> None:
    """No side block, no mask token, no variance rows: the parameters that sampling needs, and a few constants."""
    denoiser = models.denoiser
    full, half = denoiser.final_layer.linear, deployable(denoiser).final_layer.linear
    variance_rows = sum(p.numel() for p in full.parameters()) - sum(p.numel() for p in half.parameters())
    needed = inference_parameters(denoiser) - variance_rows
    found = elements(graphs["fp32"][CONDITIONING]) + elements(graphs["fp32"][DENOISER])
    assert needed <= found < needed + 500
    names = [weight.name for name in (CONDITIONING, DENOISER) for weight in graphs["fp32"][name].graph.initializer]
    assert not [name for name in names if "sideblock" in name or "mask_token" in name]


@BOTH
def test_position_biases_are_stored_as_tables_and_one_index(
    bundles: dict[str, Bundle], graphs: Graphs, precision: str
) -> None:
    model, pairs = graphs[precision][DENOISER], PAPER.tokens**2
    assert max(int(np.prod(weight.dims)) for weight in model.graph.initializer) <= pairs
    assert elements(model, (TensorProto.INT64,)) < pairs + 2000
    expanded = SIZE.depth * SIZE.heads * pairs * (4 if precision == "fp32" else 2)
    files = bundles[precision].manifest.graphs[DENOISER].files
    assert sum(part.bytes for part in files) - 8 * pairs < expanded / 2


# What it computes


@pytest.mark.parametrize("steps", [1, 50])
def test_conditioning_takes_any_number_of_steps(bundles: dict[str, Bundle], models: Models, steps: int) -> None:
    torch.manual_seed(0)
    features = torch.randn(1, PAPER.video_frames, FEATURE_CHANNELS)
    timesteps = torch.linspace(999, 0, steps)
    with open_engine(bundles["fp32"].path(CONDITIONING)) as engine:
        found = engine.run({"features": features.numpy(), "timesteps": timesteps.numpy()})["modulations"]
        alone = engine.run({"features": features.numpy(), "timesteps": timesteps[-1:].numpy()})["modulations"]
    assert found.shape == (steps, 2, SIZE.modulations, SIZE.width)
    assert snr_db(Conditioning(models.denoiser)(features, timesteps).numpy(), found) > 80
    assert snr_db(alone, found[-1:]) > 100


def test_onnx_runtime_fuses_every_gelu(bundles: dict[str, Bundle], tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # it warns that an optimised file suits this machine only
    onnxruntime.InferenceSession(str(bundles["fp32"].path(DENOISER)), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(options.optimized_model_filepath, load_external_data=False)
    operators = Counter(node.op_type for node in optimised.graph.node)
    assert operators["FastGelu"] == SIZE.depth
    assert operators["Tanh"] == 0


def test_tracing_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trace(Network("double", nn.Linear(4, 4), {"x": torch.zeros(1, 4)}, "y", {}))
    assert not list(tmp_path.iterdir())


def test_a_graph_that_no_engine_would_take_is_refused(tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["x"], ["y"])], "odd", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    with pytest.raises(ExportError, match="exported odd is not a valid ONNX model"):
        save(model, "odd", tmp_path)


def test_the_release_s_grid_is_not_expanded_either(tmp_path: Path) -> None:
    """816 tokens: folded, the biases of each block would take three floats for every pair of them."""
    latent = torch.zeros(1, *RELEASE.latent_shape)
    modulations = torch.zeros(2, SIZE.modulations, SIZE.width)
    step = Network(
        DENOISER, DenoiserStep(Denoiser(RELEASE, SIZE)), {"latent": latent, "modulations": modulations}, "noise", {}
    )
    described = save(trace(step), DENOISER, tmp_path)
    assert sum(part.bytes for part in described.files) < 8 * RELEASE.tokens**2 + 4_000_000


def test_a_noisy_vocoder_carries_its_noise_as_a_constant_and_draws_none() -> None:
    torch.manual_seed(0)
    format = replace(DEMO.mel, bins=16)
    vocoder = IstftVocoder(format, width=8, depth=1, noise_frames=24)
    assert vocoder.noise_head is not None
    torch.nn.init.constant_(vocoder.noise_head.bias, 1.0)
    log_mel = torch.rand(1, 24, 16, generator=torch.Generator().manual_seed(1))
    half = store_half(trace(Network("vocoder", vocoder, {"log_mel": log_mel}, "waveform", {})))
    assert not any(node.op_type.startswith("Random") for node in half.graph.node)
    carried = [numpy_helper.to_array(t) for t in half.graph.initializer if list(t.dims) == [28, 513]]
    assert len(carried) == 2
    for found, expected in zip(carried, vocoder.noise.numpy(), strict=True):
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found.astype(np.float32), expected)
    session = onnxruntime.InferenceSession(half.SerializeToString(), providers=["CPUExecutionProvider"])
    (sound,) = session.run(None, {"log_mel": log_mel.numpy()})
    with torch.no_grad():
        assert snr_db(vocoder(log_mel).numpy(), sound) > 50
    np.testing.assert_array_equal(session.run(None, {"log_mel": log_mel.numpy()})[0], sound)
