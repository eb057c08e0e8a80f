"""``mdsgen-bench`` says how long a bundle takes and under which conditions, to people and to programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result

from mdsgen.cli.bench import main
from tests.runner import Runner

QUICK = ("--repeat", "1", "--warmup", "0", "--threads", "1", "--no-peak")
ONE = ("--engine", "onnxruntime", *QUICK)


def bench(*arguments: str | Path) -> Result:
    return Runner().invoke(main, [str(argument) for argument in arguments])


def rows_of(page: str) -> dict[str, list[str]]:
    return {line.split("  ")[0].strip(): line.split() for line in page.splitlines()}


def test_people_read_a_table_and_its_conditions(bundle_path: Path, tmp_path: Path) -> None:
    result = bench("--bundle", bundle_path, "--steps", "2", "--plot", tmp_path / "chart.svg", *ONE)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = rows_of(result.stdout)
    for stage in ("video encoder", "conditioning", "denoiser", "latent decoder", "vocoder", "whole clip"):
        *_, median, p95, least, runs, factor = rows[stage]
        assert float(p95) == float(median) == float(least) > 0
        assert (runs, float(factor) >= 0) == ("1", True)
    assert result.stdout.count("median ms") == 1
    memory = float(rows["process start to finished mp4"][-1])
    assert 30 < memory < 1000
    assert (rows["threads"][-1], rows["steps"][-1], rows["geometry"][-1]) == ("1", "2", "paper")
    assert {
        "processor",
        "cores",
        "load average",
        "python",
        "numpy",
        "onnxruntime",
        "openvino",
        "tensorrt",
    } <= rows.keys()
    assert {"clip seconds", "real-time factor", "start-up seconds", "peak memory bytes"} <= rows.keys()
    assert (tmp_path / "chart.svg").read_text(encoding="utf-8").count('class="bar"') == 9


def test_programs_read_one_document_of_the_default_bundle(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_BUNDLE", str(bundle_path))
    options = ("--quality", "best", "--steps", "4", "--solver", "unipc-2", "--guidance-interval", "0", "600")
    result = bench("--json", *options, *ONE)
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    conditions = document["conditions"]
    assert (conditions["engine"], conditions["solver"], conditions["denoiser passes"]) == ("onnxruntime", "unipc-2", 6)
    assert document["results"]["denoiser step"]["runs"] == 3
    assert set(document["results"]["vocoder"]) == {"median", "p95", "min", "runs", "real-time factor"}
    assert document["totals"]["clip seconds"] == 8.192
    assert document["totals"]["peak memory bytes"] > 30_000_000


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--geometry", "paper"], "for --compare"),
        (["--of", "clip"], "for --compare"),
        (["--compare", "torch", "--bundle", "b", "--model", "tiny"], "without a --bundle"),
        (["--compare", "torch,onnxruntime", "--steps", "4"], "a step is compared"),
        (["--compare", "torch", "--of", "step", "--quality", "fast"], "a step is compared"),
        (["--compare", "torch", "--of", "loop", "--torch-steps", "9"], "--torch-steps is for --of clip"),
        (["--compare", "torch", "--bfloat16"], "compare openvino-bf16"),
        (["--compare", "torch,auto", "--engine", "openvino"], "add openvino to --compare"),
        (["--compare", "onnxruntime", "--engine", "onnxruntime"], "needs another name"),
        (["--engine", "jax"], "--engine jax is unknown: expected one of auto, onnxruntime, openvino, tensorrt"),
        (["--engine", "torch"], "--engine torch is unknown: expected one of auto, onnxruntime, openvino, tensorrt"),
        (["--compare", "torch", "--engine", "jax"], "expected one of torch, torch-fused, onnxruntime, openvino"),
        (["--compare", "torch,jax"], "expected names out of torch, torch-fused, onnxruntime, openvino"),
        (["--compare", "torch@b"], "no bundle"),
        (["--plot", "chart.png"], "ends in .svg"),
        (["--plot", "nowhere/chart.svg"], "no folder nowhere"),
        (["--quality", "finest"], "finest"),
        (["--solver", "euler"], "euler"),
        (["--guidance-interval", "0", "1001"], "1001"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_use(arguments: list[str], reason: str) -> None:
    result = bench(*arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder that not even root may write to")
def test_a_chart_that_cannot_be_written_is_said_before_anything_is_timed(bundle_path: Path) -> None:
    result = bench("--bundle", bundle_path, "--plot", "/proc/chart.svg", *ONE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: cannot write /proc/chart.svg: ")


def test_a_bundle_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for arguments in (["--bundle", tmp_path / "none"], ["--compare", f"onnxruntime,onnxruntime@{tmp_path / 'none'}"]):
        result = bench(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.count("\n") == 1


def test_an_engine_that_is_not_there_is_one_line(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    result = bench("--compare", "onnxruntime,openvino", "--bundle", bundle_path, *QUICK)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("pip install 'mdsgen[openvino]'\n")


def test_a_bundle_of_other_weights_is_not_compared(bundle_path: Path) -> None:
    pytest.importorskip("torch")
    result = bench("--compare", "torch", "--bundle", bundle_path, *QUICK)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "expected a model of size" in result.stderr


def test_a_bundle_is_compared_with_another_without_pytorch(bundle_path: Path) -> None:
    names = f"onnxruntime,onnxruntime@{bundle_path}"
    script = (
        "import sys; sys.modules.update(torch=None, onnx=None); from mdsgen.cli.bench import main; "
        f"main({['--bundle', str(bundle_path), '--compare', names, '--of', 'clip', '--json', *QUICK]!r})"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)["results"]
    assert list(found) == names.split(",")
    assert found["onnxruntime"]["times faster"] == 1.0
    assert found[f"onnxruntime@{bundle_path}"]["dB"] is None  # equal


def test_a_name_without_a_bundle_is_the_default_one_s(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDSGEN_BUNDLE", str(bundle_path))
    other = shutil.copytree(bundle_path, tmp_path / "other")
    result = bench("--compare", f"onnxruntime@{other},onnxruntime", "--json", *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)["results"]
    assert str(bundle_path) in found["onnxruntime"]["what"]
    assert str(other) in found[f"onnxruntime@{other}"]["what"]


def test_seeded_weights_are_compared_with_pytorch() -> None:
    pytest.importorskip("torch")
    result = bench("--compare", "torch", "--geometry", "demo", "--model", "tiny", *ONE)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = rows_of(result.stdout)
    assert rows["model"] == ["model", "tiny,", "demo", "geometry", "(seeded", "weights)"]
    assert float(rows["onnxruntime"][-1]) > 80  # dB; --engine is the second where a single name is given


def test_stages_need_no_pytorch(bundle_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(torch=None, onnx=None); from mdsgen.cli.bench import main; "
        f"main({['--bundle', str(bundle_path), '--steps', '1', *ONE[:-1]]!r})"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "whole clip" in result.stdout
    assert "the share of the matrix peak is left out" in result.stdout


def test_help_names_what_can_be_chosen() -> None:
    result = bench("--help")
    assert result.exit_code == 0
    for word in ("compare", "of", "geometry", "model", "bundle", "threads", "repeat", "warmup", "plot", "peak", "json"):
        assert f"--{word}" in result.stdout
