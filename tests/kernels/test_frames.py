"""The reference of frame preparation: Pillow's filter, FFmpeg's pictures, and what the formulas say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.media import prepare_frames
from tests.kernels.resizing import prepare_rgb, triangle_filter

SIZES = [(240, 320), (90, 160), (480, 270), (224, 224), (101, 333)]


def picture(height: int, width: int) -> np.ndarray:
    """Something with edges, slopes, texture and strong colours, uint8 ``[height, width, 3]``."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    red = 127.5 + 127.5 * np.sin(40 * x + 9 * y)
    green = 255 * ((x - 0.4) ** 2 + (y - 0.3) ** 2 < 0.04)
    blue = 255 * y + np.random.default_rng(height).integers(-20, 20, (height, width))
    return np.stack([red, green, blue], axis=-1).clip(0, 255).astype(np.uint8)


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Of pictures in 0..1, in dB."""
    return float(-10 * np.log10(np.mean((found - expected) ** 2)))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_is_pillows_resize_but_for_its_rounding(height: int, width: int) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is in mdsgen[dev]")
    frame = picture(height, width)
    resized = image.fromarray(frame).resize((224, 224), image.Resampling.BILINEAR)
    found = prepare_rgb(frame[None], 224)[0].transpose(1, 2, 0) * 255
    assert np.abs(found - np.asarray(resized)).max() < 1.01  # Pillow rounds after each of its two passes


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_shows_what_the_runtime_prepares(height: int, width: int) -> None:
    frame = picture(height, width)[None]
    assert psnr(prepare_rgb(frame, 224), prepare_frames(frame, 224)) > 40


@settings(max_examples=30)
@given(in_size=st.integers(1, 700), out_size=st.integers(1, 300))
def test_every_output_pixel_is_a_mean_of_its_surroundings(in_size: int, out_size: int) -> None:
    weights = triangle_filter(in_size, out_size)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)  # no side is preferred
    # Away from the borders a slope stays what it is, where it is.
    centres = (np.arange(out_size) + 0.5) * in_size / out_size
    reach = max(1, in_size / out_size)
    inside = (centres > reach) & (centres < in_size - reach)
    bent = 0.5 if in_size > out_size else 1e-9  # a sampled triangle is not perfectly balanced
    assert (np.abs(weights @ (np.arange(in_size) + 0.5) - centres) < bent)[inside].all()


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    frame = picture(8, 8)
    np.testing.assert_allclose(prepare_rgb(frame[None], 8)[0].transpose(1, 2, 0), frame / 255)
