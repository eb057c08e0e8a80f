"""The frames that the video encoder sees: which ones, and how they look."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from av import VideoFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdsgen import media
from mdsgen.errors import MediaError, TensorError
from mdsgen.media import averaged, probe
from mdsgen.media.container import decode, picture_stream
from mdsgen.media.frames import Scaler
from tests.media.released import prepare_frames, read_frames, read_pictures, scaled_pictures


def filtered(path, *filters):
    """What FFmpeg's own filters make of a video, as frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        nodes = [graph.add_buffer(template=stream), *(graph.add(*item) for item in filters), graph.add("buffersink")]
        graph.link_nodes(*nodes).configure()
        frames = []
        for frame in [*container.decode(stream), None]:
            graph.vpush(frame)
            while True:
                try:
                    frames.append(graph.vpull())
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
    return frames


def triangle(length, size=224):
    """Pillow's antialiased bilinear filter as a matrix [size, length]: a triangle as wide as the reduction."""
    scale = length / size
    distance = (np.arange(length) + 0.5)[np.newaxis] - (np.arange(size) + 0.5)[:, np.newaxis] * scale
    weights = np.maximum(0, 1 - np.abs(distance) / max(scale, 1))
    return weights / weights.sum(axis=1, keepdims=True)


def resized(picture):
    """The release's way: 8-bit RGB [height, width, 3] to [3, 224, 224] in 0..1."""
    rows, columns = (triangle(length) for length in picture.shape[:2])
    planes = rows @ picture.astype(np.float64).transpose(2, 0, 1) @ columns.T
    return np.rint(planes) / 255


def psnr(a, b):
    return 10 * np.log10(1 / np.mean((np.asarray(a, dtype=np.float64) - b) ** 2))


def detailed(index, size=(320, 180)):
    """Stripes, edges, a grid, colour and grain: much that a poor scaler gets wrong."""
    y, x = np.mgrid[: size[1], : size[0]]
    stripes = 70 * np.sin(0.9 * x + 0.3 * y + index) * (y < size[1] // 2)
    edges = 60.0 * (((x + 3 * index) // 9 + y // 7) % 2)
    grain = np.random.default_rng(index).normal(0, 12, (size[1], size[0]))
    tint = np.stack([90 + 60 * np.sin(x / 40), 90 + 40 * np.cos(y / 30), 120 - 50 * np.sin((x + y) / 60)], axis=-1)
    return np.clip(tint + (stripes + edges + grain)[..., np.newaxis], 0, 255).astype(np.uint8)


def levels(frames):
    return [round(float(frame.mean()) * 255) for frame in frames]


def test_shape_type_and_range(render):
    frames = list(read_frames(render(picture=lambda i: np.full((48, 64, 3), 255 * (i % 2), dtype=np.uint8))))
    assert len(frames) == 8
    for index, frame in enumerate(frames):
        assert frame.dtype == np.float32
        assert frame.shape == (3, 224, 224)
        assert frame.flags["C_CONTIGUOUS"]
        assert not frame.flags.writeable
        assert frame.mean() == pytest.approx(index % 2, abs=0.02)


def test_planes_are_red_green_blue(render):
    colour = np.broadcast_to(np.array([220, 120, 20], dtype=np.uint8), (48, 64, 3))
    first = next(read_frames(render(picture=lambda _: colour, options={"crf": "1"})))
    np.testing.assert_allclose(first.mean(axis=(1, 2)) * 255, [220, 120, 20], atol=5)


@pytest.mark.parametrize("size", [(320, 180), (480, 360), (176, 144)])
def test_like_the_release_on_a_detailed_video(render, size):
    path = render(picture=lambda i: detailed(i, size), frames=5, rate=9, size=size, options={"crf": "18"})
    reference = [resized(frame.to_ndarray()) for frame in filtered(path, ("fps", "4"), ("format", "rgb24"))]
    frames = list(read_frames(path))
    assert abs(len(frames) - len(reference)) <= 1  # the filter guesses how long the last frame lasts
    assert min(map(psnr, frames, reference)) > 40


def test_fine_colours_are_kept(render):
    """Stripes of one brightness and two colours: a scaler that halves the chroma resolution blurs them (18 dB)."""
    red, blue = np.array([200, 40, 60], dtype=np.uint8), np.array([40, 100, 190], dtype=np.uint8)
    stripes = np.where((np.arange(640) // 5 % 2)[:, np.newaxis], red, blue)  # [640, 3]
    picture = np.broadcast_to(stripes, (90, 640, 3))
    path = render("colour.mkv", picture=lambda _: picture, frames=2, size=(640, 90), codec="ffv1")
    reference = [resized(frame.to_ndarray()) for frame in filtered(path, ("format", "rgb24"))]
    assert min(map(psnr, read_frames(path), reference)) > 35


def test_reference_is_what_pillow_does():
    image = pytest.importorskip("PIL.Image")
    picture = detailed(0)
    pillow = np.asarray(image.fromarray(picture).resize((224, 224), image.Resampling.BILINEAR))
    np.testing.assert_allclose(resized(picture) * 255, pillow.transpose(2, 0, 1), atol=1.001)


def test_frames_in_memory_are_prepared_the_same_way():
    pictures = np.stack([detailed(0), detailed(1)])
    prepared = prepare_frames(pictures)
    assert prepared.shape == (2, 3, 224, 224)
    assert prepared.dtype == np.float32
    assert min(map(psnr, prepared, map(resized, pictures))) > 45


def test_averaged_pixels_are_the_rounded_mean_of_their_block():
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    small = averaged(frames, 4)
    assert (small.shape, small.dtype) == ((2, 4, 4, 3), np.uint8)
    for row, column in np.ndindex(4, 4):
        block = frames[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        np.testing.assert_array_equal(small[:, row, column], np.rint(block.mean(axis=(1, 2))))


def test_frames_in_memory_are_prepared_one_by_one_when_asked_for():
    pictures = np.stack([detailed(0), detailed(1)])
    one_by_one = scaled_pictures(pictures)
    pictures[1] = detailed(2)  # nobody has asked for it yet
    planes = np.stack(list(one_by_one)).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(planes, prepare_frames(np.stack([detailed(0), detailed(2)])))


def test_frames_of_the_right_size_are_left_as_they_are():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    np.testing.assert_array_equal(list(scaled_pictures(pictures)), pictures)
    scaler = Scaler(224)
    scaled = [scaler(VideoFrame.from_ndarray(picture, format="rgb24")) for picture in pictures]
    np.testing.assert_array_equal(scaled, pictures)
    np.testing.assert_array_equal(prepare_frames(pictures)[1, 2], pictures[1, :, :, 2] / np.float32(255))


def test_pictures_of_a_file_are_its_frames_before_they_become_planes(render):
    path = render(picture=detailed, frames=8)
    pictures = np.stack(list(read_pictures(path)))
    assert (pictures.shape[1:], pictures.dtype) == ((224, 224, 3), np.uint8)
    planes = pictures.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(planes, list(read_frames(path)))


@pytest.mark.parametrize("side", [448, 224, 112])
def test_small_pictures_are_the_averages_that_encoders_are_trained_on(side):
    pictures = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    found = np.stack(list(media.scaled_pictures(pictures, 56))).astype(int)
    assert np.abs(found - averaged(pictures, 56)).max() <= 1


def test_small_pictures_of_a_wide_film_stand_for_their_areas(render):
    wide = np.zeros((48, 112, 3), np.uint8)
    wide[:, ::2] = 200  # two columns of the film are one of the picture, and 48 rows 56
    (picture, *_) = media.read_pictures(render(picture=lambda _: wide, size=(112, 48), options={"crf": "0"}), 4, 56)
    assert picture.shape == (56, 56, 3)
    assert np.abs(picture.astype(int) - 100).max() <= 12


@pytest.mark.parametrize(("rate", "frames"), [(8, 16), (12, 24), (25, 50), (60, 120)])
def test_pictures_at_any_rate_are_those_on_the_screen(render, rate, frames):
    path = render(rate=rate, frames=frames, picture=lambda i: np.full((48, 64, 3), 2 * i, np.uint8))
    seen = [picture.mean() / 2 for picture in media.read_pictures(path, 15.625, 56)]
    assert len(seen) == round(2 * 15.625)
    expected = [math.ceil((n + 0.5) / 15.625 * rate) - 1 for n in range(len(seen))]
    assert seen == pytest.approx(expected, abs=1.2)


def test_only_whole_multiples_are_averaged():
    with pytest.raises(TensorError, match="a multiple of 56 pixels wide"):
        averaged(np.zeros((1, 100, 100, 3), np.uint8), 56)


@pytest.mark.parametrize("prepare", [prepare_frames, scaled_pictures])
@pytest.mark.parametrize(
    "frames", [np.zeros((2, 3, 8, 8), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_frames_in_memory_must_be_8_bit_rgb(frames, prepare):
    with pytest.raises(TensorError, match=r"expected frames as uint8 \[frames, height, width, 3\]"):
        prepare(frames)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 700), min_size=2, max_size=10), st.sampled_from([0, 3000, 5000]))
def test_the_same_frames_as_the_fps_filter(render, gaps, offset):
    """Any spacing, 1 ms to 0.7 s, ties at the rounding point included."""
    times = np.cumsum([offset, *gaps])
    path = render(
        "vfr.mkv",
        times=[Fraction(int(time), 1000) for time in times],
        picture=lambda index: np.full((16, 16, 3), 20 + 20 * index, dtype=np.uint8),
        size=(16, 16),
        codec="ffv1",
        rate=10,
    )
    chosen = filtered(path, ("setpts", "PTS-STARTPTS"), ("fps", "4"), ("format", "rgb24"))
    frames = levels(read_frames(path))
    assert abs(len(frames) - len(chosen)) <= 1  # the filter guesses how long the last frame lasts
    for ours, theirs in zip(frames, (frame.to_ndarray().mean() for frame in chosen), strict=False):
        assert ours == pytest.approx(theirs, abs=2)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".mov"])
def test_a_flash_is_seen_in_its_frame(render, suffix):
    """White from 2.5 s to 2.75 s, and from nowhere else."""
    flash = render(
        f"flash{suffix}",
        picture=lambda index: np.full((48, 64, 3), 255 * (50 <= index < 55), dtype=np.uint8),
        frames=80,
        rate=20,
    )
    assert [index for index, frame in enumerate(read_frames(flash)) if frame.mean() > 0.5] == [10]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_times_count_from_the_first_picture(render, suffix):
    early, late = render(f"early{suffix}"), render(f"late{suffix}", offset=5.0)
    assert levels(read_frames(late)) == levels(read_frames(early))


@pytest.mark.parametrize("name", ["seek.mp4", "seek.mkv", "seek.webm", "seek.avi", "seek.mov"])
@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_starting_later_gives_the_same_frames(render, name, offset):
    if name.endswith("avi") and offset:
        pytest.skip("AVI has no time stamps to offset")
    path = render(name, frames=100, rate=10, offset=offset, options={"g": "12"})
    whole = list(read_frames(path))
    assert len(whole) == 40
    for start in (0.25, 1.0, 4.5, 9.75):
        later = list(read_frames(path, start=start))
        np.testing.assert_array_equal(later, whole[round(4 * start) :])
    np.testing.assert_array_equal(list(read_frames(path, start=3.0, duration=1.25)), whole[12:17])


def test_a_file_that_cannot_seek_is_read_from_the_beginning(render):
    path = render("live.webm", frames=40, rate=10, container_options={"live": "1"})
    np.testing.assert_array_equal(list(read_frames(path, start=2.0)), list(read_frames(path))[8:])


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1)])
def test_pictures_are_turned_upright(render, turn, matrix):
    """A white corner at the top left goes where the display matrix says."""

    def corner(_):
        picture = np.zeros((48, 64, 3), dtype=np.uint8)
        picture[:24, :32] = 255
        return picture

    frame = next(read_frames(turn(render(picture=corner), matrix)))[0]
    a, b, c, d = matrix
    right, below = a + c < 0, b + d < 0  # where the quarter of negative x and y comes to lie
    quarters = frame.reshape(2, 112, 2, 112).mean(axis=(1, 3))
    expected = np.zeros((2, 2))
    expected[int(below), int(right)] = 1
    np.testing.assert_allclose(quarters, expected, atol=0.06)


def test_a_turn_may_come_and_go_within_a_stream(render, turn):
    """Two films of one size and format, as one: what nobody turned stays as it is, what follows is turned."""
    plain = render("plain.mp4", picture=detailed, frames=2, size=(320, 180))
    turned = turn(render("turned.mp4", picture=detailed, frames=2, size=(320, 180)), (0, 1, -1, 0))
    scaler = Scaler(224)
    for path in (plain, turned, plain):
        seen = [scaler(frame) for frame in decode(path, picture_stream)]
        np.testing.assert_array_equal(seen, list(read_pictures(path)))


@pytest.mark.parametrize(
    ("rate", "frames", "count"), [(1, 3, 12), (120, 180, 6), (4, 2, 2), (30, 2, 1), (10, 31, 12), (8, 5, 3)]
)
def test_there_are_as_many_as_the_duration_rounds_to(render, rate, frames, count):
    assert len(list(read_frames(render(rate=rate, frames=frames)))) == count


def test_slow_video_repeats_its_frames(render):
    path = render(rate=1, frames=3, picture=lambda index: np.full((48, 64, 3), 100 * index, dtype=np.uint8))
    assert levels(read_frames(path)) == pytest.approx([0] * 2 + [0, 0] + [100] * 4 + [200] * 4, abs=4)


@pytest.mark.parametrize(("size", "codec"), [((16, 16), "libx264"), ((7680, 4320), "mjpeg"), ((2, 500), "mpeg4")])
def test_tiny_and_huge(render, size, codec):
    flat = np.full((*reversed(size), 3), 128, dtype=np.uint8)
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = render("odd.mp4", size=size, codec=codec, pix_fmt=pix_fmt, frames=2, rate=2, picture=lambda _: flat)
    frames = list(read_frames(path))
    assert len(frames) == 4
    assert frames[0].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("ffv1", "gray"), ("ffv1", "yuv444p"), ("mjpeg", "yuvj422p"), ("libx264", "yuv420p10le")]
)
def test_pixel_formats(render, codec, pix_fmt):
    path = render("format.mkv", codec=codec, pix_fmt=pix_fmt, picture=lambda i: np.full((48, 64, 3), 30 * i, np.uint8))
    assert levels(read_frames(path)) == pytest.approx([30 * i for i in range(8)], abs=3)


def test_the_size_may_change_on_the_way(render):
    """Two broadcasts, one after the other."""
    parts = [render(f"{size[0]}.ts", size=size, rate=25) for size in [(64, 48), (96, 80)]]
    joined = render.folder / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(joined)) as container:
        assert {frame.width for frame in container.decode(video=0)} == {64, 96}
    assert all(frame.shape == (3, 224, 224) for frame in read_frames(joined))


def test_a_damaged_packet_is_passed_over(render):
    path = render("damaged.mp4", frames=40, rate=10, options={"g": "5"})
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
        span = slice(packet.pos, packet.pos + packet.size)
    data = bytearray(path.read_bytes())
    data[span] = bytes(packet.size)
    path.write_bytes(data)
    assert len(list(read_frames(path))) == 16


def test_memory_does_not_grow_with_the_length(render):
    path = render("long.mkv", frames=120, rate=2, size=(16, 16), codec="ffv1")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_frames(path)) == 240
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 3 * 224 * 224 * 4


@pytest.mark.parametrize("start", [-0.1, 2.0, 99.0])
def test_a_start_outside_the_video_is_refused_at_once(render, start):
    info = probe(render())
    with pytest.raises(MediaError, match="lies outside"):
        read_frames(info, start=start)
