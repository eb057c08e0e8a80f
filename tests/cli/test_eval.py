"""``mdsgen-eval`` judges a bundle, for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result

from mdsgen.cli.eval import main
from tests.runner import Runner

QUICK = ("--clips", "2", "--steps", "1", "--threads", "1", "--engine", "onnxruntime")


def evaluate(*arguments: str | Path) -> Result:
    return Runner().invoke(main, [str(argument) for argument in arguments])


def test_people_read_a_table_beside_its_references(bundle_path: Path, tmp_path: Path) -> None:
    result = evaluate("--bundle", bundle_path, *QUICK, "--html", tmp_path / "page.html", "--shown", "1")
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert rows[0].split() == ["generated", "real", "shuffled", "shifted"]
    assert [row.split("  ")[0] for row in rows[1 : rows.index("")]] == [
        "clips",
        "called aligned",
        "kind heard as seen",
        "material heard as seen",
        "onset F1 at ±125 ms",
        "onset F1 at ±50 ms",
    ], "a score that two clips do not have is no row"
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert result.stderr == "", "how far it is concerns who watches"


def test_programs_read_one_document(bundle_path: Path) -> None:
    result = evaluate("--bundle", bundle_path, *QUICK, "--seed", "7", "--guidance", "2.5", "--json")
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["settings"]["scenes"] == "7 to 8"
    sampling = document["settings"]["sampling"]
    assert (sampling["steps"], sampling["guidance"], sampling["solver"]) == (1, 2.5, "dpm-2m")
    assert document["settings"]["denoiser_passes"] == 2
    assert document["scores"]["generated"]["clips"] == 2
    assert 0 <= document["scores"]["real"]["aligned"] <= 1


def test_long_films_are_read_beside_their_windows_alone_and_real_sound(bundle_path: Path) -> None:
    result = evaluate(
        "--bundle", bundle_path, *QUICK, "--seconds", "17", "--kind", "hammer", "--kind", "drum", "--json"
    )
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["settings"]["scenes"] == "0 to 1, hammer, drum in turn, 17 s each"
    scores = document["scores"]
    assert list(scores["films"]) == ["0, hammer", "1, drum"]
    assert scores["film"]["films"] == scores["alone"]["films"] == 2
    assert scores["film"]["windows"] == scores["real"]["windows"] == 4
    assert scores["real"]["onset_f1"] > 0.9 > scores["film"]["onset_f1"], "the bundle makes noise"
    assert scores["real"]["pitch_blows"] > 0


def test_scenes_of_different_kinds_say_nothing_of_diversity(bundle_path: Path) -> None:
    result = evaluate("--bundle", bundle_path, *QUICK, "--seeds", "2", "--kind", "rain", "--kind", "bell")
    assert result.exit_code == 0, result.stderr
    assert "note: nothing of diversity, which takes two scenes of one kind" in result.stderr


def test_several_seeds_are_diverse(bundle_path: Path) -> None:
    result = evaluate("--bundle", bundle_path, *QUICK, "--seeds", "2", "--kind", "rain", "--json")
    generated = json.loads(result.stdout)["scores"]["generated"]
    assert generated["diversity"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--clips", "1"], 2, "clips"),
        (["--seconds", "8"], 2, "17<=x<=60"),
        (["--seconds", "20", "--seeds", "2"], 2, "single windows"),
        (["--kind", "trumpet"], 2, "trumpet"),
        (["--guidance", "nan"], 2, "finite"),
        (["--clips", "2", "--seed", "99999"], 2, "trained on"),
        (["--guidance", "-5"], 2, "guidance"),
        (["--html", "nowhere/page.html"], 2, "there is no folder nowhere"),
    ],
)
def test_impossible_wishes_are_one_line(bundle_path: Path, arguments: list[str], code: int, reason: str) -> None:
    result = evaluate("--bundle", bundle_path, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert reason in result.stderr.splitlines()[-1]


def test_a_bundle_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = evaluate("--bundle", tmp_path / "nowhere")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)


def test_it_needs_no_pytorch(bundle_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(torch=None, onnx=None); from mdsgen.cli.eval import main; "
        f"main({['--bundle', str(bundle_path), *QUICK]!r})"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "called aligned" in result.stdout


def test_help_names_what_can_be_chosen() -> None:
    result = evaluate("--help")
    assert result.exit_code == 0
    sampling = ("--steps", "--guidance", "--quality", "--solver", "--guidance-interval")
    for word in (
        "--bundle",
        "--clips",
        "--seed",
        "--kind",
        "--seconds",
        "--seeds",
        "--engine",
        "--html",
        "--shown",
        "--json",
        *sampling,
    ):
        assert word in result.stdout
