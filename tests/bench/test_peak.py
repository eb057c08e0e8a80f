"""The machine's matrix peak is the best product that a library here computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mdsgen.bench import peak
from mdsgen.bench.peak import Peak, find_peaks, measure_peaks, peak_totals
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.errors import MdsgenError


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "SIZES", (32, 64))
    monkeypatch.setattr(peak, "_SECONDS", 0.005)


@pytest.mark.usefixtures("_small")
def test_every_type_has_a_library_and_a_size() -> None:
    found = find_peaks(1, ["fp32", "int8"])
    assert list(found) == ["fp32", "int8"]
    for name, best in found.items():
        library, size = best.where.split(", ")
        assert library in peak._LIBRARIES, name
        assert size in ("32", "64")
        assert best.per_second > 1e6
    assert json.loads(json.dumps(vars(found["fp32"]))) == vars(found["fp32"])


@pytest.mark.usefixtures("_small")
def test_the_best_library_is_taken_and_one_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"slow": 4.0, "fast": 2.0}
    monkeypatch.setattr(peak, "_LIBRARIES", {"broken": peak._numpy, "slow": _named("slow"), "fast": _named("fast")})
    monkeypatch.setattr(peak, "fastest", lambda timed, lasting: timed())
    monkeypatch.setattr(peak, "_seconds", lambda product: seconds[product()])
    assert find_peaks(1, ["bf16"]) == {"bf16": Peak(2 * 64**3 / 2.0, "fast, 64")}


def _named(name: str) -> object:
    from contextlib import contextmanager

    @contextmanager
    def library(data_type: str, size: int, threads: int):  # type: ignore[no-untyped-def]
        yield lambda: name

    return library


def test_the_quantised_product_is_the_product() -> None:
    a, b = peak._operands(64)
    with peak._one_product("int8", 64) as path, open_engine(path, "onnxruntime", EngineOptions(1)) as engine:
        found = engine.run({"a": a})["c"]
    assert 10 * np.log10(np.sum((a @ b) ** 2) / np.sum((a @ b - found) ** 2)) > 25


def test_in_a_process_of_its_own_it_is_found_as_well() -> None:
    found = measure_peaks(1, {"fp32"})
    assert list(found) == ["fp32"]
    assert found["fp32"].per_second > 1e8
    (row,) = peak_totals(found).items()
    assert row[0] == "fp32 matrix peak, GFLOP/s"


def test_a_process_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(MdsgenError, match="the matrix peak could not be measured: nothing"):
        measure_peaks(1, {"fp32"})


def test_what_a_processor_does_not_compute_in_has_no_peak() -> None:
    assert measure_peaks(1, {"cuda fp16"}) == {}


def test_no_bfloat16_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    assert not peak.computes_bfloat16()
