"""The registry of precisions: what is promised of each, and that export can make every one."""

from __future__ import annotations

import pytest

from mdsgen.bundle import DENOISER, GRAPHS, VOCODER
from mdsgen.precision import CLIP, PRECISIONS, SPECTROGRAM, DataType, Precision

EACH = pytest.mark.parametrize("precision", PRECISIONS.values(), ids=str)
FIGURES = (*GRAPHS, SPECTROGRAM, CLIP)


@EACH
def test_the_whole_way_is_held_to_less_than_a_graph(precision: Precision) -> None:
    of = precision.thresholds.of
    assert of(CLIP) <= of(SPECTROGRAM) <= min(map(of, GRAPHS))
    plans = precision.plan_thresholds
    assert plans is None or plans.of(CLIP) <= plans.of(SPECTROGRAM) <= min(map(plans.of, GRAPHS))


def test_the_promised_thresholds() -> None:
    least = {name: {figure: each.thresholds.of(figure) for figure in FIGURES} for name, each in PRECISIONS.items()}
    whole = {SPECTROGRAM: 30.0, CLIP: 30.0}
    half = dict.fromkeys(GRAPHS, 45.0) | {VOCODER: 35.0}
    assert least["fp32"] == dict.fromkeys(GRAPHS, 80.0) | {SPECTROGRAM: 60.0, CLIP: 60.0}
    assert least["fp16"] == least["fp16-weights"] == half | whole
    assert least["int8"] == half | {DENOISER: 25.0, SPECTROGRAM: 20.0, CLIP: 6.0}, "the others are as in fp16-weights"
    assert least["int8-weights"] == dict.fromkeys(GRAPHS, 25.0) | {SPECTROGRAM: 20.0, CLIP: 6.0}


def test_a_tolerance_lowers_all_of_them() -> None:
    thresholds = PRECISIONS["int8"].thresholds
    assert {thresholds.of(figure) - thresholds.lowered(3.0).of(figure) for figure in FIGURES} == {3.0}


def test_only_what_computes_in_fp32_can_become_another_precision() -> None:
    for precision in PRECISIONS.values():
        assert {PRECISIONS[name].computes for name in precision.convertible_from} == {DataType.FP32}
        assert DataType.INT8 not in {PRECISIONS[name].stores for name in precision.convertible_from}


def test_only_what_computes_in_int8_is_calibrated_and_fp16_gets_plans_unasked() -> None:
    calibrated = [name for name, each in PRECISIONS.items() if each.needs_calibration]
    assert calibrated == [name for name, each in PRECISIONS.items() if each.computes is DataType.INT8] == ["int8"]
    assert [name for name, each in PRECISIONS.items() if each.plans_by_default] == ["fp16"]
    assert [name for name, each in PRECISIONS.items() if each.plan_thresholds is None] == ["int8-weights"]
