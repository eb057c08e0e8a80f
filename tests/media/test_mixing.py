"""Generated sound blended into a video's own, at the rate and in the channels of the latter, or set beside it."""

from __future__ import annotations

import av
import numpy as np
import pytest

from mdsgen.media import Output, open_writer, probe

RATE = 16_000


@pytest.fixture
def film_with(render):
    """A silent film of two seconds, joined with a tone: ``film_with("a.mkv", 48_000, "stereo", "pcm_s16le")``."""

    def make(name, rate, layout, codec, frequency=300):
        silent = render(f"silent-{name}", codec="mpeg4", rate=10, frames=20)
        path = render.folder / name
        channels = av.AudioLayout(layout).nb_channels
        wave = tone(2 * rate, frequency, rate) * np.linspace(1, 0.5, channels, dtype=np.float32)[:, np.newaxis]
        with av.open(str(silent)) as source, av.open(str(path), "w") as output:
            pictures = output.add_stream_from_template(source.streams.video[0])
            track = output.add_stream(codec, rate=rate, layout=layout)
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = pictures
                    output.mux(packet)
            for first in range(0, 2 * rate, 960):
                block = np.ascontiguousarray(wave[:, first : first + 960])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate, frame.pts = rate, first
                output.mux(track.encode(frame))
            output.mux(track.encode(None))
        return path

    return make


def tone(samples, frequency, rate=RATE):
    return (0.4 * np.sin(2 * np.pi * frequency * np.arange(samples) / rate)).astype(np.float32)


def write(target, path, sound, **output):
    info = probe(path)
    with open_writer(target, info, duration=len(sound) / RATE, output=Output(**output)) as writer:
        for block in np.array_split(sound, 5):
            writer.write(block)
    return writer.notes


def decoded(path, track=0):
    """``[channels, samples]`` of a sound track, and its rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout.name, rate=stream.rate)
        frames = [out for frame in [*container.decode(stream), None] for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), stream.rate


@pytest.mark.parametrize(
    ("rate", "layout"), [(48_000, "stereo"), (44_100, "stereo"), (44_100, "mono"), (16_000, "stereo"), (48_000, "5.1")]
)
def test_rate_and_channels_are_the_original_s(film_with, tmp_path, rate, layout):
    path = film_with("a.mkv", rate, layout, "pcm_s16le")
    write(tmp_path / "out.wav", path, tone(2 * RATE, 1000), mix=0.5)
    mixed, at = decoded(tmp_path / "out.wav")
    original, _ = decoded(path)
    assert (at, mixed.shape) == (rate, original.shape)
    expected = 0.5 * original
    expected[:2] += 0.5 * tone(2 * rate, 1000, rate)
    inner = slice(rate // 20, -rate // 20)  # resampling needs neighbours
    np.testing.assert_allclose(mixed[:, inner], expected[:, inner], atol=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".mp3", ".ogg"])
def test_a_mix_of_one_sounds_like_the_original_in_every_codec(film_with, tmp_path, suffix):
    path = film_with("a.mkv", 44_100, "stereo", "pcm_s16le")
    target = tmp_path / f"out{suffix}"
    write(target, path, tone(2 * RATE, 1000), mix=1.0)
    mixed, rate = decoded(target)
    assert rate == (48_000 if suffix == ".ogg" else 44_100)
    left, right = mixed[:, rate // 2 : rate + rate // 2]
    assert np.abs(np.fft.rfft(left)).argmax() == 300
    assert np.abs(left).max() / np.abs(right).max() == pytest.approx(2, rel=0.1)


def test_a_part_is_mixed_where_it_lies(film_with, tmp_path):
    path = film_with("a.mkv", 48_000, "stereo", "pcm_s16le")
    info = probe(path)
    with open_writer(tmp_path / "out.mov", info, start=0.5, duration=1.0, output=Output(mix=1.0)) as writer:
        writer.write(np.zeros(RATE, np.float32))
    mixed, _ = decoded(tmp_path / "out.mov")
    loud = np.square(mixed[0][: 4 * 24_000]).reshape(4, -1).mean(axis=1)  # per half second
    assert loud[[1, 2]].min() > 100 * loud[[0, 3]].max()


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libopus"), ("a.mov", "pcm_s16le"), ("a.mp4", "aac")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_original_is_kept_packet_for_packet(film_with, tmp_path, sound_packets, name, codec, suffix):
    path = film_with(name, 48_000, "stereo", codec)
    write(tmp_path / f"out{suffix}", path, tone(2 * RATE, 1000), keep_original=True)
    original, new = sound_packets(tmp_path / f"out{suffix}")
    assert [original] == sound_packets(path)
    assert new
    kept, rate = decoded(tmp_path / f"out{suffix}", 0)
    added, at = decoded(tmp_path / f"out{suffix}", 1)
    assert (rate, len(kept), at, len(added)) == (48_000, 2, RATE, 1)
    assert np.abs(np.fft.rfft(added[0][RATE // 2 : RATE + RATE // 2])).argmax() == 1000


def test_a_mix_may_stand_beside_the_original(film_with, tmp_path):
    path = film_with("a.mkv", 48_000, "stereo", "pcm_s16le")
    write(tmp_path / "out.mkv", path, tone(2 * RATE, 1000), keep_original=True, mix=0.5)
    assert [decoded(tmp_path / "out.mkv", track)[1] for track in (0, 1)] == [48_000, 48_000]


@pytest.mark.parametrize("how", [{"mix": 0.3}, {"keep_original": True}])
def test_a_silent_film_gets_its_sound_and_a_note(render, tmp_path, sound_packets, how):
    path = render("a.mp4", rate=10, frames=20)
    (note,) = write(tmp_path / "out.mp4", path, tone(2 * RATE, 1000), **how)
    assert "has no sound of its own" in note
    assert len(sound_packets(tmp_path / "out.mp4")) == 1
