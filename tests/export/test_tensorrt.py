"""Plans: what Polygraphy is told for each generation of TensorRT, and that only what was verified is kept."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from mdsgen.bundle import (
    CONDITIONING,
    DENOISER,
    GRAPHS,
    LATENT_DECODER,
    VOCODER,
    Bundle,
    write_manifest,
)
from mdsgen.cli.export import main
from mdsgen.engines import open_engine
from mdsgen.engines.plans import PLANS_FOLDER, PlanRecord
from mdsgen.errors import EngineError, ExportError
from mdsgen.export import plans, tensorrt
from mdsgen.export.int8 import store_int8
from mdsgen.export.plan_options import PlanOptions
from mdsgen.export.plan_progress import progress_monitor
from mdsgen.export.plans import build_plans
from mdsgen.export.tensorrt import build_plan, config_arguments, pin_full_precision
from mdsgen.export.verify import compare
from mdsgen.geometry import FEATURE_CHANNELS, PAPER
from mdsgen.precision import CLIP, PRECISIONS, SPECTROGRAM, Thresholds
from mdsgen.runtime import Networks, seeded_noise
from mdsgen.sampling import Sampling
from mdsgen.tensor import TensorSpec
from tests.engines.fake_gpu import FakeGpu
from tests.engines.fake_tensorrt import DataType, plan_of
from tests.planned import LENGTHS, machine
from tests.runner import Runner

ONE = pytest.mark.parametrize("trt_major", [10], indirect=True)


class Tensor:
    def __init__(self, spec: TensorSpec) -> None:
        self.name = spec.name
        self.shape = tuple(-1 if isinstance(length, str) else length for length in spec.shape)


class Network(list[Any]):
    """Inputs, and layers to iterate over."""

    def __init__(self, tensors: list[Tensor], layers: Sequence[Any]) -> None:
        super().__init__(layers)
        self.tensors, self.num_inputs = tensors, len(tensors)

    def get_input(self, index: int) -> Tensor:
        return self.tensors[index]


class Polygraphy:
    """Notes what it is told; a plan is what the fake TensorRT opens."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.parsed: dict[str, Any] = {}
        self.profiles: dict[str, tuple[tuple[int, ...], ...]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.specs: dict[str, Sequence[TensorSpec]] = {}
        self.before: Callable[[str], None] = lambda graph: None
        self.substitute: dict[str, str] = {}
        self.layers: list[Any] = []
        self.folder = Path()  # of the bundle
        self.lengths = LENGTHS

    def network_from_onnx_path(self, path: str, **how: Any) -> tuple[Any, Any, Any]:
        self.parsed = how
        self.onnx = Path(path)
        tensors = [Tensor(spec) for spec in self.specs[self.onnx.stem]]
        return "builder", Network(tensors, self.layers), "parser"

    def Profile(self) -> Any:  # noqa: N802
        return SimpleNamespace(add=lambda name, min, opt, max: self.profiles.__setitem__(name, (min, opt, max)))

    def CreateConfig(self, **how: Any) -> dict[str, Any]:  # noqa: N802
        self.config = how
        return how

    def engine_bytes_from_network(self, network: Any, config: Any, save_timing_cache: str) -> bytes:
        self.before(self.onnx.stem)
        Path(save_timing_cache).write_bytes(b"timings")
        self.shapes |= {tensor.name: tensor.shape for tensor in network[1].tensors}
        name = self.substitute.get(self.onnx.stem, self.onnx.stem)
        return plan_of(self.folder / f"{name}.onnx", lengths=self.lengths)


class Names(enum.IntEnum):
    EDGE_MASK_CONVOLUTIONS, JIT_CONVOLUTIONS = 3, 4


@pytest.fixture
def polygraphy(monkeypatch: pytest.MonkeyPatch, bundle_path: Path) -> Polygraphy:
    fake = Polygraphy()
    fake.specs = {name: graph.inputs for name, graph in Bundle.open(bundle_path).manifest.graphs.items()}
    monkeypatch.setattr(tensorrt, "import_polygraphy", lambda: fake)
    monkeypatch.setattr(plans, "import_polygraphy", lambda: fake)
    return fake


@pytest.fixture
def trt(fake_gpu: FakeGpu, trt_major: int) -> ModuleType:
    """The builder's names of each generation, beside the runtime's."""
    module: Any = sys.modules["tensorrt"]
    typed = {"STRONGLY_TYPED": 1} if trt_major >= 10 else {"EXPLICIT_BATCH": 0}
    module.NetworkDefinitionCreationFlag = SimpleNamespace(**typed)
    module.LayerType = SimpleNamespace(CONSTANT="constant", QUANTIZE="quantize")
    module.BuilderFlag = SimpleNamespace(VERSION_COMPATIBLE=1)
    module.IBuilderConfig = SimpleNamespace(max_aux_streams=None, builder_optimization_level=None)
    module.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    module.HardwareCompatibilityLevel = SimpleNamespace(AMPERE_PLUS="ampere")
    module.TacticSource = Names
    return module  # type: ignore[no-any-return]


@pytest.fixture
def bundle(bundle_path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Bundle:
    bundle = Bundle.open(shutil.copytree(bundle_path, tmp_path / "bundle"))
    if "polygraphy" in request.fixturenames:
        request.getfixturevalue("polygraphy").folder = bundle.folder
    return bundle


def in_int8(bundle: Bundle) -> Bundle:
    """The bundle, said to be in INT8."""
    return Bundle(bundle.folder, dataclasses.replace(bundle.manifest, precision="int8"))


# What Polygraphy is told


def test_precision_comes_from_the_onnx_where_tensorrt_can_and_from_flags_where_it_cannot(
    trt: ModuleType, trt_major: int
) -> None:
    told = {p: config_arguments(trt, PRECISIONS[p], PlanOptions()) for p in ("fp32", "fp16-weights", "fp16", "int8")}
    weak = trt_major < 10
    assert told["fp32"] == told["fp16-weights"] == {"max_aux_streams": 0}
    assert told["fp16"] == {"max_aux_streams": 0} | ({"fp16": True, "precision_constraints": "obey"} if weak else {})
    assert told["int8"] == {"max_aux_streams": 0, "tf32": True} | ({"int8": True} if weak else {})


@ONE
def test_every_option_reaches_the_builder_under_a_name_that_polygraphy_has(trt: ModuleType) -> None:
    options = PlanOptions(
        workspace=256,
        optimisation_level=2,
        tactic_sources=("jit-convolutions", "EDGE_MASK_CONVOLUTIONS"),
        version_compatible=True,
        hardware_compatible="ampere+",
    )
    told = config_arguments(trt, PRECISIONS["fp16"], options)
    assert told == {
        "max_aux_streams": 0,
        "memory_pool_limits": {"workspace": 256 << 20},
        "builder_optimization_level": 2,
        "tactic_sources": [Names.JIT_CONVOLUTIONS, Names.EDGE_MASK_CONVOLUTIONS],
        "version_compatible": True,
        "hardware_compatibility_level": "ampere",
    }
    config = pytest.importorskip("polygraphy.backend.trt.config")
    parameters = {*inspect.signature(config.CreateConfig.__init__).parameters}
    parameters |= {*inspect.signature(config._CreateConfigCommon.__init__).parameters}
    assert {*told, "fp16", "int8", "tf32", "precision_constraints", "profiles", "load_timing_cache"} <= parameters


@ONE
def test_an_option_that_this_tensorrt_has_no_word_for_is_refused(trt: Any) -> None:
    trt.IBuilderConfig, trt.BuilderFlag = SimpleNamespace(), SimpleNamespace()
    del trt.HardwareCompatibilityLevel
    assert config_arguments(trt, PRECISIONS["fp16"], PlanOptions()) == {}
    for options in ({"optimisation_level": 1}, {"version_compatible": True}, {"hardware_compatible": "ampere+"}):
        with pytest.raises(ExportError, match=r"TensorRT 10\.13\.3 has no .*: leave the option out"):
            config_arguments(trt, PRECISIONS["fp16"], PlanOptions(**options))  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"tactic source 'abacus' is unknown .* one of edge-mask-convolutions, jit"):
        config_arguments(trt, PRECISIONS["fp16"], PlanOptions(tactic_sources=("abacus",)))


def test_islands_of_fp32_are_pinned_and_the_rest_is_left_to_the_builder() -> None:
    kinds = SimpleNamespace(CONSTANT="constant")
    trt: Any = SimpleNamespace(DataType=DataType, LayerType=kinds)

    class Layer:
        def __init__(self, kind: str, *outputs: DataType) -> None:
            self.type, self.outputs, self.num_outputs = kind, list(outputs), len(outputs)
            self.precision: DataType | None = None
            self.pinned: dict[int, DataType] = {}

        def get_output(self, index: int) -> Any:
            return SimpleNamespace(dtype=self.outputs[index])

        def set_output_type(self, index: int, kind: DataType) -> None:
            self.pinned[index] = kind

    norm, product = Layer("norm", DataType.FLOAT, DataType.INT32), Layer("product", DataType.HALF)
    weights = Layer("constant", DataType.FLOAT)
    pin_full_precision(trt, [norm, product, weights])
    assert (norm.precision, norm.pinned) == (DataType.FLOAT, {0: DataType.FLOAT})
    assert product.precision is None is weights.precision


@pytest.mark.usefixtures("trt")
@pytest.mark.parametrize("quantised", [True, False])
def test_int8_is_allowed_where_the_graph_quantises_and_nothing_is_pinned(
    polygraphy: Polygraphy, bundle: Bundle, tmp_path: Path, trt_major: int, quantised: bool
) -> None:
    """Without Q/DQ a builder that may use INT8 wants a calibrator and gives up; with it, pins would be in the way."""
    polygraphy.layers = [SimpleNamespace(type=kind) for kind in ("constant", *["quantize"] * quantised)]
    build_plan(in_int8(bundle), DENOISER, PlanOptions(), tmp_path / "t", lambda line: None)
    assert polygraphy.config.get("int8", False) == (quantised and trt_major < 10)
    assert "precision_constraints" not in polygraphy.config
    assert all(vars(layer) == {"type": layer.type} for layer in polygraphy.layers)


@pytest.mark.usefixtures("trt")
def test_before_tensorrt_10_weights_in_int8_reach_the_parser_in_fp32(
    polygraphy: Polygraphy, bundle: Bundle, tmp_path: Path, trt_major: int
) -> None:
    model = store_int8(onnx.load(bundle.path(VOCODER)))
    onnx.save_model(model, str(bundle.path(VOCODER)), save_as_external_data=True, location="vocoder.int8")
    seen: list[onnx.ModelProto] = []
    polygraphy.before = lambda graph: seen.append(onnx.load(polygraphy.onnx))
    build_plan(in_int8(bundle), VOCODER, PlanOptions(), tmp_path / "t", lambda line: None)
    (graph,) = (model.graph for model in seen)
    stored = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    refused = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored]
    assert bool(refused) == (trt_major >= 10)
    assert not polygraphy.onnx.exists(), "what is parsed must not outlive the build"


@pytest.mark.usefixtures("trt", "polygraphy")
@ONE
def test_without_onnx_the_command_that_brings_it_is_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r"building plans needs ONNX .*: pip install 'mdsgen\[tensorrt\]'"):
        build_plan(bundle, DENOISER, PlanOptions(), tmp_path / "t", lambda line: None)


@ONE
@pytest.mark.usefixtures("trt")
def test_open_axes_are_closed_where_they_have_one_length(
    polygraphy: Polygraphy, bundle: Bundle, tmp_path: Path
) -> None:
    both = TensorSpec("modulations", "float32", ("branches", 14, 16))
    latent = TensorSpec("latent", "float32", (1, 4, 16, 64))

    def build(name: str, options: PlanOptions, *inputs: TensorSpec, **sampling: float) -> None:
        polygraphy.profiles.clear()
        manifest = bundle.manifest
        graphs = dict(manifest.graphs)
        if inputs:
            graphs[name] = dataclasses.replace(graphs[name], inputs=inputs)
            polygraphy.specs[name] = inputs
        how = bundle.sampling.changed(steps=25, **sampling)
        changed = Bundle(bundle.folder, dataclasses.replace(manifest, graphs=graphs, sampling=how))
        build_plan(changed, name, options, tmp_path / "timings", lambda line: None)

    build(DENOISER, PlanOptions(), latent, both)
    assert polygraphy.shapes["modulations"] == (2, 14, 16)
    build(DENOISER, PlanOptions(), latent, both, guidance=1.0)
    assert polygraphy.shapes["modulations"] == (1, 14, 16), "what is never guided has one branch"
    assert polygraphy.profiles == {}
    build(CONDITIONING, PlanOptions())
    assert polygraphy.profiles == {"timesteps": ((1,), (25,), (50,))}
    build(CONDITIONING, PlanOptions(fixed_steps=8))
    assert polygraphy.profiles == {}
    assert polygraphy.shapes["timesteps"] == (8,)
    with pytest.raises(ExportError, match="an open axis 'weeks': expected steps or branches"):
        build(DENOISER, PlanOptions(), TensorSpec("latent", "float32", ("weeks",)))


def test_progress_is_told_by_quarters_of_the_outer_phases_and_an_interruption_stops_the_build() -> None:
    trt: Any = SimpleNamespace(IProgressMonitor=object)
    told: list[str] = []
    monitor = progress_monitor(trt, "denoiser", told.append)
    assert monitor is not None
    monitor.phase_start("Building", None, 10)
    monitor.phase_start("Timing", "Building", 100)
    assert all(monitor.step_complete(name, step) for step in range(10) for name in ("Timing", "Building"))
    monitor.phase_finish("Building")
    assert told == [f"  denoiser: Building {percent} %" for percent in (25, 50, 75, 100)]

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    monitor = progress_monitor(trt, "denoiser", interrupt)
    assert monitor is not None
    monitor.phase_start("Building", None, 1)
    assert monitor.step_complete("Building", 0) is False
    assert monitor.interrupted
    assert progress_monitor(SimpleNamespace(), "denoiser", told.append) is None  # type: ignore[arg-type]


# What is kept


@pytest.mark.usefixtures("trt")
def test_plans_are_built_verified_and_opened(
    polygraphy: Polygraphy, bundle: Bundle, frames: np.ndarray, trt_major: int, tmp_path: Path
) -> None:
    lines: list[str] = []
    cache = tmp_path / "cache" / "timings"
    options = PlanOptions(max_steps=8)
    folder = build_plans(bundle, frames=frames, options=options, cache=cache, report=lines.append)
    assert folder == bundle.folder / PLANS_FOLDER / machine(trt_major).key
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    record = PlanRecord.read(folder)
    assert record.machine == machine(trt_major)
    assert set(record.plans) == set(record.sources) == set(GRAPHS)
    assert [figure["graph"] for figure in record.quality] == [*GRAPHS, SPECTROGRAM, CLIP]
    assert lines[0].startswith("building TensorRT plans of 5 networks in fp32 for Fake GPU")
    assert any(line.startswith("denoiser ") and line.endswith("ok") for line in lines)
    assert cache.read_bytes() == b"timings"
    with open_engine(bundle.path(DENOISER), "tensorrt") as engine:
        assert engine.name == "tensorrt"


@ONE
@pytest.mark.usefixtures("trt")
def test_what_is_never_guided_gets_a_plan_of_the_conditional_branch_alone(
    polygraphy: Polygraphy, bundles: dict[str, Bundle], frames: np.ndarray, tmp_path: Path
) -> None:
    """As a distilled model's: half of the work of a step."""
    folder = Path(shutil.copytree(bundles["fp32"].folder, tmp_path / "distilled"))
    manifest = dataclasses.replace(Bundle.open(folder).manifest, sampling=Sampling(steps=2, guidance=1.0))
    write_manifest(folder, manifest)
    polygraphy.folder, polygraphy.lengths = folder, {**LENGTHS, "branches": (1, 1, 1)}
    polygraphy.specs = {name: graph.inputs for name, graph in manifest.graphs.items()}
    bundle = Bundle.open(folder)
    build_plans(bundle, frames=frames, options=PlanOptions(max_steps=8), cache=tmp_path / "timings")
    assert polygraphy.shapes["modulations"][0] == 1
    latent, features = seeded_noise(PAPER, 0), np.ones((1, PAPER.video_frames, FEATURE_CHANNELS), np.float32)
    with Networks(bundle, "tensorrt") as planned, Networks(bundle, "onnxruntime") as exact:
        (modulations,) = exact.condition(features, np.array([500], np.float32))
        both = [noise.copy() for noise in exact.denoise(latent, modulations)]
        np.testing.assert_allclose(planned.denoise_conditional(latent, modulations), both[0], rtol=1e-3, atol=1e-4)
        for found, expected in zip(planned.denoise(latent, modulations), both, strict=True):  # in two passes
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@ONE
@pytest.mark.usefixtures("trt")
def test_a_plan_that_computes_something_else_is_not_kept_and_the_old_ones_stay(
    polygraphy: Polygraphy, bundle: Bundle, frames: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = PlanOptions(max_steps=8)
    folder = build_plans(bundle, frames=frames, options=options, cache=tmp_path / "timings")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    strict = dataclasses.replace(PRECISIONS["fp32"], plan_thresholds=Thresholds(400.0, 30.0, 30.0))
    monkeypatch.setitem(PRECISIONS, "fp32", strict)  # type: ignore[arg-type]
    monkeypatch.setattr(plans, "compare", lambda *given: [dataclasses.replace(f, snr_db=12.3) for f in compare(*given)])
    with pytest.raises(ExportError, match=r"no plans kept, too far from ONNX Runtime in fp32: .* 12\.3 dB of 400"):
        build_plans(bundle, frames=frames, options=options, cache=tmp_path / "timings")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@ONE
@pytest.mark.usefixtures("trt")
@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError("CUDA error: out of memory")])
def test_an_interrupted_build_leaves_nothing(
    polygraphy: Polygraphy, bundle: Bundle, frames: np.ndarray, tmp_path: Path, failure: Any
) -> None:
    def fail(graph: str) -> None:
        if graph == LATENT_DECODER:
            raise failure

    polygraphy.before = fail
    with pytest.raises((KeyboardInterrupt, ExportError)) as raised:
        build_plans(bundle, frames=frames, cache=tmp_path / "timings")
    assert not (bundle.folder / PLANS_FOLDER).exists()
    if raised.type is ExportError:
        assert "latent_decoder: TensorRT could not build a plan" in str(raised.value)
        assert "it ran out of memory: try --workspace 256 (MiB), or --optimisation-level 1" in str(raised.value)
    with pytest.raises(EngineError, match="there are no TensorRT plans"):
        open_engine(bundle.path(DENOISER), "tensorrt")


def test_weights_in_int8_are_no_reason_for_plans(bundle: Bundle, frames: np.ndarray, tmp_path: Path) -> None:
    manifest = dataclasses.replace(bundle.manifest, precision="int8-weights")
    expected = "there are no plans of int8-weights, .* export a bundle in one of fp32, fp16-weights, fp16, int8"
    with pytest.raises(ExportError, match=expected):
        build_plans(Bundle(bundle.folder, manifest), frames=frames, cache=tmp_path / "timings")
    assert not (bundle.folder / PLANS_FOLDER).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workspace": -1}, "workspace must be 1 or more"),
        ({"fixed_steps": -2}, "fixed_steps must be 1 or more"),
        ({"fixed_steps": 0}, "fixed_steps must be 1 or more, not 0"),
        ({"max_steps": 0}, "max_steps must be 1 or more, not 0"),
        ({"hardware_compatible": "any"}, "hardware compatibility must be one of"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        PlanOptions(**options)


# The command


@ONE
@pytest.mark.usefixtures("trt", "polygraphy")
def test_the_command_puts_plans_into_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    arguments = ["--bundle", str(bundle.folder), "--engine", "tensorrt", "--max-steps", "8"]
    result = Runner().invoke(main, [*arguments, "--timing-cache", str(tmp_path / "timings")])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(bundle.folder / PLANS_FOLDER / machine().key)
    result = Runner().invoke(main, [*arguments, "--precision", "fp16"])
    assert result.exit_code == 2
    assert "builds plans of" in result.stderr


def test_the_command_names_what_is_missing_in_one_line(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    result = Runner().invoke(main, ["--bundle", str(bundle.folder), "--engine", "tensorrt"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: TensorRT cannot be imported")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("source", [["--untrained"], []], ids=["export", "as it is"])
def test_a_precision_without_plans_is_refused_before_everything(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "mdsgen.export.exporter", None)
    small = dataclasses.replace(bundle.manifest, precision="int8-weights")
    write_manifest(bundle.folder, small)
    words = source or ["--bundle", str(bundle.folder)]
    words = [*words, "--precision", "int8-weights", "--engine", "tensorrt", "-o", str(tmp_path / "b")]
    result = Runner().invoke(main, words)
    assert result.exit_code == 2
    assert "there are no plans of int8-weights" in result.stderr
    assert not (tmp_path / "b").exists()


def test_an_fp16_export_without_a_gpu_says_that_the_plans_are_still_to_be_built(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    arguments = ["--bundle", str(bundle.folder), "--precision", "fp16", "--output", str(tmp_path / "half")]
    result = Runner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "TensorRT plans are not built here (TensorRT cannot be imported" in result.stderr
    assert f"on the device, run mdsgen-export --bundle {tmp_path / 'half'} --engine tensorrt" in result.stderr
