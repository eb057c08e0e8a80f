"""``mdsgen-bench`` says how long a bundle takes and under which conditions, to people and to programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mdsgen.cli.bench import main

QUICK = ("--repeat", "1", "--warmup", "0", "--threads", "1")


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_people_read_a_table_and_its_conditions(bundle_path: Path) -> None:
    result = bench("--bundle", bundle_path, "--steps", "2", *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = {line.split("  ")[0].strip(): line.split() for line in result.stdout.splitlines()}
    for stage in ("video encoder", "conditioning", "denoiser", "latent decoder", "vocoder", "whole clip"):
        assert float(rows[stage][-4]) > 0
        assert rows[stage][-1] == "1"
    assert rows["stage"] == ["stage", "median", "ms", "p95", "min", "runs"]
    assert (rows["threads"][-1], rows["steps"][-1], rows["geometry"][-1]) == ("1", "2", "paper")
    assert {"processor", "cores", "load average", "python", "numpy", "onnxruntime", "torch"} <= rows.keys()
    assert {"clip seconds", "real-time factor", "peak memory bytes"} <= rows.keys()


def test_less_work_is_said_as_passes_of_the_denoiser(bundle_path: Path) -> None:
    options = ("--quality", "best", "--steps", "4", "--solver", "unipc-2", "--guidance-interval", "0", "600")
    result = bench("--bundle", bundle_path, *options, "--json", *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)["conditions"]
    assert (found["steps"], found["solver"], found["denoiser passes"]) == (4, "unipc-2", 6)


def test_programs_read_one_document_of_the_default_bundle(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_BUNDLE", str(bundle_path))
    result = bench("--json", *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["conditions"]["engine"] == "onnxruntime"
    assert document["results"]["denoiser step"]["runs"] == 3
    assert set(document["results"]["vocoder"]) == {"median", "p95", "min", "runs"}
    assert document["totals"]["clip seconds"] == 8.192


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--geometry", "paper"], "for --compare"),
        (["--compare", "torch", "--bundle", "b", "--model", "tiny"], "without a --bundle"),
        (["--compare", "torch", "--steps", "4"], "single steps"),
        (["--compare", "torch", "--quality", "fast"], "single steps"),
        (["--quality", "finest"], "finest"),
        (["--solver", "euler"], "euler"),
        (["--guidance-interval", "0", "1001"], "1001"),
        (["--compare", "jax"], "jax"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_use(arguments: list[str], reason: str) -> None:
    result = bench(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_a_bundle_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = bench("--bundle", tmp_path / "nowhere")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1


def test_a_bundle_of_other_weights_is_not_compared(bundle_path: Path) -> None:
    pytest.importorskip("torch")
    result = bench("--compare", "torch", "--bundle", bundle_path, *QUICK)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "expected a bundle of seeded weights" in result.stderr


def test_stages_need_no_pytorch(bundle_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(torch=None, onnx=None); from mdsgen.cli.bench import main; "
        f"main({['--bundle', str(bundle_path), '--steps', '1', *QUICK]!r})"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "whole clip" in result.stdout


def test_help_names_what_can_be_chosen() -> None:
    result = bench("--help")
    assert result.exit_code == 0
    for word in ("--compare", "--geometry", "--model", "--bundle", "--threads", "--repeat", "--warmup", "--json"):
        assert word in result.stdout
