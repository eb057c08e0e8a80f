"""Networks that tell made sound from real sound by its spectra, and what a vocoder learns from them.

One network per resolution looks at the logarithmic short-time spectrum (Jang et al., "UnivNet", 2021). What it holds
for real and what not is the hinge loss; how far its activations are apart between a real sound and the one made for it
is feature matching (Kumar et al., "MelGAN", 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

_FLOOR = 3e-4  # of magnitudes: what is quieter than -70 dB is silence to a discriminator
_SLOPE = 0.1


class Judgement(NamedTuple):
    """What the discriminators should learn, and what the vocoder should: to be taken for real, and like the real."""

    discriminators: Tensor
    vocoder: Tensor
    features: Tensor


class Discriminators(nn.Module):
    """``module(made, real, paired)``, both ``[B, samples]``: losses whose gradients stay on their own side.

    The first loss moves the discriminators alone, the other two move what ``made`` comes from alone, so that one
    backward pass and one optimiser serve both. Features are matched where ``paired [B]``: where the real sound is the
    very one that was to be made.
    """

    def __init__(self, windows: Sequence[int], channels: int = 16) -> None:
        super().__init__()
        self.networks = nn.ModuleList(_Spectral(window, channels) for window in windows)

    def forward(self, made: Tensor, real: Tensor, paired: Tensor) -> Judgement:
        judgements = [_judge(network, made, real, paired) for network in self.networks]
        return Judgement(*(torch.stack(losses).mean() for losses in zip(*judgements, strict=True)))


def _judge(network: nn.Module, made: Tensor, real: Tensor, paired: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    seen = network(torch.cat([real, made.detach()]))  # activations of every layer, [2B, ...] each; the last is a score
    for_real, for_made = seen[-1].float().chunk(2)
    discriminator = F.relu(1.0 - for_real).mean() + F.relu(1.0 + for_made).mean()
    frozen = {name: parameter.detach() for name, parameter in network.named_parameters()}
    *found, score = functional_call(network, frozen, (made,))
    apart = [_apart(a, b.detach().chunk(2)[0], paired) for a, b in zip(found, seen[:-1], strict=True)]
    return discriminator, -score.float().mean(), torch.stack(apart).mean()


def _apart(made: Tensor, real: Tensor, paired: Tensor) -> Tensor:
    """The mean absolute difference of the paired activations, over the size of the real ones."""
    difference = (made.float() - real.float()).abs().flatten(1).mean(dim=1)  # [B]
    return (difference * paired).sum() / (paired.sum().clamp(min=1.0) * real.float().abs().mean().clamp(min=1e-3))


class _Spectral(nn.Module):
    """Convolutions over a logarithmic spectrum: finer along tones at first, wider at every layer."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(1, channels, (3, 7), stride=(1, 2), padding=(1, 3)),
                nn.Conv2d(channels, channels, (3, 5), stride=(1, 2), padding=(1, 2)),
                nn.Conv2d(channels, 2 * channels, (3, 5), stride=(1, 2), padding=(1, 2)),
                nn.Conv2d(2 * channels, 2 * channels, (3, 5), stride=(1, 2), padding=(1, 2)),
            ]
        )
        self.verdict = nn.Conv2d(2 * channels, 1, 3, padding=1)

    def forward(self, sound: Tensor) -> list[Tensor]:
        """``[B, samples]`` -> the activations of every layer, and the score of every place."""
        x = self._spectrum(sound)
        found = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            found.append(x)
        return [*found, self.verdict(x)]

    def _spectrum(self, sound: Tensor) -> Tensor:
        """``[B, samples]`` -> ``[B, 1, frames, bins]``, about -1..1."""
        window = torch.hann_window(self.window, device=sound.device)
        with torch.autocast(sound.device.type, enabled=False):
            spectrum = torch.stft(sound.float(), self.window, self.window // 4, window=window, return_complex=True)
            power = (spectrum.real.square() + spectrum.imag.square()) / self.window
            return (0.5 * (power + _FLOOR**2).log().mT.unsqueeze(1) + 4.0) / 4.0
