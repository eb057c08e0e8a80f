"""The noise schedule of a model: its betas, its way through JSON, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from mdsgen.errors import SettingsError
from mdsgen.schedule import TARGETS, NoiseSchedule


def test_by_default_it_is_the_release_s() -> None:
    np.testing.assert_array_equal(NoiseSchedule().betas(), np.linspace(1e-4, 2e-2, 1000))


def test_betas_rise_linearly_from_the_first_to_the_last() -> None:
    np.testing.assert_allclose(NoiseSchedule(0.1, 0.5, 5).betas(), [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_it_survives_json(target: str) -> None:
    schedule = NoiseSchedule(2e-4, 3e-2, 500, target=target)
    assert NoiseSchedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


def test_of_a_time_when_there_was_one_target_it_is_noise() -> None:
    assert "target" not in NoiseSchedule().to_dict()
    assert NoiseSchedule.from_dict(NoiseSchedule().to_dict()).target == "noise"


@pytest.mark.parametrize("name", NoiseSchedule().to_dict())
def test_every_field_must_be_there(name: str) -> None:
    values = NoiseSchedule().to_dict()
    del values[name]
    with pytest.raises(SettingsError, match=f"{name} is missing"):
        NoiseSchedule.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": "flow"}, "target must be one of noise, velocity, not 'flow'"),
        ({"kind": "cosine"}, "kind must be one of linear, not 'cosine'"),
        ({"train_steps": 1}, "train_steps must be a whole number from 2 to 100000, not 1"),
        ({"train_steps": 10**9}, "train_steps must be a whole number from 2 to 100000"),
        ({"train_steps": 2.5}, "train_steps must be a whole number"),
        ({"train_steps": True}, "train_steps must be a whole number"),
        ({"beta_start": 0.0}, "betas must rise between 0 and 1"),
        ({"beta_start": 0.03}, "betas must rise between 0 and 1, not from 0.03 to 0.02"),
        ({"beta_end": 1.0}, "betas must rise between 0 and 1"),
        ({"beta_end": math.nan}, "betas must rise between 0 and 1"),
        ({"beta_end": "0.02"}, "betas must rise between 0 and 1"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_with_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        NoiseSchedule(**values)
