"""A checkpoint is taken over whole and fitting, or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mdsgen.errors import TrainingError
from mdsgen.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mdsgen.training.shards import Shards
from tests.training.small_stages import trainer


@pytest.fixture(scope="module")
def kept(latents: Shards, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The denoiser after two steps."""
    training = trainer("denoiser", latents, tmp_path_factory.mktemp("kept"))
    training.fit(until=2)
    return load_checkpoint(training.folder / "checkpoint.pt", training._identity())


def without_first(values: dict[Any, Any]) -> dict[Any, Any]:
    return dict(list(values.items())[1:])


def first_as(change: Callable[[Any], Any]) -> Callable[[dict[Any, Any]], dict[Any, Any]]:
    """The table with its first entry changed."""
    return lambda values: values | {name: change(value) for name, value in list(values.items())[:1]}


def nan(value: torch.Tensor) -> torch.Tensor:
    return torch.full_like(value, float("nan"))


def in_average(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda ema: ema | {"average": change(ema["average"])}


def in_state(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda optimiser: optimiser | {"state": change(optimiser["state"])}


def in_groups(**values: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda optimiser: optimiser | {"param_groups": [group | values for group in optimiser["param_groups"]]}


DAMAGE: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("a step below 1", "step", lambda step: 0),
    ("a step beyond the end", "step", lambda step: 7),
    ("a step of another type", "step", lambda step: 2.0),
    ("an untrue step", "step", lambda step: 3),
    ("no text as log", "log", lambda log: 3),
    ("no table as stage", "stage", lambda stage: [1]),
    ("a weight less", "stage", without_first),
    ("a weight more", "stage", lambda stage: stage | {"more": torch.zeros(1)}),
    ("a weight of another shape", "stage", first_as(lambda value: value[..., :1])),
    ("a weight that only claims its shape", "stage", first_as(lambda value: value.to("meta"))),
    ("NaN in a weight", "stage", first_as(nan)),
    ("text as weight", "stage", first_as(str)),
    ("no average", "ema", lambda ema: {}),
    ("an average less", "ema", in_average(without_first)),
    ("NaN in an average", "ema", in_average(first_as(nan))),
    ("a huge average", "ema", in_average(first_as(lambda value: torch.zeros(()).expand(1 << 40)))),
    ("updates of another type", "ema", lambda ema: ema | {"updates": "2"}),
    ("no optimiser", "optimiser", lambda optimiser: None),
    ("no groups", "optimiser", lambda optimiser: optimiser | {"param_groups": []}),
    ("other groups", "optimiser", in_groups(params=[0])),
    ("another decay", "optimiser", in_groups(betas=(0.1, 0.2))),
    ("a rate of another type", "optimiser", in_groups(lr="much")),
    ("moments of nothing", "optimiser", in_state(lambda state: {9999: state[0]})),
    ("moments less", "optimiser", in_state(first_as(without_first))),
    ("moments of another shape", "optimiser", in_state(first_as(first_as(lambda value: torch.zeros(3))))),
    ("NaN in moments", "optimiser", in_state(first_as(lambda moments: {name: nan(v) for name, v in moments.items()}))),
]


@pytest.mark.parametrize(("part", "change"), [damage[1:] for damage in DAMAGE], ids=[damage[0] for damage in DAMAGE])
def test_what_does_not_fit_is_refused_in_one_line(
    part: str, change: Callable[[Any], Any], kept: Checkpoint, latents: Shards, tmp_path: Path
) -> None:
    untouched = trainer("denoiser", latents, tmp_path)
    changed = dataclasses.replace(kept, **{part: change(getattr(kept, part))})
    save_checkpoint(tmp_path / "checkpoint.pt", changed, untouched._identity())
    with pytest.raises(TrainingError, match=r"checkpoint\.pt .*: remove it to start anew") as refusal:
        trainer("denoiser", latents, tmp_path)
    assert len(str(refusal.value).splitlines()) == 1
    assert len(str(refusal.value)) < 800


@pytest.mark.parametrize("change", [lambda group: group | {"later": True}, lambda group: group | {"lr": 0.5}])
def test_a_training_goes_on_under_another_version_of_pytorch(
    change: Callable[[dict[str, Any]], dict[str, Any]], kept: Checkpoint, latents: Shards, tmp_path: Path
) -> None:
    """Whose optimiser has another value more or less; the rate is set anew in every step."""
    whole = trainer("denoiser", latents, tmp_path / "whole")
    whole.fit(until=3)
    groups = [change({n: v for n, v in group.items() if n != "foreach"}) for group in kept.optimiser["param_groups"]]
    moved = dataclasses.replace(kept, optimiser=kept.optimiser | {"param_groups": groups})
    save_checkpoint(tmp_path / "checkpoint.pt", moved, whole._identity())
    training = trainer("denoiser", latents, tmp_path)
    training.fit(until=3)
    expected = whole.stage.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in training.stage.state_dict().items())
