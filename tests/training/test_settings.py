"""Settings refuse what cannot be, and say how fast to learn when."""

from __future__ import annotations

from typing import Any

import pytest

from mdsgen.errors import TrainingError
from mdsgen.training.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings(**({"steps": 100, "batch": 4, "learning_rate": 1.0, "warm_up": 10} | values))


def test_the_rate_rises_over_the_warm_up() -> None:
    assert [settings().rate_at(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])


def test_then_it_falls_along_a_cosine_to_a_hundredth() -> None:
    rates = [settings().rate_at(step) for step in range(10, 101)]
    assert rates[0] == 1.0
    assert rates[45] == pytest.approx(0.505)
    assert rates[-1] == pytest.approx(0.01)
    assert rates == sorted(rates, reverse=True)


def test_or_it_stays() -> None:
    assert {settings(schedule="constant").rate_at(step) for step in (10, 50, 99)} == {1.0}


def test_without_warm_up_it_starts_at_the_top() -> None:
    assert settings(warm_up=0).rate_at(0) == 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("warm_up", -1),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("ema", 1.0),
        ("seed", -1),
        ("log_every", 0),
        ("checkpoint_every", 0),
        ("picture_every", 0),
        ("schedule", "linear"),
        ("precision", "fp16"),
    ],
)
def test_an_impossible_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(TrainingError, match=name):
        settings(**{name: value})
