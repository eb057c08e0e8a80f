"""Figures in decibels: what they mean, what is no figure at all, and the table that people read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import ExportError
from mdsgen.export.parity import require_passed, table
from mdsgen.parity import UNUSABLE, Parity, snr_db


def signal(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 500)).astype(np.float32)


@settings(max_examples=30)
@given(share=st.floats(1e-4, 10), gain=st.floats(1e-3, 1e3))
def test_noise_counts_against_the_signal_whatever_the_scale(share: float, gain: float) -> None:
    """An error of a tenth is 20 dB."""
    reference = signal().astype(np.float64)
    error = signal(1) * np.linalg.norm(reference) / np.linalg.norm(signal(1)) * share
    assert snr_db(gain * reference, gain * (reference + error)) == pytest.approx(-20 * math.log10(share), abs=1e-6)


def test_equal_is_infinite() -> None:
    assert snr_db(signal(), signal()) == math.inf
    assert snr_db(np.zeros(3), np.zeros(3)) == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_makes_all_unusable(value: float) -> None:
    measured = signal()
    measured[1, 7] = value
    assert snr_db(signal(), measured) == UNUSABLE


def test_something_where_nothing_should_be_is_unusable() -> None:
    assert snr_db(np.zeros(3), np.array([0.0, 1e-9, 0.0])) == UNUSABLE


def test_a_vast_error_is_no_worse_than_unusable() -> None:
    assert snr_db(np.full(3, 1e-38), np.full(3, 1e38)) >= UNUSABLE


def test_small_errors_of_large_arrays_are_not_lost_in_float32() -> None:
    reference = np.full(1_000_000, 1000.0, np.float32)
    measured = reference.copy()
    measured[::2] += 0.1
    assert snr_db(reference, measured) == pytest.approx(20 * math.log10(1000 / 0.1) + 10 * math.log10(2), abs=0.1)


def test_arrays_of_other_shapes_are_never_compared() -> None:
    with pytest.raises(ValueError, match=r"reference \(2, 500\), value \(500, 2\)"):
        snr_db(signal(), signal().T)


def test_the_table_shows_every_figure_and_whether_it_passed() -> None:
    lines = table(
        [
            Parity("denoiser", "noise", 66.44, 45.0),
            Parity("vocoder", "waveform", 31.06, 32.5),
            Parity("clip", "waveform", math.inf, 15.0),
            Parity("conditioning", "modulations", UNUSABLE, 45.0),
        ]
    ).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["denoiser", "noise", "66.4", "45", "ok"],
        ["vocoder", "waveform", "31.1", "32.5", "FAILED"],
        ["clip", "waveform", "exact", "15", "ok"],
        ["conditioning", "modulations", "unusable", "45", "FAILED"],
    ]
    assert [line[14:22].strip() for line in lines[:3]] == ["compared", "noise", "waveform"]  # in columns


def test_all_figures_are_named_where_one_is_too_low() -> None:
    good, poor = Parity("denoiser", "noise", 66.44, 45.0), Parity("vocoder", "waveform", 31.06, 32.5)
    require_passed([good], "not kept")
    with pytest.raises(ExportError, match=r"not kept: vocoder 31\.1 dB of 32\.5; good enough are denoiser 66\.4; "):
        require_passed([good, poor], "not kept")
