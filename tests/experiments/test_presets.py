"""Settings of the sampler side by side, on real scenes through a real bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdsgen.bundle import Bundle
from mdsgen.errors import SettingsError
from mdsgen.experiments.presets import GRIDS, REFERENCE, compare_settings, main, table
from mdsgen.experiments.setup import Setup
from mdsgen.runtime.solver import plan_steps
from mdsgen.sampling import Distilled, Sampling
from mdsgen.schedule import NoiseSchedule
from tests.runner import Runner

SETTINGS = {
    "the reference again": Sampling(50, 5.0, 0.01),
    "one step": Sampling(1, 5.0, 0.01),
}


@pytest.fixture(scope="module")
def rows(bundle_path: Path) -> dict[str, dict]:
    return compare_settings(Bundle.open(bundle_path), SETTINGS, Setup(2, threads=1))


def test_the_reference_comes_first_and_is_no_distance_from_itself(rows: dict[str, dict]) -> None:
    assert list(rows) == [REFERENCE, *SETTINGS]
    again = {**rows["the reference again"]}
    assert again == rows[REFERENCE]
    assert again["mel_error_db"] == 0


def test_less_work_is_counted_and_its_distance_is_measured(rows: dict[str, dict]) -> None:
    assert [row["passes"] for row in rows.values()] == [100, 100, 2]
    assert rows["one step"]["mel_error_db"] > 1
    assert 0 <= rows["one step"]["aligned"] <= 1


def test_people_read_a_table_for_the_documentation(rows: dict[str, dict]) -> None:
    lines = table(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert {line.count("|") for line in lines} == {8}
    assert lines[2].startswith("| reference | 100 | 0.00 |")


@pytest.mark.parametrize("grid", GRIDS)
def test_every_grid_can_be_sampled(grid: str) -> None:
    for sampling in GRIDS[grid](Sampling(guidance=3.0)).values():
        assert sampling.guidance == 3.0
        assert len(plan_steps(sampling, NoiseSchedule())) == sampling.steps


def test_a_distilled_denoiser_is_compared_in_the_few_steps_that_it_is_for() -> None:
    distilled = Sampling(4, 1.0, solver="unipc-2", distilled=Distilled(2.0, (4, 2)))
    found = {sampling.steps for sampling in GRIDS["solvers"](distilled).values()}
    assert {2, 4} < found <= set(range(1, 9))
    assert {sampling.steps for sampling in GRIDS["presets"](distilled).values()} == {2, 4}


def test_a_distilled_denoiser_has_no_second_branch_to_save() -> None:
    with pytest.raises(SettingsError, match="distilled, and has one branch in every step"):
        GRIDS["savings"](Sampling(4, 1.0, solver="unipc-2", distilled=Distilled(2.0, (4, 2))))


def test_programs_read_one_document(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRIDS, "presets", lambda defaults: {"fast": Sampling(2)})
    words = ["--bundle", str(bundle_path), "--clips", "2", "--threads", "1", "--json"]
    result = Runner().invoke(main, words)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert list(document) == [REFERENCE, "fast"]
    assert document["fast"]["settings"]["steps"] == 2
    assert "clip 2 of 2" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "abacus"], "'abacus' is not one of 'auto', 'onnxruntime', "),
        (["--seed", "99990", "--clips", "60"], "expected seeds from 0 to 99999, not 60 from 99990 on"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_opened(words: list[str], message: str) -> None:
    result = Runner().invoke(main, ["--bundle", "nowhere", *words])
    assert result.exit_code == 2
    assert message in result.stderr
