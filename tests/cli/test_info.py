"""``mdsgen-info`` shows a whole bundle to people and to programs, and a damaged one to nobody."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mdsgen.bundle import Manifest
from mdsgen.cli.info import main
from mdsgen.geometry import PAPER
from tests.bundles import make_bundle


def info(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


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
        "sampler 25 steps, guidance 5, power 0.01",
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
