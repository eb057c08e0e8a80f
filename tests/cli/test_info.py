"""``mdsgen-info`` shows a whole bundle to people and to programs, and a damaged one to nobody."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import Result

from mdsgen.bundle import Manifest, write_manifest
from mdsgen.cli.info import main
from mdsgen.engines.choice import Choice, digest_of
from mdsgen.geometry import PAPER
from tests.bundles import make_bundle
from tests.runner import Runner


def info(*arguments: str | Path) -> Result:
    return Runner().invoke(main, [str(argument) for argument in arguments])


def test_people_read_what_the_bundle_holds(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    result = info(tmp_path / "b")
    assert (result.exit_code, result.stderr) == (0, "")
    page = " ".join(result.stdout.split())
    for fact in (
        f"bundle {tmp_path / 'b'}",
        "files 6, 0.0 MB, every SHA-256 is right",
        "geometry paper: latent 4×16×64, time along the width, 256 tokens",
        "window 8.192 s: 32 video frames, 131072 samples at 16000 Hz",
        "precision fp16",
        "model size tiny, width 192, depth 7, heads 3, parameters 5,012,345",
        "sampling 25 steps, guidance 5, power 0.01, dpm-2m",
        "noise schedule linear, betas 0.0001 to 0.02 in 1000 timesteps",
        "provenance weights seeded, untrained",
        "licence Apache-2.0",
        "denoiser: denoiser.onnx 0.0 MB, shared.bin 0.0 MB in x float32 [steps, 4] in gain float32 [1]",
        "out y float16 [steps, 4]",
        "denoiser noise 52.2 40.0 vocoder waveform exact 30.0 latent_decoder mel 21.5 30.0 BELOW",
    ):
        assert fact in page


def test_programs_read_one_json_document(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "b")
    result = info(tmp_path / "b", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert Manifest.from_dict(document["manifest"]) == manifest
    assert document["window"]["seconds"] == PAPER.duration
    assert document["window"]["video_frames"] == PAPER.video_frames
    assert document["bytes"] == sum(
        path.stat().st_size for path in (tmp_path / "b").iterdir() if path.suffix != ".json"
    )
    assert document["verified"] is True


def test_what_int8_was_calibrated_on_is_told_in_a_few_rows(tmp_path: Path) -> None:
    """A base model has 49 linear layers and any number of clips: not a line of all of them."""
    manifest = make_bundle(tmp_path / "b")
    calibration = {
        "clips": [f"scene {200_000 + n}" for n in range(8)],
        "seed": 3,
        "passes": 200,
        "smoothing": 0.7,
        "decibels": 41.5,
        "kept": ["final_layer.linear"],
        "layers": {f"blocks.{n}.mlp.fc2": 60.0 - n for n in range(12)} | {"final_layer.linear": 37.85, "idle": None},
    }
    provenance = {"weights": "seeded", "calibration": calibration}
    write_manifest(tmp_path / "b", dataclasses.replace(manifest, precision="int8", provenance=provenance))
    result = info(tmp_path / "b")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines() if "  " in line.strip())
    assert {name: rows[name].strip() for name in ("provenance", "calibration", "in FP32", "worst layers")} == {
        "provenance": "weights seeded",
        "calibration": "8 clips (scene 200000 … scene 200007), seed 3, passes 200, smoothing 0.7, decibels 41.5",
        "in FP32": "1 of 14 linear layers: final_layer.linear",
        "worst layers": "final_layer.linear 37.9 dB, blocks.11.mlp.fc2 49.0 dB, blocks.10.mlp.fc2 50.0 dB,"
        " each alone in INT8",
    }
    assert max(map(len, result.stdout.splitlines())) < 140


@pytest.mark.parametrize(
    ("calibration", "rows"),
    [
        (7, ["calibration 7"]),
        ("on my films", ["calibration on my films"]),
        (None, ["calibration None"]),
        ({"clips": 4, "seed": 1}, ["calibration clips 4, seed 1"]),
        ({"clips": ["a"], "author": {"name": "x"}}, ["calibration 1 clip (a), author (name x)"]),
        ({"kept": 3, "layers": [1.5]}, ["calibration kept 3, layers (1.5)"]),
        (
            {"seed": 1, "layers": {"fc1": "good", "fc2": 40.0}},
            ["calibration seed 1", "worst layers fc2 40.0 dB"],
        ),
        ({"seed": 1, "kept": ["fc1"]}, ["in FP32 1 linear layer: fc1"]),
        ({"seed": 1, "clips": [], "kept": [], "layers": {}}, ["calibration seed 1"]),
        ({"seed": 1, "kept": [], "layers": {"idle": None}}, ["in FP32 0 of 1 linear layer: none"]),
    ],
    ids=str,
)
def test_a_calibration_of_any_shape_is_shown_as_far_as_it_is_understood(
    tmp_path: Path, calibration: object, rows: list[str]
) -> None:
    manifest = make_bundle(tmp_path / "b")
    write_manifest(tmp_path / "b", dataclasses.replace(manifest, provenance={"calibration": calibration}))
    result = info(tmp_path / "b")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert all(any(line.startswith(row) for line in lines) for row in rows)
    layers = [line for line in lines if line.startswith(("in FP32", "worst layers"))]
    assert len(layers) == sum(row.startswith(("in FP32", "worst layers")) for row in rows)
    assert info(tmp_path / "b", "--json").exit_code == 0


def test_what_was_heard_of_a_precision_is_told_in_rounded_rows(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "b")
    figures = {"log_mel_decibels": 0.4567891, "aligned": 0.96666667, "onset_f1": None, "frechet": 3.14159265}
    evaluation = {
        **{"clips": 60, "guidance_interval": [0.0, 1000.0], "clean_limit": None, "engine": "onnxruntime"},
        "figures": figures,
        "reference": {"precision": "fp32", "figures": {"aligned": 1.0}},
    }
    provenance = {"weights": "seeded", "evaluation": evaluation}
    write_manifest(tmp_path / "b", dataclasses.replace(manifest, provenance=provenance))
    lines = [" ".join(line.split()) for line in info(tmp_path / "b").stdout.splitlines()]
    assert "provenance weights seeded" in lines
    at = lines.index("evaluation clips 60, guidance_interval (0, 1000), engine onnxruntime")
    assert lines[at + 1 : at + 3] == [
        "figures log_mel_decibels 0.4568, aligned 0.9667, frechet 3.142",
        "reference precision fp32, figures (aligned 1)",
    ]
    write_manifest(tmp_path / "b", dataclasses.replace(manifest, provenance={"evaluation": ["x", "y"]}))
    assert "(x, y)" in info(tmp_path / "b").stdout


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_damaged_bundle_is_one_line_on_stderr(form: list[str], tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    content = (tmp_path / "b" / "shared.bin").read_bytes()
    (tmp_path / "b" / "shared.bin").write_bytes(b"W" + content[1:])
    result = info(tmp_path / "b", *form)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    unverified = info(tmp_path / "b", "--no-verify", *form)
    assert unverified.exit_code == 0
    assert "SHA-256 not checked" in unverified.stdout or json.loads(unverified.stdout)["verified"] is False


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = info(tmp_path / "nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nowhere: expected a bundle" in result.stderr


def test_without_a_bundle_it_shows_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle(tmp_path / "b")
    monkeypatch.setenv("MDSGEN_BUNDLE", str(tmp_path / "b"))
    assert json.loads(info("--json").stdout)["bundle"] == str(tmp_path / "b")


def test_the_module_runs_by_itself() -> None:
    command = [sys.executable, "-m", "mdsgen.cli.info", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    for word in ("BUNDLE", "--json", "--no-verify", "--debug"):
        assert word in result.stdout


def test_a_reader_that_leaves_early_meets_no_traceback(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    command = [sys.executable, "-m", "mdsgen.cli.info", str(tmp_path / "b")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_the_engine_that_auto_takes_is_shown_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "cache"))
    make_bundle(tmp_path / "b")
    graph = tmp_path / "b" / "denoiser.onnx"
    assert "engine auto" not in info(tmp_path / "b").stdout
    figures = {
        "onnxruntime": {"milliseconds": 9.25, "snr_db": None},
        "openvino": {"milliseconds": 4.0, "snr_db": 80.0},
    }
    choice = Choice("openvino", digest_of(graph), "EngineOptions()", figures, 3.0, 2, time.time())
    (tmp_path / "cache" / "engines").mkdir(parents=True)
    choice.write(tmp_path / "cache" / "engines" / "denoiser-1234.json")
    page = info(tmp_path / "b").stdout
    assert "engine auto openvino (onnxruntime 9.2 ms, openvino 4.0 ms; " in " ".join(page.split())
    assert "load 3.0 on 2 cores, provisional), for EngineOptions()" in page
    assert "mdsgen-info --forget-engine has the engines tried again" in page
    (engine,) = json.loads(info(tmp_path / "b", "--json").stdout)["engines"]
    assert (engine["engine"], engine["provisional"], engine["figures"]) == ("openvino", True, figures)
    assert "engine auto" not in info(tmp_path / "b", "--forget-engine").stdout
    assert json.loads(info(tmp_path / "b", "--json").stdout)["engines"] == []


def test_gstreamer_is_told_where_its_element_lies() -> None:
    result = info("--gstreamer")
    assert (result.exit_code, result.stderr) == (0, "")
    assert Path(result.stdout.strip(), "python", "gstmdsgen.py").is_file()
