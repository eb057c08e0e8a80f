"""The running average of the weights, against its closed form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mdsgen.training.ema import Ema


class Part(nn.Module):
    """One parameter and the two kinds of buffer."""

    def __init__(self, value: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), value, dtype=dtype))
        self.register_buffer("scale", torch.full((2,), value))
        self.register_buffer("count", torch.tensor(int(value)))


def averaged(ema: Ema) -> Part:
    part = Part()
    ema.copy_to(part)
    return part


def after(values: list[float], ema: Ema) -> Tensor:
    for value in values:
        ema.update(Part(value))
    return averaged(ema).weight.detach()


def test_closed_form() -> None:
    decay, values = 0.9, [4.0, 1.0, -2.0, 3.0]
    expected = decay**3 * 4.0 + (1 - decay) * (decay**2 * 1.0 + decay * -2.0 + 3.0)
    torch.testing.assert_close(after(values, Ema(decay)), torch.full((3,), expected))


def test_starts_at_the_first_weights() -> None:
    assert after([5.0], Ema()).tolist() == [5.0] * 3


def test_warm_up_moves_fast_at_first_and_ends_at_the_decay() -> None:
    ema = Ema(0.5, warm_up=True)
    torch.testing.assert_close(after([0.0, 11.0], ema), torch.full((3,), 11.0 * (1 - 2 / 11)))
    steady = after([1.0] * 50, ema)
    torch.testing.assert_close(after([0.0], ema), 0.5 * steady)


def test_buffers_are_copied() -> None:
    ema = Ema(0.9)
    after([1.0, 7.0], ema)
    assert averaged(ema).scale.tolist() == [7.0, 7.0]
    assert averaged(ema).count.item() == 7


def test_half_precision_weights_are_averaged_in_float32() -> None:
    ema, part = Ema(0.999), Part(1.0, torch.bfloat16)
    ema.update(part)
    part.weight.data.fill_(2.0)
    for _ in range(10):
        ema.update(part)
    torch.testing.assert_close(averaged(ema).weight.detach(), torch.full((3,), 2 - 0.999**10))


def test_training_on_does_not_touch_the_average() -> None:
    ema, part = Ema(), Part(1.0)
    ema.update(part)
    with torch.no_grad():
        part.weight.add_(1.0)
        part.scale.add_(1.0)
    assert averaged(ema).weight.tolist() == [1.0] * 3
    assert averaged(ema).scale.tolist() == [1.0] * 2


def test_goes_on_from_a_saved_state(tmp_path: Path) -> None:
    whole, first = Ema(0.9, warm_up=True), Ema(0.9, warm_up=True)
    after([1.0, 2.0], first)
    torch.save(first.state_dict(), tmp_path / "ema.pt")
    second = Ema(0.9, warm_up=True)
    second.load_state_dict(torch.load(tmp_path / "ema.pt", weights_only=True))
    assert second.updates == 2
    assert torch.equal(after([3.0, 4.0], second), after([1.0, 2.0, 3.0, 4.0], whole))


def test_no_average_without_an_update() -> None:
    with pytest.raises(ValueError, match="no average yet"):
        Ema().copy_to(Part())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_impossible_decay_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        Ema(decay)
