"""A bound on how much a network may hold, looked at before memory is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}


class at_most(TorchFunctionMode):  # noqa: N801 - reads as what it does: "with at_most(1000)"
    """Within this context PyTorch makes no more than ``most`` numbers by functions that are told a shape.

    The layers of a network get their memory from these. Raises :class:`ValueError` instead of taking more, and where a
    size is 0.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.made = most, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _MAKERS:
            made = _numbers(args, kwargs or {})
            if not made:
                raise ValueError("one of its sizes is 0")
            self.made += made
            if self.made > self.most:
                raise ValueError(f"it would have more than {self.most} weights")
        return func(*args, **(kwargs or {}))


def _numbers(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """How many numbers a shape has: the first argument, or ``size``, or one argument per axis."""
    shape = kwargs.get("size", args[0] if args and isinstance(args[0], Sequence) else args)
    return math.prod(axis for axis in shape if isinstance(axis, int))
