"""How much noise a latent holds at each time: the discrete schedule that MDSGen is trained with, read continuously.

Time runs from 1 (all noise) to 1/steps of the schedule (almost none), as in DPM-Solver (Lu et al., 2022), appendix D.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_LEAST_LOG_SNR = -5.1  # half the log-SNR below which the discrete schedule's tail is cut: DPM-Solver's release


@dataclass(frozen=True)
class NoiseSchedule:
    """A latent at time ``t`` is ``alpha(t) · clean + sigma(t) · noise``. Linear betas from ``start`` to ``end``."""

    steps: int = 1000
    start: float = 1e-4
    end: float = 2e-2

    @cached_property
    def _log_alpha(self) -> np.ndarray:
        betas = np.linspace(self.start, self.end, self.steps, dtype=np.float64)
        log_alpha: np.ndarray = 0.5 * np.cumsum(np.log1p(-betas))
        return log_alpha[_half_log_snr(log_alpha) > _LEAST_LOG_SNR]

    @property
    def last_time(self) -> float:
        """Where sampling ends: the time of the first discrete step."""
        return 1.0 / len(self._log_alpha)

    def log_alpha(self, time: np.ndarray) -> np.ndarray:
        """Interpolated linearly between the discrete steps."""
        knots = np.arange(1, len(self._log_alpha) + 1) / len(self._log_alpha)
        interpolated: np.ndarray = np.interp(time, knots, self._log_alpha)
        return interpolated

    def alpha(self, time: np.ndarray) -> np.ndarray:
        """How much of the clean latent is left."""
        alpha: np.ndarray = np.exp(self.log_alpha(time))
        return alpha

    def sigma(self, time: np.ndarray) -> np.ndarray:
        """Standard deviation of the noise."""
        return np.sqrt(-np.expm1(2.0 * self.log_alpha(time)))

    def half_log_snr(self, time: np.ndarray) -> np.ndarray:
        """``log(alpha / sigma)``, the solver's own measure of time."""
        return _half_log_snr(self.log_alpha(time))

    def times(self, steps: int) -> np.ndarray:
        """``steps + 1`` times, uniform from 1 to :attr:`last_time`."""
        return np.linspace(1.0, self.last_time, steps + 1)

    def timestep(self, time: np.ndarray) -> np.ndarray:
        """What the network is told: 0 … 999, fractional."""
        return (time - self.last_time) * self.steps


def _half_log_snr(log_alpha: np.ndarray) -> np.ndarray:
    half_log_snr: np.ndarray = log_alpha - 0.5 * np.log(-np.expm1(2.0 * log_alpha))
    return half_log_snr
