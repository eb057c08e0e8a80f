"""How much noise a latent holds at each time: a model's discrete noise schedule, read continuously.

Time runs from 1 (all noise) to 1 / (number of discrete steps) (almost none), as in DPM-Solver (Lu et al., 2022),
appendix D.
"""

from __future__ import annotations

import numpy as np

from mdsgen.errors import SettingsError
from mdsgen.schedule import NoiseSchedule

_LEAST_LOG_SNR = -5.1  # half the log-SNR below which the discrete schedule's tail is cut: DPM-Solver's release


class ContinuousSchedule:
    """A latent at time ``t`` is ``alpha(t) · clean + sigma(t) · noise``.

    Raises :class:`SettingsError` for a schedule that is noise alone from its second timestep on.
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        log_alpha: np.ndarray = 0.5 * np.cumsum(np.log1p(-schedule.betas()))
        self._log_alpha = log_alpha[_half_log_snr(log_alpha) > _LEAST_LOG_SNR]
        if len(self._log_alpha) < 2:
            raise SettingsError(f"nothing can be sampled: {schedule} leaves noise alone from its second timestep on")

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
        """The timestep that the network is given: 0 for the first discrete step, fractional between them."""
        return (time - self.last_time) * len(self._log_alpha)


def _half_log_snr(log_alpha: np.ndarray) -> np.ndarray:
    half_log_snr: np.ndarray = log_alpha - 0.5 * np.log(-np.expm1(2.0 * log_alpha))
    return half_log_snr
