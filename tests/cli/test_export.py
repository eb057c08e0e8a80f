"""``mdsgen-export``: from files, seeds or a bundle to a bundle that runs; what it refuses, before any long work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import Result

from mdsgen import Pipeline
from mdsgen.bundle import GRAPHS, Bundle
from mdsgen.cli import info
from mdsgen.cli.export import MODEL_SIZES, main
from mdsgen.export import Models, published_models
from mdsgen.export.onnx_graph import Network, trace
from mdsgen.geometry import PAPER, RELEASE, SAMPLE_RATE, Geometry
from mdsgen.model.denoiser import SIZES, DenoiserConfig
from mdsgen.model.video_encoder import VideoEncoder
from mdsgen.precision import CLIP, PRECISIONS, SPECTROGRAM
from mdsgen.runtime import Networks, WindowGenerator
from mdsgen.runtime.solver import plan_steps, timesteps_of
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.published import PublishedClips
from mdsgen.weights.audioldm import save_audioldm
from mdsgen.weights.cavp import load_cavp
from tests.export.conftest import small_codec, small_models
from tests.export.test_exporter import columns
from tests.fake_hub import COMMIT, asked, fake_hub
from tests.media.conftest import Renderer
from tests.released import DECODE_LAYER, golden, relative_error, released_state
from tests.runner import Runner
from tests.seeded import FIXTURES, read_keys, seeded_state
from tests.threads import one_thread

FILES = ["--checkpoint", "x.pt", "--cavp", "x.ckpt", "--audioldm", "x"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def export(*arguments: object) -> Result:
    return Runner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int = 1) -> str:
    """The one line of an error, and that nothing was printed as a result."""
    assert (result.exit_code, result.stdout) == (code, "")
    *_, line = result.stderr.splitlines()
    if code == 1:
        assert line.startswith("error: ")
    return line


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to load or make a model fails the test."""

    def fail(*arguments: object) -> Models:
        raise AssertionError("the models must not be loaded")

    for name in ("seeded_models", "published_models"):
        monkeypatch.setattr(f"mdsgen.export.models.{name}", fail)


# From seeds


@pytest.fixture(scope="module")
def traces() -> dict[str, bytes]:
    """The graphs of the small model, each traced once for all tests here."""
    return {}


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch, traces: dict[str, bytes]) -> list[tuple[Geometry, str]]:
    """What was asked of ``seeded_models``, which gives the small model in place of 100 million weights."""
    asked = []

    def models(geometry: Geometry, size: str) -> Models:
        asked.append((geometry, size))
        return small_models(DenoiserConfig(width=16, depth=1, heads=1, decode_layers=1))

    def remember(network: Network) -> onnx.ModelProto:
        if network.name not in traces:
            traces[network.name] = trace(network).SerializeToString()
        return onnx.load_from_string(traces[network.name])

    monkeypatch.setattr("mdsgen.export.models.seeded_models", models)
    monkeypatch.setattr("mdsgen.export.exporter.trace", remember)
    return asked


def test_untrained_weights_are_there_for_the_asking(seeded: list[tuple[Geometry, str]], tmp_path: Path) -> None:
    result = export("--untrained", "-o", tmp_path / "b", "--steps", 2, "--guidance", 3)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'b'}\n")
    assert seeded == [(PAPER, "tiny")]
    assert len([line for line in result.stderr.splitlines() if line.endswith("  ok")]) == len(GRAPHS) + 2
    manifest = Bundle.open(tmp_path / "b").manifest
    assert (manifest.precision, manifest.sampling.steps, manifest.sampling.guidance) == ("fp16", 2, 3.0)
    assert "untrained" in manifest.provenance["weights"]


@pytest.mark.usefixtures("seeded")
def test_poor_parity_is_a_table_then_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = PRECISIONS["fp32"]
    strict = replace(full, thresholds=replace(full.thresholds, exceptions={"vocoder": 500.0}))
    monkeypatch.setitem(PRECISIONS, "fp32", strict)  # type: ignore[arg-type]
    result = export("--untrained", "-o", tmp_path / "b", "--steps", 1, "--precision", "fp32")
    assert refused(result).startswith("error: not exported, too far from PyTorch in fp32: vocoder ")
    assert "dB of 500; good enough are video_encoder" in refused(result)
    table = [columns(line) for line in result.stderr.splitlines() if line.endswith(("  ok", "  FAILED"))]
    expected = dict.fromkeys([*GRAPHS, SPECTROGRAM, CLIP], "ok") | {"vocoder": "FAILED"}
    assert {row[0]: row[-1] for row in table} == expected
    assert not list(tmp_path.iterdir())


def test_that_tensorrt_is_missing_is_said_before_anything_is_exported(
    monkeypatch: pytest.MonkeyPatch, bundle_path: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("MDSGEN_BUNDLE", str(bundle_path))
    result = Runner().invoke(main, ["--engine", "tensorrt", "-o", str(tmp_path / "b")])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: TensorRT cannot be imported")


def test_the_sizes_are_the_models() -> None:
    assert list(MODEL_SIZES) == list(SIZES)


@pytest.mark.usefixtures("seeded")
def test_int8_of_untrained_weights_is_made_by_way_of_fp32(tmp_path: Path) -> None:
    settings = ["--untrained", "--precision", "int8", "--steps", 2, "--calibration-scenes", 4, "--calibration-seed", 9]
    result = export(*settings, "-o", tmp_path / "b")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'b'}\n"), result.stderr
    manifest = Bundle.open(tmp_path / "b").manifest
    assert (manifest.precision, manifest.sampling.steps) == ("int8", 2)
    calibration = manifest.provenance["calibration"]
    assert calibration["clips"] == [f"scene {200_009 + n}" for n in range(4)]
    assert (calibration["seed"], calibration["passes"]) == (9, 8)
    assert manifest.provenance["converted_from"] == {"precision": "fp32"}
    assert list(tmp_path.iterdir()) == [tmp_path / "b"], "the FP32 is gone"


def test_weights_alone_in_int8_are_good_enough_of_seeded_networks(tmp_path: Path) -> None:
    """The smallest geometry that is published, and its networks in their own sizes."""
    words = ["--untrained", "--geometry", "demo", "--precision", "int8-weights", "--steps", 1]
    result = export(*words, "-o", tmp_path / "b")
    assert result.exit_code == 0, result.stderr
    quality = Bundle.open(tmp_path / "b").manifest.parity
    assert {figure.graph for figure in quality if figure.snr_db < 45} > {"latent_decoder", "vocoder"}


# From another bundle


def test_a_bundle_becomes_one_of_another_precision(bundle_path: Path, tmp_path: Path) -> None:
    result = export("--bundle", bundle_path, "--precision", "fp16-weights", "-o", tmp_path / "b")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'b'}\n"), result.stderr
    assert "verifying against the source bundle over 4 steps" in result.stderr.splitlines()
    manifest = Bundle.open(tmp_path / "b").manifest
    assert manifest.precision == "fp16-weights"
    assert manifest.provenance["converted_from"]["precision"] == "fp32"


def test_int8_is_calibrated_on_a_folder_of_videos(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    arguments = ["--bundle", bundle_path, "--precision", "int8", "--calibrate-on", tmp_path / "films"]
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        film(name, frames=4, rate=4)
    assert "on 4 clips or more, not on 3 videos in" in refused(export(*arguments, "-o", tmp_path / "b"))
    (tmp_path / "films" / "d.mp4").write_text("not a video")
    assert "d.mp4" in refused(export(*arguments, "-o", tmp_path / "b"))
    film("d.mp4", frames=4, rate=4)
    assert "there is no folder nowhere" in refused(export(*arguments[:-1], "nowhere", "-o", tmp_path / "b"))
    result = export(*arguments, "-o", tmp_path / "b")
    assert "no MatMul with a constant weight" in refused(result), "the fixture's are too small to be products"
    assert not (tmp_path / "b").exists()


def test_with_nothing_named_it_converts_the_default_bundle(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDSGEN_BUNDLE", raising=False)
    monkeypatch.setattr("mdsgen.bundle.default.DEMO_FOLDER", bundle_path)
    result = export()
    assert (result.exit_code, result.stdout) == (0, "mdsgen-bundle\n"), result.stderr
    manifest = Bundle.open("mdsgen-bundle").manifest
    assert (manifest.precision, manifest.model) == ("fp16", Bundle.open(bundle_path).manifest.model)
    assert "exists: choose another place" in refused(export())
    assert "expected a bundle in fp32 or fp16-weights" in refused(export("--bundle", "mdsgen-bundle", "-o", "other"))


# From files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Everything that a whole model is published as: names, shapes and formats are real, the denoiser is small."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(released_state(), folder / "mdsgen_audioldm.pt")
    keys = {name: entry for name, entry in read_keys(FIXTURES / "cavp.keys.txt").items() if "spec_enc" not in name}
    counters = {name: torch.tensor(1) for name, (_, dtype) in keys.items() if "int" in dtype}
    torch.save({"state_dict": {**seeded_state(keys), **counters}}, folder / "cavp_epoch66.ckpt")
    torch.manual_seed(0)
    save_audioldm(small_codec(RELEASE), folder / "audioldm")
    return {
        "--checkpoint": folder / "mdsgen_audioldm.pt",
        "--cavp": folder / "cavp_epoch66.ckpt",
        "--audioldm": folder / "audioldm",
    }


def options(files: dict[str, Path]) -> list[object]:
    return [word for option in files.items() for word in option]


def shallow(path: Path) -> VideoEncoder:
    """The video encoder of a whole file, of which every stage keeps its first block: a quarter of the work."""
    encoder = load_cavp(path)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        del getattr(encoder.video_encoder, name)[1:]
    return encoder


@pytest.fixture(scope="module")
def published(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The bundle of these files, in FP32, with a shallow video encoder; and what the command said."""
    folder = tmp_path_factory.mktemp("exported")
    video = Renderer(folder)("clip.mp4", frames=12, rate=4)
    settings = ["--decode-layer", DECODE_LAYER, "--video", video, "--steps", 2, "--precision", "fp32"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdsgen.export.models.load_cavp", shallow)
        return folder / "bundle", export(*options(files), *settings, "-o", folder / "bundle")


def test_published_files_become_a_bundle(published: tuple[Path, Result], files: dict[str, Path]) -> None:
    folder, result = published
    assert (result.exit_code, result.stdout) == (0, f"{folder}\n"), result.stderr
    assert [f"exporting {name} in fp32" for name in GRAPHS] == result.stderr.splitlines()[:5]
    shown = Runner().invoke(info.main, [str(folder), "--json"])
    document = json.loads(shown.stdout)
    assert (shown.exit_code, document["verified"]) == (0, True)
    manifest = document["manifest"]
    assert (manifest["precision"], manifest["geometry"]["name"]) == ("fp32", "release")
    assert (manifest["model"]["width"], manifest["model"]["depth"]) == (48, 4)
    sources = [manifest["provenance"][name]["file"] for name in ("denoiser", "video_encoder")]
    assert sources == ["mdsgen_audioldm.pt", "cavp_epoch66.ckpt"]
    assert min(figure["snr_db"] for figure in manifest["parity"]) >= 80


def test_the_bundle_samples_what_the_published_code_samples(published: tuple[Path, Result]) -> None:
    """25 steps through its conditioning and denoiser, against the published implementation's latent."""
    arrays, sampling = golden(), Sampling()
    timesteps = timesteps_of(plan_steps(sampling, NoiseSchedule()))
    with Networks(Bundle.open(published[0])) as networks:
        modulations = networks.condition(arrays["video_features"][None], timesteps)
        latent = WindowGenerator(networks, sampling).denoise(arrays["latent"], modulations)
    assert relative_error(latent, arrays["sample_25"]) <= 1e-4


def test_names_on_the_hub_are_fetched_and_stand_in_the_provenance(
    files: dict[str, Path], published: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsgen.export.models.load_cavp", shallow)
    with fake_hub() as hub, asked(hub, tmp_path / "cache"):
        hub.add("me/model", files["--cavp"].parent)
        checkpoint, cavp, audioldm = (f"hf://me/model/{path.name}" for path in files.values())
        found = published_models(checkpoint, cavp, audioldm, RELEASE, DECODE_LAYER).provenance
        clips = PublishedClips.of(RELEASE, cavp, audioldm).describe()
    local = Bundle.open(published[0]).manifest.provenance
    for name, part in (("denoiser", checkpoint), ("video_encoder", cavp)):
        assert found[name] == {**local[name], "source": f"{part}@{COMMIT}"}
    assert found["audio"] == {**local["audio"], "source": f"{audioldm}@{COMMIT}"}
    assert local["audio"]["source"] == "audioldm"
    assert {len(found["audio"][part]["sha256"]) for part in ("vae", "vocoder")} == {64}
    assert clips == {"cavp": found["video_encoder"]["sha256"], "audioldm": f"{audioldm}@{COMMIT}"}


def test_the_bundle_gives_a_video_its_sound(published: tuple[Path, Result]) -> None:
    with Pipeline.open(published[0]) as pipeline:
        sound = pipeline(published[0].parent / "clip.mp4", seed=1)
    assert sound.audio.shape == (3 * SAMPLE_RATE,)
    assert np.isfinite(sound.audio).all()
    assert sound.audio.std() > 1e-3


# What is refused


@pytest.mark.usefixtures("unloadable")
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["--checkpoint"], "--cavp, --audioldm as well"),
        (["--cavp", "--audioldm"], "needs --checkpoint as well"),
    ],
)
def test_half_a_model_is_wrong_use(given: list[str], missing: str, tmp_path: Path) -> None:
    result = export(*(word for option in given for word in (option, "x")), "-o", tmp_path / "b")
    assert missing in refused(result, code=2)


def test_an_empty_name_is_not_taken_for_none(tmp_path: Path) -> None:
    """As a script has it whose variable is not set: another model would pass for the published one."""
    result = export("--checkpoint", tmp_path / "x.pt", "--cavp", tmp_path / "x.ckpt", "--audioldm", "")
    assert "x.pt: no such file" in refused(result)


@pytest.mark.usefixtures("unloadable")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--untrained", "--bundle", "b"], "--untrained, --bundle are different models"),
        (["--trained", "w", "--bundle", "b"], "--trained, --bundle are different models"),
        (["--trained", "w", "--model", "tiny"], "--model is said by the weights of --trained themselves"),
        (["--untrained", *FILES], "--checkpoint, --cavp, --audioldm, --untrained are different models"),
        (["--bundle", "b", *FILES], "--checkpoint, --cavp, --audioldm, --bundle are different models"),
        (["--model", "tiny"], "--model belongs to PyTorch weights"),
        (["--bundle", "b", "--geometry", "paper"], "--geometry belongs to PyTorch weights"),
        (["--steps", "4"], "--steps belongs to PyTorch weights: a converted bundle keeps its own"),
        (["--bundle", "b", "--guidance", "4"], "--guidance belongs to PyTorch weights"),
        (["--untrained", "--decode-layer", "2"], "--decode-layer belongs to a --checkpoint"),
        (["--decode-layer", "2"], "--decode-layer belongs to a --checkpoint"),
        (["--calibrate-on", "v"], "--calibrate-on is for --precision int8, not fp16"),
        (["--precision", "int8-weights", "--calibration-seed", "1"], "--calibration-seed is for --precision int8, not"),
        (["--untrained", "--calibration-scenes", "9"], "--calibration-scenes is for --precision int8, not fp16"),
        (
            ["--precision", "int8", "--calibrate-on", "v", "--calibration-scenes", "9"],
            "--calibrate-on and --calibration-scenes exclude each other: name one",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_go_together_are_wrong_use(arguments: list[str], reason: str, tmp_path: Path) -> None:
    assert reason in refused(export(*arguments, "-o", tmp_path / "b"), code=2)


@pytest.mark.usefixtures("unloadable")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--precision", "int4"],
        ["--geometry", "round"],
        ["--model", "huge"],
        ["--steps", "0"],
        ["--steps", "1001"],
        ["--calibration-scenes", "2"],
        ["--guidance", "-5"],
        ["--guidance", "inf"],
        ["--tolerance", "-1"],
        ["--tolerance", "nan"],
    ],
)
def test_unknown_words_are_wrong_use(arguments: list[str]) -> None:
    option, word = arguments
    line = refused(export(*arguments), code=2)
    assert f"'{option}'" in line
    assert word in line


def with_a_bundle(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "manifest.json").write_text('{"schema": 1, "graphs": {}}')


def with_a_thesis(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "thesis.txt").write_text("precious")


def with_a_file(folder: Path) -> None:
    (folder / "b").write_text("precious")


def with_nothing(folder: Path) -> None:
    pass


@pytest.mark.usefixtures("unloadable")
@pytest.mark.parametrize(
    ("occupy", "arguments", "message"),
    [
        (with_a_bundle, [], "exists: choose another place, or ask to replace it"),
        (with_a_thesis, ["--replace"], "exists and is not a bundle"),
        (with_a_file, ["--replace"], "exists and is not a bundle"),
        (with_nothing, ["--video", "missing.mp4"], "missing.mp4"),
        (with_nothing, ["--video", __file__], "test_export.py"),
        (with_nothing, ["--precision", "int8", "--calibrate-on", "nowhere"], "there is no folder nowhere with videos"),
        (with_a_bundle, ["--precision", "int8"], "exists: choose another place, or ask to replace it"),
    ],
)
def test_what_can_be_known_at_once_is_found_before_models_are_loaded(
    tmp_path: Path, occupy: Callable[[Path], None], arguments: list[str], message: str
) -> None:
    occupy(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert message in refused(export("--untrained", "-o", tmp_path / "b", *arguments))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("unloadable")
def test_a_place_that_cannot_be_written_is_found_before_models_are_loaded(tmp_path: Path) -> None:
    with_a_file(tmp_path)
    assert "cannot write" in refused(export("--untrained", "-o", tmp_path / "b" / "bundle"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"--checkpoint": "--cavp"}, "this is not an MDSGen denoiser"),
        ({"--checkpoint": "--audioldm"}, "no such file"),
        ({"--cavp": "--checkpoint"}, "these are not the weights of the CAVP video encoder"),
        ({"--audioldm": "--cavp"}, "is a file: expected a folder with vae/ and vocoder/"),
    ],
    ids=["video encoder as denoiser", "folder as denoiser", "denoiser as video encoder", "file as audio networks"],
)
def test_files_that_are_mistaken_for_each_other_are_one_line(
    files: dict[str, Path], tmp_path: Path, wrong: dict[str, str], message: str
) -> None:
    mistaken = files | {option: files[other] for option, other in wrong.items()}
    result = export(*options(mistaken), "--decode-layer", DECODE_LAYER, "-o", tmp_path / "b")
    assert message in refused(result)
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_size_is_one_line(files: dict[str, Path], tmp_path: Path) -> None:
    result = export(*options(files), "--decode-layer", DECODE_LAYER, "--model", "base", "-o", tmp_path / "b")
    assert "holds 4 blocks of 48 (custom), not the base model" in refused(result)
    assert not list(tmp_path.iterdir())


# The command itself


def test_the_module_runs_by_itself_and_its_help_needs_no_pytorch() -> None:
    script = (
        "import runpy, sys\n"
        "sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "sys.argv = ['mdsgen-export', *sys.argv[1:]]\n"
        "runpy.run_module('mdsgen.cli.export', run_name='__main__')\n"
    )
    command = [sys.executable, "-c", script]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    for option in (*FILES[::2], "--bundle", "--untrained", "--precision", "--calibrate-on", "--video", "--debug"):
        assert option in shown.stdout
    for arguments, needed, extra in (
        (["--untrained"], "exporting needs PyTorch and ONNX (", "export"),
        ([], "converting needs ONNX (", "convert"),
    ):
        refused = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"error: {needed}")
        assert refused.stderr.endswith(f"pip install 'mdsgen[{extra}]'\n")
        assert refused.stderr.count("\n") == 1
