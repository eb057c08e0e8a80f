"""What a checkpoint holds against what a training expects, before any of it is taken over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mdsgen.training.checkpoint import Checkpoint
from mdsgen.weights.checkpoint import fitting_state, is_plain

_MOMENTS = ("exp_avg", "exp_avg_sq")


def check_state(state: Checkpoint, stage: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
    """Raise :class:`ValueError` or :class:`~mdsgen.errors.CheckpointError` where ``state`` does not fit in all parts.

    Names, shapes and number types of every tensor, no NaN among them, and counters that agree with each other.
    """
    if not _is_count(state.step) or not 1 <= state.step <= steps:
        raise ValueError(f"its step is {state.step!r}: expected 1 to {steps}")
    if state.log is not None and not isinstance(state.log, str):
        raise ValueError("its log is not a text")
    for part, content in (("stage", state.stage), ("ema", state.ema), ("optimiser", state.optimiser)):
        if not isinstance(content, Mapping):
            raise ValueError(f"its {part} is a {type(content).__name__}")
    fitting_state(stage, _tensors(state.stage, "stage"), "this stage")
    if state.ema.get("updates") != state.step:
        raise ValueError(f"its average is of {state.ema.get('updates')!r} updates after {state.step} steps")
    fitting_state(stage, _tensors(state.ema.get("average"), "average"), "this stage's average")
    _check_optimiser(state.optimiser, optimiser)


def _check_optimiser(found: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> None:
    expected = optimiser.state_dict()["param_groups"]
    groups, moments = found.get("param_groups"), found.get("state")
    if not isinstance(groups, list) or len(groups) != len(expected) or not isinstance(moments, Mapping):
        raise ValueError("its optimiser is not this training's")
    for group, own in zip(groups, expected, strict=True):
        if not isinstance(group, dict) or not group.keys() >= {"params", "lr"} or _differs(group, own):
            raise ValueError("its optimiser has other groups of parameters")
        if not isinstance(group["lr"], float) or not math.isfinite(group["lr"]):
            raise ValueError(f"its learning rate is {group['lr']!r}")
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for number, values in moments.items():
        if not _is_count(number) or not 0 <= number < len(parameters):
            raise ValueError(f"its optimiser knows of a parameter {number!r}")
        _check_moments(_tensors(values, "optimiser"), parameters[number])


def _differs(group: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether a group has another value than this training's, but for the rate, which every step sets.

    PyTorch's versions know of different values: what only one of the two has says nothing.
    """
    common = (group.keys() & own.keys()) - {"lr"}
    return any(type(group[name]) is not type(own[name]) or group[name] != own[name] for name in common)


def _check_moments(values: Mapping[str, Tensor], parameter: Tensor) -> None:
    shapes = {"step": torch.Size([])} | dict.fromkeys(_MOMENTS, parameter.shape)
    if {name: value.shape for name, value in values.items()} != shapes:
        raise ValueError("its optimiser has moments of other shapes than the parameters")
    if any(value.dtype != torch.float32 or not value.isfinite().all() for value in values.values()):
        raise ValueError("its optimiser has moments that are no finite numbers")


def _tensors(values: object, part: str) -> Mapping[str, Tensor]:
    if not isinstance(values, Mapping) or not all(is_plain(value) for value in values.values()):
        raise ValueError(f"its {part} holds other things than ordinary tensors")
    return values


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
