"""How a clip is sampled: a bundle's own, a preset, and what a caller names; the nearest one counts."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given, settings

from mdsgen.errors import SettingsError
from mdsgen.sampling import ALWAYS, PRESETS, SOLVERS, Changes, Distilled, Sampling
from tests.samplings import samplings

OWN = Sampling(30, 4.0, 0.5, "unipc-3", (100.0, 800.0), 2, clean_limit=3.0)


def test_by_default_it_is_the_release_s() -> None:
    assert Sampling() == Sampling(25, 5.0, 0.01, "dpm-2m", ALWAYS, 1, math.inf)


def test_what_is_not_named_stays() -> None:
    assert OWN.changed() == OWN
    assert OWN.changed(quality=None, steps=None, guidance_interval=None) == OWN
    assert OWN.changed(steps=3) == Sampling(3, 4.0, 0.5, "unipc-3", (100.0, 800.0), 2, clean_limit=3.0)


@pytest.mark.parametrize("quality", PRESETS)
def test_a_preset_leaves_the_strength_of_guidance_and_the_limit(quality: str) -> None:
    chosen, preset = OWN.changed(quality=quality), PRESETS[quality]
    assert (chosen.guidance, chosen.guidance_power, chosen.clean_limit) == (4.0, 0.5, 3.0)
    for name in ("steps", "solver", "guidance_interval", "unconditional_every"):
        assert getattr(chosen, name) == getattr(preset, name)


def test_what_is_named_goes_before_the_preset() -> None:
    chosen = OWN.changed(quality="fast", steps=3, guidance=2.0, solver="ddim", guidance_interval=(0.0, 500.0))
    assert (chosen.steps, chosen.guidance, chosen.solver) == (3, 2.0, "ddim")
    assert chosen.guidance_interval == (0.0, 500.0)
    assert chosen.unconditional_every == PRESETS["fast"].unconditional_every


def test_every_field_and_a_preset_can_be_named() -> None:
    """But for what the weights are."""
    assert Changes.__annotations__.keys() | {"distilled"} == {"quality"} | {field.name for field in fields(Sampling)}


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(SettingsError, match="quality must be one of fast, balanced, best, not 'finest'"):
        OWN.changed(quality="finest")


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'stpes'"):
        OWN.changed(stpes=3)  # type: ignore[call-arg]


def test_nobody_changes_it_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        OWN.steps = 3  # type: ignore[misc]


@settings(max_examples=60)
@given(samplings)
def test_it_survives_json(sampling: Sampling) -> None:
    assert Sampling.from_dict(json.loads(json.dumps(sampling.to_dict(), allow_nan=False))) == sampling


def test_without_a_limit_json_says_null() -> None:
    assert Sampling().to_dict()["clean_limit"] is None


def test_one_from_before_there_was_a_choice_has_today_s_defaults() -> None:
    assert Sampling.from_dict({"steps": 25, "guidance": 5.0, "guidance_power": 0.01}) == Sampling()


@pytest.mark.parametrize("name", ["steps", "guidance", "guidance_power"])
def test_what_every_bundle_says_must_be_there(name: str) -> None:
    values = Sampling().to_dict()
    del values[name]
    with pytest.raises(SettingsError, match=f"{name} is missing"):
        Sampling.from_dict(values)


@pytest.mark.parametrize("steps", [0, -1, 2.5, math.nan, math.inf, True, "ten", None])
def test_impossible_steps_are_refused(steps: Any) -> None:
    with pytest.raises(SettingsError, match="steps must be a whole number, 1 or more, not"):
        Sampling(steps=steps)


@pytest.mark.parametrize("solver", ["euler", "", 2, None])
def test_an_unknown_solver_is_refused(solver: Any) -> None:
    with pytest.raises(SettingsError, match=f"solver must be one of {', '.join(SOLVERS)}, not"):
        Sampling(solver=solver)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("guidance", math.nan, "a number from -1000 to 1000"),
        ("guidance", math.inf, "a number from -1000 to 1000"),
        ("guidance", 10**400, "a number from -1000 to 1000"),
        ("guidance", 1e38, "a number from -1000 to 1000"),
        ("guidance", -1e38, "a number from -1000 to 1000"),
        ("guidance", "5", "a number from -1000 to 1000"),
        ("guidance_power", -0.1, "a finite number, 0 or more"),
        ("guidance_power", math.nan, "a finite number, 0 or more"),
        ("guidance_interval", (600.0, 200.0), "two numbers, low and high, the lower one first"),
        ("guidance_interval", (math.nan, 100.0), "two numbers, low and high, the lower one first"),
        ("guidance_interval", (100.0,), "two numbers, low and high, the lower one first"),
        ("guidance_interval", (0, "all"), "two numbers, low and high, the lower one first"),
        ("unconditional_every", 0, "a whole number, 1 or more"),
        ("unconditional_every", 1.5, "a whole number, 1 or more"),
        ("unconditional_every", True, "a whole number, 1 or more"),
        ("clean_limit", 0.0, "a positive number"),
        ("clean_limit", math.nan, "a positive number"),
    ],
)
def test_what_gives_no_number_is_refused(name: str, value: Any, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be {expected}, not"):
        Sampling(**{name: value})


# A denoiser with guidance in its weights

DISTILLED = Sampling(4, 1.0, solver="unipc-2", clean_limit=4.0, distilled=Distilled(2.0, (4, 2)))


@pytest.mark.parametrize(("quality", "steps"), [("fast", 2), ("balanced", 4), ("best", 4)])
def test_its_presets_are_the_steps_that_it_was_trained_for(quality: str, steps: int) -> None:
    chosen = DISTILLED.changed(quality=quality)
    assert (chosen.steps, chosen.solver, chosen.guidance) == (steps, "unipc-2", 1.0)
    assert chosen.distilled == DISTILLED.distilled


def test_other_steps_may_be_asked_of_it() -> None:
    assert DISTILLED.changed(steps=7, solver="ddim").steps == 7


def test_the_guidance_that_it_has_may_be_asked_of_it_and_no_other() -> None:
    assert DISTILLED.changed(guidance=2.0) == DISTILLED.changed(guidance=1.0) == DISTILLED
    with pytest.raises(SettingsError, match=r"guidance 3 cannot be asked.*distilled at guidance 2.*leave guidance out"):
        DISTILLED.changed(guidance=3.0)


def test_that_it_is_distilled_survives_json() -> None:
    values = json.loads(json.dumps(DISTILLED.to_dict()))
    assert values["distilled"] == {"guidance": 2.0, "steps": [4, 2]}
    assert Sampling.from_dict(values) == DISTILLED
    assert "distilled" not in Sampling().to_dict()


@pytest.mark.parametrize(
    ("distilled", "expected"),
    [
        (3, "distilled must be an object"),
        ({"steps": [4]}, "distilled.guidance must be there"),
        ({"guidance": "two", "steps": [4]}, "distilled.guidance must be a number"),
        ({"guidance": math.nan, "steps": [4]}, "distilled.guidance must be a number"),
        ({"guidance": 2.0, "steps": []}, "distilled.steps must be whole numbers"),
        ({"guidance": 2.0, "steps": [4, 0]}, "distilled.steps must be whole numbers"),
        ({"guidance": 2.0, "steps": 4}, "distilled.steps must be whole numbers"),
    ],
)
def test_what_is_said_wrongly_of_it_is_refused(distilled: object, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        Sampling.from_dict({**DISTILLED.to_dict(), "distilled": distilled})
