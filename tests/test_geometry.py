"""Geometries: the published figures, the rules that hold for any, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import GeometryError, MdsgenError
from mdsgen.geometry import DEMO, GEOMETRIES, PAPER, RELEASE, SAMPLE_RATE, Geometry, completed, geometry
from tests.geometries import BRISK, geometries

LENGTHS = ["latent_shape", "grid", "tokens", "time_columns", "frequency_rows", "mel_frames", "samples", "video_frames"]


@pytest.mark.parametrize(
    ("of", "published"),
    [
        (PAPER, [(4, 16, 64), (8, 32), 256, 32, 8, 512, 131_072, 32]),
        (RELEASE, [(8, 204, 16), (102, 8), 816, 102, 8, 816, 130_560, 32]),
    ],
    ids=["paper", "release"],
)
def test_derived_lengths_are_the_published_ones(of: Geometry, published: list[object]) -> None:
    assert [getattr(of, name) for name in LENGTHS] == published


def test_durations_are_the_published_ones() -> None:
    assert (PAPER.duration, RELEASE.duration) == (8.192, 8.16)
    assert PAPER.samples_per_frame == RELEASE.samples_per_frame == 4000


def test_the_paper_has_as_many_features_as_time_columns_though_these_are_longer_than_frames() -> None:
    assert PAPER.time_columns == PAPER.video_frames == PAPER.video_features
    assert PAPER.pictures_per_column is None
    assert RELEASE.pictures_per_column is None


def test_pictures_at_a_whole_number_per_column_give_a_feature_per_column() -> None:
    assert (BRISK.video_frames, BRISK.pictures_per_column, BRISK.video_features) == (128, 4, 32)
    assert BRISK.samples_per_frame == 1024
    assert (PAPER.picture_size, BRISK.picture_size, replace(BRISK, frame_size=28).picture_size) == (56, 56, 28)


def test_what_was_written_before_there_were_rates_and_sizes_means_those_of_released_models() -> None:
    old = {name: value for name, value in PAPER.to_dict().items() if not name.startswith("frame_")}
    assert Geometry.from_dict(old) == PAPER
    nested = {"clips": {"geometry": old, "scenes": 3}, "geometry": old}
    whole = completed(nested)
    assert whole == {"clips": {"geometry": PAPER.to_dict(), "scenes": 3}, "geometry": PAPER.to_dict()}
    assert nested["geometry"] is old, "a copy"
    assert completed({"geometry": BRISK.to_dict()}) == {"geometry": BRISK.to_dict()}


@settings(max_examples=60)
@given(geometries())
def test_any_geometry_agrees_with_itself(any_geometry: Geometry) -> None:
    g = any_geometry
    assert g.tokens == g.time_columns * g.frequency_rows == g.grid[0] * g.grid[1]
    assert (g.height, g.width) == (g.grid[0] * g.patch, g.grid[1] * g.patch)
    assert (g.latent_frames, g.latent_bins) == (g.time_columns * g.patch, g.frequency_rows * g.patch)
    assert g.mel_frames == g.latent_frames * g.compression
    assert g.samples == g.mel_frames * g.mel.hop
    assert g.mel.bins == g.latent_bins * g.compression
    assert g.video_frames >= 1
    step = g.samples_per_frame
    assert step * Fraction(g.frame_rate) == SAMPLE_RATE
    assert g.video_frames * step <= g.samples < (g.video_frames + 1) * step
    if g.pictures_per_column is None:
        assert g.video_features == g.video_frames
    else:
        assert g.pictures_per_column * step == g.column_samples
        assert g.video_features == g.time_columns == g.video_frames / g.pictures_per_column
    assert g.duration * SAMPLE_RATE == pytest.approx(g.samples)


@settings(max_examples=60)
@given(geometries())
def test_json_gives_the_same_geometry_back(any_geometry: Geometry) -> None:
    text = json.dumps(any_geometry.to_dict(), allow_nan=False)
    assert Geometry.from_dict(json.loads(text)) == any_geometry


@settings(max_examples=60)
@given(
    st.integers(-4, 40),
    st.integers(-4, 40),
    st.integers(-1, 6),
    st.integers(-1, 9),
    st.sampled_from([0, 1, 2, -1, 0.5]),
)
def test_what_constructs_is_whole(height: int, width: int, patch: int, compression: int, axis: Any) -> None:
    try:
        g = replace(PAPER, height=height, width=width, patch=patch, compression=compression, time_axis=axis)
    except GeometryError:
        return
    assert (g.grid[0] * g.patch, g.grid[1] * g.patch) == (height, width)
    assert g.latent_bins * compression == g.mel.bins
    assert g.video_frames >= 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"height": 15}, "15×64 does not divide into patches of 2×2"),
        ({"width": 63}, "16×63 does not divide"),
        ({"channels": 0}, "channels must be a positive whole number, not 0"),
        ({"channels": 10**400}, "channels must be a positive whole number, not 1000"),
        ({"latent_scale": 10**400}, "must be a finite number"),
        ({"height": 16.0}, r"height must be a positive whole number, not 16\.0"),
        ({"patch": True}, "patch must be a positive whole number, not True"),
        ({"compression": "8"}, "compression must be a positive whole number, not '8'"),
        ({"compression": 4}, "16 latent bins × compression 4 is not 128 mel bins"),
        ({"height": 64, "width": 16}, "64 latent bins × compression 8 is not 128"),
        ({"time_axis": 2}, "time axis 2 must be 0"),
        ({"time_axis": 0}, "64 latent bins × compression 8 is not 128 mel bins"),
        ({"latent_scale": 0.0}, r"latent scale 0\.0 must be positive"),
        ({"latent_scale": float("nan")}, "latent scale must be a finite number, not nan"),
        ({"latent_scale": float("inf")}, "latent scale must be a finite number, not inf"),
        ({"latent_scale": "4"}, "latent scale must be a finite number, not '4'"),
        ({"width": 1, "patch": 1}, r"0\.128 s holds no video frame at 4 per second"),
        ({"frame_rate": 0}, "0 per second: expected a rate of more than 0"),
        ({"frame_rate": 1e4}, "at most 1000"),
        ({"frame_rate": float("nan")}, "frame rate must be a finite number"),
        ({"frame_rate": "4"}, "frame rate must be a finite number, not '4'"),
        ({"frame_rate": 0.1}, r"8\.192 s holds no video frame at 0\.1 per second"),
        ({"frame_size": 0}, "frame size must be a positive whole number"),
        ({"frame_size": 56.0}, "frame size must be a positive whole number"),
        ({"frame_size": 5000}, "at most 4096 pixels"),
        ({"name": "two words"}, "'two words' must be a plain word"),
        ({"name": ""}, "must be a plain word"),
        ({"name": 3}, "3 must be a plain word"),
    ],
)
def test_a_geometry_that_does_not_fit_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(GeometryError, match=complaint):
        replace(PAPER, **changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"bins": -1}, "mel bins must be a positive whole number, not -1"),
        ({"hop": 0}, "mel hop must be"),
        ({"hop": 2048}, "hop 2048 is longer than its window of 1024"),
        ({"f_min": 7600.0}, "must be increasing"),
        ({"f_min": -1.0}, "must be increasing"),
        ({"f_max": 8001.0}, "at or below 8000 Hz"),
        ({"f_max": None}, "mel f_max must be a finite number, not None"),
        ({"f_min": float("nan")}, "mel f_min must be a finite number"),
        ({"scale": "log10"}, "'log10' is unknown: expected 'ln' or 'unit_db'"),
    ],
)
def test_a_mel_format_that_cannot_be_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(GeometryError, match=complaint):
        replace(PAPER.mel, **changes)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(json_values)
def test_junk_is_not_a_geometry(junk: Any) -> None:
    with pytest.raises(GeometryError) as refusal:
        Geometry.from_dict(junk)
    assert "\n" not in str(refusal.value)


@settings(max_examples=150)
@given(st.sampled_from(sorted(PAPER.to_dict())), json_values)
def test_junk_in_one_place_is_refused_or_makes_a_geometry(place: str, junk: Any) -> None:
    values = PAPER.to_dict() | {place: junk}
    try:
        read = Geometry.from_dict(values)
    except GeometryError:
        return
    assert Geometry.from_dict(read.to_dict()) == read


@pytest.mark.parametrize("missing", sorted(PAPER.to_dict().keys() - {"frame_rate", "frame_size"}))
def test_a_missing_value_is_named(missing: str) -> None:
    values = {name: value for name, value in PAPER.to_dict().items() if name != missing}
    with pytest.raises(GeometryError, match=missing):
        Geometry.from_dict(values)


def test_built_in_geometries_are_found_by_name() -> None:
    assert {name: geometry(name) for name in GEOMETRIES} == {"paper": PAPER, "release": RELEASE, "demo": DEMO}
    with pytest.raises(GeometryError, match="'round' is unknown: expected one of demo, paper, release"):
        geometry("round")


def test_a_geometry_error_is_this_projects_and_a_value_error() -> None:
    assert issubclass(GeometryError, MdsgenError)
    assert issubclass(GeometryError, ValueError)
