"""What is written: every sample, every picture packet, and no half file."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdsgen.errors import MediaError, TensorError
from mdsgen.media import open_writer, probe, read_sound, sample_count
from tests.media.released import read_frames

RATE = 16_000
TICKS = 12_000
VIDEO = [".mp4", ".mkv", ".mov"]


def tone(samples, frequency=500.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(samples) / RATE)).astype(np.float32)


def write(target, source, sound, **kwargs):
    kwargs.setdefault("duration", sound.size / RATE)
    with open_writer(target, source, **kwargs) as writer:
        for block in np.array_split(sound, 3):
            writer.write(block)
    return target


def picture_times(path):
    with av.open(str(path)) as container:
        return sorted(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size)


# Sound alone


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(1, 40_000), cuts=st.lists(st.integers(0, 40_000), max_size=4))
def test_every_sample_is_kept(tmp_path, heard, suffix, samples, cuts):
    sound = tone(samples)
    target = tmp_path / f"sound{suffix}"
    with open_writer(target, None, duration=samples / RATE) as writer:
        for block in np.split(sound, sorted(min(cut, samples) for cut in cuts)):
            writer.write(block)
    back = heard(target)
    assert back.shape == (samples,)
    np.testing.assert_allclose(back, sound, atol=1 / 32767)


def test_wav_and_flac_are_16_bit_mono_at_16_khz(tmp_path):
    for name, codec in [("a.wav", "pcm_s16le"), ("a.flac", "flac")]:
        write(tmp_path / name, None, tone(8000))
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.audio[0]
            assert (stream.codec_context.name, stream.rate, stream.channels) == (codec, RATE, 1)
            assert stream.format.name == "s16"
            assert stream.duration * stream.time_base == 0.5


def test_samples_beyond_one_are_clipped(tmp_path, heard):
    write(tmp_path / "loud.wav", None, np.array([2.0, -3.0, 0.5], dtype=np.float32))
    np.testing.assert_allclose(heard(tmp_path / "loud.wav"), [1, -1, 0.5], atol=1e-4)


def test_the_video_s_duration_to_the_sample(render, tmp_path, heard):
    info = probe(render(frames=43, rate=30))
    for name in ("a.wav", "a.flac"):
        write(tmp_path / name, info, tone(sample_count(info.duration)))
        assert heard(tmp_path / name).size == round(Fraction(43, 30) * RATE)


# Under the pictures


@pytest.mark.parametrize("suffix", VIDEO)
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mp4", "mpeg4"), ("a.mkv", "libx264"), ("a.avi", "mjpeg"), ("a.avi", "mpeg4")],
)
def test_pictures_are_copied_untouched(render, tmp_path, packets, suffix, name, codec):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = render(name, codec=codec, pix_fmt=pix_fmt, frames=30, rate=12, sound=np.zeros(RATE))
    info = probe(path)
    target = write(tmp_path / f"out{suffix}", info, tone(sample_count(info.duration)))
    assert packets(target) == packets(path)
    assert list(picture_times(target)) == pytest.approx(picture_times(path), abs=1e-3)
    np.testing.assert_array_equal(list(read_frames(target)), list(read_frames(path)))
    again = probe(target)
    assert again.has_audio
    assert again.duration == pytest.approx(info.duration, abs=2e-3)


@pytest.mark.parametrize(
    ("name", "codec", "size"),
    [("a.webm", "libvpx-vp9", (64, 48)), ("a.mkv", "libx265", (64, 64)), ("a.mkv", "libsvtav1", (64, 64))],
)
def test_newer_codecs_go_into_mp4(render, tmp_path, packets, name, codec, size):
    path = render(
        name,
        codec=codec,
        size=size,
        rate=12,
        frames=12,
        options={"x265-params": "log-level=none"} if "265" in codec else None,
    )
    info = probe(path)
    target = write(tmp_path / "out.mp4", info, tone(sample_count(info.duration)))
    assert packets(target) == packets(path)
    np.testing.assert_array_equal(list(read_frames(target)), list(read_frames(path)))


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_hevc_gets_the_name_that_apple_s_players_know(render, tmp_path, suffix):
    path = render("a.mkv", codec="libx265", size=(64, 64), options={"x265-params": "log-level=none"})
    info = probe(path)
    target = write(tmp_path / f"out{suffix}", info, tone(sample_count(info.duration)))
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("frames", [25, 43, 101])
def test_mp4_lasts_as_long_as_the_picture(render, tmp_path, suffix, frames):
    info = probe(render(frames=frames, rate=25))
    target = write(tmp_path / f"out{suffix}", info, tone(sample_count(info.duration)))
    with av.open(str(target)) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(info.duration, abs=1 / RATE)
        assert container.duration / av.time_base == pytest.approx(info.duration, abs=1e-4)


@pytest.mark.parametrize("suffix", VIDEO)
@pytest.mark.parametrize("start", [0.0, 0.75])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_sound_lies_where_it_belongs(render, tmp_path, suffix, start, offset):
    """A burst half a second into the sound, in a video that begins anywhere."""
    info = probe(render("in.mp4", frames=24, rate=8, offset=offset))
    sound = np.zeros(RATE, dtype=np.float32)
    sound[RATE // 2 : RATE // 2 + 160] = tone(160, 2000)
    target = write(tmp_path / f"out{suffix}", info, sound, start=start)
    assert probe(target).start == pytest.approx(0, abs=1e-3)
    heard = np.concatenate(list(read_sound(target)))
    assert heard.size == 3 * RATE
    energy = np.convolve(heard**2, np.ones(160), mode="valid")
    assert int(np.argmax(energy)) == pytest.approx((start + 0.5) * RATE, abs=20)
    far = np.abs(np.arange(heard.size) - (start + 0.5) * RATE) > 3000
    assert np.abs(heard[far]).max() < 0.01
    with av.open(str(target)) as container:
        *_, last = (packet for packet in container.demux(audio=0) if packet.size)
        assert float((last.pts + last.duration) * last.time_base) >= 3 - 2e-3  # silence to the end of the picture


@pytest.mark.parametrize("suffix", VIDEO)
def test_rotation_survives(render, turn, tmp_path, suffix):
    path = turn(render(), (0, 1, -1, 0))
    info = probe(path)
    target = write(tmp_path / f"out{suffix}", info, tone(sample_count(info.duration)))
    assert probe(target).rotation == 90
    np.testing.assert_array_equal(list(read_frames(target)), list(read_frames(path)))


@pytest.mark.parametrize("suffix", VIDEO)
def test_colours_and_pixel_aspect_survive(render, tmp_path, suffix):
    params = "colorprim=bt709:transfer=bt709:colormatrix=bt709:sar=4/3"
    path = render("tagged.mp4", options={"x264-params": params})
    info = probe(path)
    target = write(tmp_path / f"out{suffix}", info, tone(sample_count(info.duration)))

    def tags(file):
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            return stream.sample_aspect_ratio, context.colorspace, context.color_trc, context.color_primaries

    assert tags(target) == tags(path)
    assert tags(target)[0] == Fraction(4, 3)


def test_variable_frame_rate_keeps_its_times(render, tmp_path):
    path = render(times=[0, Fraction(1, 30), Fraction(1, 8), 1, Fraction(5, 2)], rate=30)
    info = probe(path)
    target = write(tmp_path / "out.mp4", info, tone(sample_count(info.duration)))
    assert picture_times(target) == picture_times(path)


def test_a_video_trimmed_by_an_edit_list_stays_trimmed(render, tmp_path):
    """Phones trim so: all packets stay in the file, and the list says to show 1 s to 3 s."""
    path = render(frames=40, rate=10, options={"g": "20"})
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    (begin,) = struct.unpack_from(">i", data, at + 4)
    (unit,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)  # ticks per second of the film
    struct.pack_into(">Ii", data, at, 2 * unit, begin + TICKS)  # in ticks of the film, in ticks of the track
    path.write_bytes(data)
    info = probe(path)
    assert (info.start, info.duration) == (0, 2)
    target = write(tmp_path / "out.mp4", info, tone(2 * RATE))
    assert probe(target).duration == pytest.approx(2, abs=0.35)  # frames that the last ones refer to come along
    np.testing.assert_array_equal(list(read_frames(target, duration=2)), list(read_frames(path)))


def test_sound_and_pictures_lie_side_by_side(render, tmp_path):
    """So that neither writing nor playing has to hold one of them back."""
    info = probe(render(frames=120, rate=6))
    target = write(tmp_path / "out.mp4", info, tone(sample_count(info.duration)))
    latest = {"audio": 0.0, "video": 0.0}
    with av.open(str(target)) as container:
        for packet in sorted((p for p in container.demux() if p.size), key=lambda packet: packet.pos):
            latest[packet.stream.type] = float(packet.dts * packet.time_base)
            assert abs(latest["audio"] - latest["video"]) < 2.5


# Refusals


def refusal(target, source, sound=None, *, duration=1.0, **kwargs):
    sound = tone(RATE) if sound is None else sound
    with pytest.raises(MediaError) as caught:
        write(target, source, sound, duration=duration, **kwargs)
    assert "\n" not in str(caught.value)
    assert list(target.parent.glob(".mdsgen*")) == []
    assert not target.is_file()
    return str(caught.value)


@pytest.mark.parametrize("name", ["out.aiff", "out", "out.mp4.zip"])
def test_an_unknown_suffix_lists_the_known_ones(tmp_path, name):
    assert ".wav, .flac, .mp3, .m4a, .ogg, .opus, .mp4, .mkv, .mov, .webm" in refusal(tmp_path / name, None)


def test_a_video_without_a_source(tmp_path):
    assert "no pictures to put in" in refusal(tmp_path / "out.mp4", None)


@pytest.mark.parametrize(
    ("suffix", "codec", "target", "advice"),
    [(".webm", "libvpx", "out.mp4", "name a .webm file"), (".avi", "rawvideo", "out.flv", "name a .avi file")],
)
def test_a_codec_that_the_container_does_not_take(render, tmp_path, suffix, codec, target, advice):
    info = probe(render(f"in{suffix}", codec=codec))
    with (
        pytest.raises(MediaError, match="cannot hold the") as caught,
        open_writer(tmp_path / target, info, duration=2.0),
    ):
        pytest.fail("refused only after the work")
    assert advice in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("samples", [RATE - 1, RATE + 1, 0])
@pytest.mark.parametrize("name", ["out.wav", "out.mp4"])
def test_too_few_or_too_many_samples(render, tmp_path, samples, name):
    message = refusal(tmp_path / name, probe(render()), tone(samples))
    assert f"{samples} samples, but 16000 were promised" in message


def test_more_sound_than_picture(render, tmp_path):
    assert "are more than" in refusal(tmp_path / "out.mp4", probe(render()), duration=3.0)


def test_sound_that_is_not_a_number(tmp_path):
    assert "not numbers" in refusal(tmp_path / "out.wav", None, np.full(RATE, np.nan, dtype=np.float32))


@pytest.mark.parametrize("block", [np.zeros((1, 5), np.float32), np.zeros(5), np.zeros(5, np.int16)])
def test_sound_of_another_kind(tmp_path, block):
    with (
        pytest.raises(TensorError, match="expected sound as float32"),
        open_writer(tmp_path / "a.wav", None, duration=1) as writer,
    ):
        writer.write(block)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.wav", "out.flac", "out.mp4", "out.mkv", "out.mov"])
def test_ctrl_c_leaves_nothing(render, tmp_path, name):
    info = probe(render())
    with pytest.raises(KeyboardInterrupt), open_writer(tmp_path / name, info, duration=2.0) as writer:  # noqa: PT012
        writer.write(tone(RATE))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_error_of_the_caller_stays_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="mine"), open_writer(tmp_path / "out.wav", None, duration=1.0):
        raise FileNotFoundError("mine")


@pytest.mark.parametrize("name", ["out.wav", "out.flac", "out.mp4", "out.mkv"])
@pytest.mark.parametrize("limit", [100, 60_000])
def test_a_disk_that_fills_up(render, tmp_path, file_size_limit, name, limit):
    noise = lambda index: np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)  # noqa: E731
    info = probe(render(picture=noise, frames=40, rate=4, options={"crf": "1"}))
    sound = np.random.default_rng(0).uniform(-1, 1, 10 * RATE).astype(np.float32)
    with file_size_limit(limit):
        message = refusal(tmp_path / name, info, sound, duration=10.0)
    assert "File too large" in message


def test_a_folder_that_is_not_there(tmp_path):
    assert "there is no folder" in refusal(tmp_path / "absent" / "out.wav", None)


def test_the_source_itself(render):
    path = render()
    before = path.read_bytes()
    with pytest.raises(MediaError, match="is the video that is read"), open_writer(path, probe(path), duration=2.0):
        pytest.fail("opened")
    assert path.read_bytes() == before
