"""Frame preparation on the device: the reference's pictures from any size and place in memory."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import KernelError
from mdsgen.kernels.launch import RgbFrames, prepare_frames_launch
from tests.kernels.machines import HostLibraries, Machine
from tests.kernels.resizing import prepare_rgb, triangle_filter

SIZES = [(48, 64), (7, 5), (33, 100), (1, 1), (130, 41), (40, 40)]
SMALL = 40  # a picture's side on the host; not a multiple of the threads of a warp, or of the rows of a block


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_rgb_of_any_size_anywhere(machine: Machine, height: int, width: int, offset: int) -> None:
    frames = noise(2, height, width, 3)
    pixels, out = machine.hold(frames, offset), machine.hold(np.zeros((2, 3, SMALL, SMALL), "float32"))
    described = RgbFrames(pixels.address, width, height, count=2)
    machine.launch(prepare_frames_launch(described, out.address, SMALL))
    np.testing.assert_allclose(out.read(), prepare_rgb(frames, SMALL), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(pixels.read(), frames)


def test_more_columns_than_a_block_has_threads(machine: Machine) -> None:
    frames = noise(1, 3, 50, 3)
    pixels, out = machine.hold(frames), machine.hold(np.zeros((1, 3, 300, 300), "float32"))
    launch = prepare_frames_launch(RgbFrames(pixels.address, 50, 3), out.address, 300)
    assert launch.grid[0] == 2
    machine.launch(launch)
    np.testing.assert_allclose(out.read(), prepare_rgb(frames, 300), rtol=0, atol=1e-6)


def test_the_widest_picture(machine: Machine) -> None:
    """Its rows fill shared memory, and the sums of weighted bytes nearly 32 bits."""
    frames = noise(1, 2, 16_384, 3) | 0xF0
    pixels, out = machine.hold(frames), machine.hold(np.zeros((1, 3, 65, 65), "float32"))
    launch = prepare_frames_launch(RgbFrames(pixels.address, 16_384, 2), out.address, 65)
    machine.launch(launch)
    np.testing.assert_allclose(out.read(), prepare_rgb(frames, 65), rtol=0, atol=1e-6)
    with pytest.raises(KernelError, match="cannot shrink 16384 pixels to 64"):
        prepare_frames_launch(RgbFrames(pixels.address, 16_384, 2), out.address, 64)


@pytest.mark.gpu
def test_a_clip_as_a_camera_sends_it(gpu: Machine) -> None:
    frames = noise(33, 1080, 1920, 3)
    pixels, out = gpu.hold(frames), gpu.hold(np.zeros((33, 3, 224, 224), "float32"))
    gpu.launch(prepare_frames_launch(RgbFrames(pixels.address, 1920, 1080, 33), out.address, 224))
    np.testing.assert_allclose(out.read()[[0, 32]], prepare_rgb(frames[[0, 32]], 224), rtol=0, atol=1e-6)


@settings(max_examples=40)
@given(in_size=st.integers(1, 3000), out_size=st.integers(1, 300))
def test_whole_weights_are_the_references(libraries: HostLibraries, in_size: int, out_size: int) -> None:
    weights = np.empty((out_size, in_size))
    libraries["frames"].triangle_filter(ctypes.c_void_p(weights.ctypes.data), in_size, out_size)
    np.testing.assert_allclose(weights, triangle_filter(in_size, out_size), rtol=0, atol=1e-12)


def test_a_launch_covers_the_picture_and_fits_every_device() -> None:
    launch = prepare_frames_launch(RgbFrames(4096, 1920, 1080, 33), 512, 224)
    assert launch.function == "prepare_rgb"
    assert launch.grid == (1, 56, 33)
    assert launch.threads == 224
    assert launch.shared == 2 * 5760
    assert launch.arguments == (512, 4096, 1920, 1080, 224, 2)
    assert prepare_frames_launch(RgbFrames(4096, 16_384, 9000), 512, 224).shared == 48 << 10


def test_pictures_that_cannot_be_are_refused() -> None:
    frames = RgbFrames(256, 64, 48)
    for changed, complaint in [
        ({"width": 0}, "cannot prepare 1 pictures of 0×48"),
        ({"width": 16_385}, "at most 16384 pixels either way"),
        ({"height": 16_385}, "at most 16384 pixels either way"),
        ({"count": 70_000}, "cannot prepare 70000 pictures"),
    ]:
        with pytest.raises(KernelError, match=complaint):
            replace(frames, **changed)
    with pytest.raises(KernelError, match="one pixel or more, got 0"):
        prepare_frames_launch(frames, 256, 0)
