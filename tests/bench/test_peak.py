"""The machine's matrix peak is the speed of one product, and a share of it what was reached."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mdsgen.bench import peak
from mdsgen.bench.peak import Peak, add_shares, find_peaks, machine_peaks, measure_peaks, peak_totals
from mdsgen.errors import MdsgenError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_SECONDS", 0.005)


def test_every_type_that_a_processor_computes_in_has_a_peak() -> None:
    before = torch.get_num_threads()
    found = find_peaks(before, ["fp32", "bf16", "int8", "fp8"], size=64)
    assert list(found) == ["fp32", "bf16", "int8"]
    assert {each.where for each in found.values()} == {"PyTorch, 64"}
    assert min(each.per_second for each in found.values()) > 1e6


def test_without_pytorch_it_is_numpy_s_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "find_spec", lambda name: None)
    found = find_peaks(1, ["fp32", "int8", "cuda fp16"], size=64)
    assert list(found) == ["fp32"]
    assert found["fp32"].where == "NumPy, 64"


def test_a_product_is_counted_as_its_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_product", lambda name, size, threads: (lambda: None, "a library", 4))
    monkeypatch.setattr(peak, "_fastest", lambda product: 0.5)
    assert find_peaks(1, ["fp32"], size=10) == {"fp32": Peak(4 * 2 * 1000 / 0.5, "a library, 10")}


def test_without_a_gpu_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_peaks(1, ["cuda fp16"]) == {}


def test_in_a_process_of_its_own_it_is_found_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDEVMODE", "")
    found = measure_peaks(1, ["fp32"], size=64)
    assert list(found) == ["fp32"]
    (row,) = peak_totals(found)
    assert row == "fp32 matrix peak, GFLOP/s"


@pytest.mark.parametrize("slow", [False, True], ids=["fails", "never ends"])
def test_a_process_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch, slow: bool) -> None:
    def never(program: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(program, timeout)

    if slow:
        monkeypatch.setattr(subprocess, "run", never)
    else:
        monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MdsgenError, match="the matrix peak could not be measured: "):
        measure_peaks(1, {"fp32"})
    peaks, notes = machine_peaks(1, ["fp32"])
    assert peaks == {}
    assert notes[1] == "shares of the peak are left out: nothing here measures what fp32 can do"


def test_shares_are_of_the_type_s_own_peak() -> None:
    figures: dict[str, float] = {}
    add_shares(figures, 4_000_000_000, 2.0, "int8", {"int8": Peak(8e9, ""), "fp32": Peak(1e9, "")})
    assert figures == {"GFLOP/s": 2.0, "% of peak": 25.0}
    add_shares(figures := {}, 4_000_000_000, 2.0, "bf16", {"fp32": Peak(1e9, "")})
    assert figures == {"GFLOP/s": 2.0}
