"""Frame preparation on the device: the reference's pictures from any size, pitch and place in memory."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import KernelError
from mdsgen.kernels.frames import prepare_nv12, prepare_rgb, triangle_filter
from mdsgen.kernels.launch import Nv12Frames, RgbFrames, prepare_frames_launch
from tests.kernels.machines import HostLibraries, Machine

SIZES = [(48, 64), (7, 5), (33, 100), (1, 1), (130, 41), (40, 40)]
SMALL = 40  # a picture's side on the host; not a multiple of the threads of a warp, or of the rows of a block
TOLERANCE = {"float32": 1e-6, "float16": 2.5e-4}  # of half precision: half a unit of the last place below 1


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def pitched(frames: np.ndarray, pitch: int, stride: int) -> np.ndarray:
    """Rows ``pitch`` bytes apart, pictures ``stride`` bytes apart, all other bytes 255."""
    memory = np.full(len(frames) * stride, 255, np.uint8)
    for index, frame in enumerate(frames):
        for row, pixels in enumerate(frame.reshape(len(frame), -1)):
            start = index * stride + row * pitch
            memory[start : start + pixels.size] = pixels
    return memory


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_rgb_of_any_size(machine: Machine, height: int, width: int, dtype: str) -> None:
    frames = noise(2, height, width, 3)
    pixels, out = machine.hold(frames), machine.hold(np.zeros((2, 3, SMALL, SMALL), dtype))
    described = RgbFrames(pixels.address, width, height, count=2)
    machine.launch(prepare_frames_launch(described, out.address, SMALL, dtype))
    np.testing.assert_allclose(out.read(), prepare_rgb(frames, SMALL), rtol=0, atol=TOLERANCE[dtype])
    np.testing.assert_array_equal(pixels.read(), frames)


@pytest.mark.parametrize("offset", [0, 16, 1])
@pytest.mark.parametrize(("pitch", "stride"), [(256, 256 * 50), (201, 201 * 48 + 5)], ids=["aligned", "odd"])
def test_rgb_with_gaps_between_rows_and_pictures(machine: Machine, pitch: int, stride: int, offset: int) -> None:
    frames = noise(3, 48, 64, 3)
    memory, out = machine.hold(pitched(frames, pitch, stride), offset), machine.hold(np.zeros((3, 3, 9, 9), "float32"))
    described = RgbFrames(memory.address, 64, 48, 3, pitch, stride)
    machine.launch(prepare_frames_launch(described, out.address, 9, "float32"))
    np.testing.assert_allclose(out.read(), prepare_rgb(frames, 9), rtol=0, atol=1e-6)


@pytest.mark.parametrize("standard", [601, 709, 2020])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (15, 21)], ids=["even", "odd"])
def test_nv12(machine: Machine, height: int, width: int, standard: int, full_range: bool) -> None:
    luma, chroma = noise(2, height, width), noise(2, (height + 1) // 2, (width + 1) // 2, 2)
    planes = machine.hold(pitched(luma, 80, 5000)), machine.hold(pitched(chroma, 96, 3000))
    out = machine.hold(np.zeros((2, 3, SMALL, SMALL), "float32"))
    described = Nv12Frames(
        planes[0].address, planes[1].address, width, height, 2, 80, 96, 5000, 3000, standard, full_range
    )
    machine.launch(prepare_frames_launch(described, out.address, SMALL, "float32"))
    expected = prepare_nv12(luma, chroma, SMALL, standard, full_range)
    np.testing.assert_allclose(out.read(), expected, rtol=0, atol=1e-6)


def test_nv12_in_half_precision_and_without_gaps(machine: Machine) -> None:
    luma, chroma = noise(1, 20, 30), noise(1, 10, 15, 2)
    planes, out = (machine.hold(luma), machine.hold(chroma)), machine.hold(np.zeros((1, 3, SMALL, SMALL), "float16"))
    described = Nv12Frames(planes[0].address, planes[1].address, 30, 20)
    machine.launch(prepare_frames_launch(described, out.address, SMALL, "float16"))
    np.testing.assert_allclose(out.read(), prepare_nv12(luma, chroma, SMALL), rtol=0, atol=TOLERANCE["float16"])


def test_more_columns_than_a_block_has_threads(machine: Machine) -> None:
    frames = noise(1, 3, 50, 3)
    pixels, out = machine.hold(frames), machine.hold(np.zeros((1, 3, 300, 300), "float32"))
    launch = prepare_frames_launch(RgbFrames(pixels.address, 50, 3), out.address, 300, "float32")
    assert launch.grid[0] == 2
    machine.launch(launch)
    np.testing.assert_allclose(out.read(), prepare_rgb(frames, 300), rtol=0, atol=1e-6)


def test_the_widest_picture(machine: Machine) -> None:
    """Its rows fill shared memory, and the sums of weighted bytes nearly 32 bits."""
    frames = noise(1, 2, 16_384, 3) | 0xF0
    pixels, out = machine.hold(frames), machine.hold(np.zeros((1, 3, 65, 65), "float32"))
    launch = prepare_frames_launch(RgbFrames(pixels.address, 16_384, 2), out.address, 65, "float32")
    machine.launch(launch)
    np.testing.assert_allclose(out.read(), prepare_rgb(frames, 65), rtol=0, atol=1e-6)
    with pytest.raises(KernelError, match="cannot shrink 16384 pixels to 64"):
        prepare_frames_launch(RgbFrames(pixels.address, 16_384, 2), out.address, 64, "float32")


@pytest.mark.gpu
def test_a_clip_as_a_camera_sends_it(gpu: Machine) -> None:
    frames = noise(33, 1080, 1920, 3)
    pixels, out = gpu.hold(frames), gpu.hold(np.zeros((33, 3, 224, 224), "float16"))
    gpu.launch(prepare_frames_launch(RgbFrames(pixels.address, 1920, 1080, 33), out.address, 224, "float16"))
    np.testing.assert_allclose(out.read()[[0, 32]], prepare_rgb(frames[[0, 32]], 224), rtol=0, atol=2.5e-4)


@settings(max_examples=40, deadline=None)
@given(in_size=st.integers(1, 3000), out_size=st.integers(1, 300))
def test_whole_weights_are_the_references(libraries: HostLibraries, in_size: int, out_size: int) -> None:
    weights = np.empty((out_size, in_size))
    libraries["frames"].triangle_filter(ctypes.c_void_p(weights.ctypes.data), in_size, out_size)
    np.testing.assert_allclose(weights, triangle_filter(in_size, out_size), rtol=0, atol=1e-12)


@pytest.mark.parametrize("standard", [601, 709, 2020])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
def test_colours_are_the_references(libraries: HostLibraries, standard: int, full_range: bool) -> None:
    luma, chroma = noise(60, 1, 1), noise(60, 1, 1, 2)
    yuv = np.concatenate([luma.reshape(60, 1), chroma.reshape(60, 2)], axis=1).astype(np.float32)
    rgb = np.empty_like(yuv)
    arrays = [ctypes.c_void_p(array.ctypes.data) for array in (rgb, yuv)]
    libraries["frames"].colours(*arrays, len(yuv), standard, int(full_range))
    expected = prepare_nv12(luma, chroma, 1, standard, full_range)[:, :, 0, 0]
    np.testing.assert_allclose(rgb, expected, rtol=0, atol=1e-6)


def test_a_launch_covers_the_picture_and_fits_every_device() -> None:
    launch = prepare_frames_launch(RgbFrames(4096, 1920, 1080, 33), 512, 224, "float16")
    assert launch.function == "prepare_rgb_f16"
    assert launch.grid == (1, 56, 33)
    assert launch.threads == 224
    assert launch.shared == 2 * 5760
    assert launch.arguments == (512, 4096, 1920, 1080, 5760, 5760 * 1080, 224, 2)
    assert prepare_frames_launch(RgbFrames(4096, 16_384, 9000), 512, 224, "float16").shared == 48 << 10


def test_a_layout_without_gaps_is_the_default() -> None:
    frames = Nv12Frames(256, 512, 21, 15)
    assert (frames.luma_pitch, frames.chroma_pitch) == (21, 22)
    assert (frames.luma_stride, frames.chroma_stride) == (21 * 15, 22 * 8)


def test_pictures_that_cannot_be_are_refused() -> None:
    frames = RgbFrames(256, 64, 48)
    for changed, complaint in [
        ({"width": 0}, "cannot prepare 1 pictures of 0×48"),
        ({"width": 16_385, "pitch": 0}, "at most 16384 pixels either way"),
        ({"height": 16_385}, "at most 16384 pixels either way"),
        ({"pitch": 100}, "pitch must be at least a row's 192 bytes, not 100"),
        ({"count": 70_000}, "cannot prepare 70000 pictures"),
    ]:
        with pytest.raises(KernelError, match=complaint):
            replace(frames, **changed)
    with pytest.raises(KernelError, match=r"BT\.240 is unknown"):
        Nv12Frames(256, 256, 64, 48, standard=240)
    with pytest.raises(KernelError, match="no kernel for uint8"):
        prepare_frames_launch(frames, 256, 224, "uint8")
