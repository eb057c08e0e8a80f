"""Multistep solvers as tables of weights: what the next latent takes of this one and of the clean estimates so far.

All of them integrate the probability-flow ODE in data prediction form, exactly in its linear part::

    next = sigma'/sigma · latent + Σ weight · clean estimate

and differ in how they extrapolate the clean estimates. DPM-Solver++ is by Lu et al. (2022), UniPC by Zhao et al. (2023)
in its B2(h) version. Weights stand in columns: of the latent, of this step's clean estimate, of the step before's, …
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FEW_STEPS = 10  # below this many, DPM-Solver++ comes down to the first order at the end, for stability
_HISTORY = 4  # clean estimates that the table has room for: this step's and three before it


@dataclass(frozen=True)
class NoiseLevels:
    """The times of a solver, ``[steps + 1]``, as how much of clean latent and of noise there is at each."""

    alpha: np.ndarray
    sigma: np.ndarray
    half_log_snr: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.alpha) - 1

    def length(self, step: int) -> float:
        """How far the step goes: h in the papers."""
        return float(self.half_log_snr[step + 1] - self.half_log_snr[step])

    def back(self, step: int, times: int) -> float:
        """Where the time so many steps before lies, in units of this step's length: r in the papers, negative."""
        return float(self.half_log_snr[step - times] - self.half_log_snr[step]) / self.length(step)


def dpm_solver(levels: NoiseLevels, order: int) -> np.ndarray:
    """DPM-Solver++ in multistep form (algorithm 2 and its third-order sibling): ``[steps, 1 + 4]``."""
    rows = []
    for step in range(levels.steps):
        left = levels.steps - step if levels.steps < _FEW_STEPS else order
        rows.append([_keep(levels, step), *_dpm_weights(levels, step, min(order, step + 1, left))])
    return np.array(rows)


def _dpm_weights(levels: NoiseLevels, step: int, order: int) -> np.ndarray:
    h, alpha = levels.length(step), levels.alpha[step + 1]
    clean = np.eye(_HISTORY)  # each estimate as the weights that it has in itself
    phi1 = np.expm1(-h)
    weights = -alpha * phi1 * clean[0]
    if order == 1:
        return np.asarray(weights)
    r0 = -levels.back(step, 1)
    slope = (clean[0] - clean[1]) / r0
    if order == 2:
        return np.asarray(weights - 0.5 * alpha * phi1 * slope)
    r1 = -levels.back(step, 2) - r0
    bend = (slope - (clean[1] - clean[2]) / r1) / (r0 + r1)
    weights += alpha * (phi1 / h + 1.0) * (slope + r0 * bend)
    weights -= alpha * ((phi1 + h) / h**2 - 0.5) * bend
    return np.asarray(weights)


def unipc(levels: NoiseLevels, order: int) -> np.ndarray:
    """UniPC, predictor and corrector in one: ``[steps, 1 + 4]``.

    The corrector moves a latent by what its own clean estimate tells of the step that led to it. As that is linear, it
    is part of the next step's weights, and needs neither a pass of the network nor an array of its own.
    """
    rows = []
    correction = np.zeros(_HISTORY)
    for step in range(levels.steps):
        reached = min(order, step + 1, levels.steps - step)
        keep, predicted = _keep(levels, step), _unipc_weights(levels, step, reached, corrects=False)
        rows.append([keep, *(predicted + keep * correction)])
        correction = _unipc_weights(levels, step, reached, corrects=True)
        correction[1:] -= predicted[:-1]  # seen from the next step, everything is one step older
    return np.array(rows)


def _unipc_weights(levels: NoiseLevels, step: int, order: int, *, corrects: bool) -> np.ndarray:
    """The predictor's weights of the estimates from this step back, or the corrector's from the next step back."""
    h, alpha = levels.length(step), levels.alpha[step + 1]
    clean = np.eye(_HISTORY)
    here = clean[1] if corrects else clean[0]
    first = 2 if corrects else 1
    places = [levels.back(step, times) for times in range(1, order)]  # [order - 1], in units of the step
    slopes = [(clean[first + i] - here) / place for i, place in enumerate(places)]
    if corrects:
        places, slopes = [*places, 1.0], [*slopes, clean[0] - here]
    shares = _unipc_shares(h, places, simple=order == (1 if corrects else 2))
    base = np.expm1(-h)
    return np.asarray(-alpha * base * (here + sum((s * d for s, d in zip(shares, slopes, strict=True)), 0 * here)))


def _unipc_shares(h: float, places: list[float], *, simple: bool) -> np.ndarray:
    """How much each slope counts (rho in the paper). One slope counts half, as in the authors' release."""
    if simple:
        return np.full(len(places), 0.5)
    base, phi, factorial, wanted = np.expm1(-h), np.expm1(-h) / -h - 1.0, 1.0, []
    for power in range(1, len(places) + 1):
        wanted.append(phi * factorial / base)
        factorial *= power + 1
        phi = phi / -h - 1.0 / factorial
    return np.asarray(np.linalg.solve(np.vander(places, increasing=True).T, wanted))


def _keep(levels: NoiseLevels, step: int) -> float:
    """How much of the latent stays."""
    return float(levels.sigma[step + 1] / levels.sigma[step])
