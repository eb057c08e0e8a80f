"""A running average of the weights: what is evaluated and exported, because it is steadier than any single step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """An exponential moving average of a module's parameters, in float32. Buffers are copied.

    The average starts at the weights of the first :meth:`update`, and each later one moves it by ``1 - decay``. With
    ``warm_up`` the n-th of these moves it by at least ``1 - (1 + n) / (10 + n)``, so that a short training forgets its
    random start: 0.9999 alone remembers the last 10 000 updates.
    """

    def __init__(self, decay: float = 0.9999, warm_up: bool = False) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay must be at least 0 and below 1, not {decay}")
        self.decay, self.warm_up = decay, warm_up
        self.updates = 0
        self._average: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's weights as they are now."""
        parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
        decay = self._decay()
        for name, value in module.state_dict().items():
            if name in parameters and name in self._average:
                average = self._average[name]
                average.lerp_(value.to(average), 1.0 - decay)
            else:
                self._average[name] = value.to(torch.float32 if name in parameters else value.dtype, copy=True)
        self.updates += 1

    def copy_to(self, module: nn.Module) -> None:
        """Put the average into a module of the same architecture."""
        if not self.updates:
            raise ValueError("there is no average yet: call update() or load_state_dict() first")
        module.load_state_dict(self._average)

    def state_dict(self) -> dict[str, Any]:
        """The average and how many updates are in it: tensors and numbers only, so it can be saved and read safely."""
        return {"updates": self.updates, "average": {name: value.clone() for name, value in self._average.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned, of a module of the same architecture."""
        self.updates = int(state["updates"])
        self._average = {name: value.clone() for name, value in state["average"].items()}

    def _decay(self) -> float:
        return min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warm_up else self.decay
