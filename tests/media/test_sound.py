"""A video's own sound, on the picture's time line."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.media import probe, read_sound, sample_count

RATE = 16_000


def tone(seconds, frequency=440.0):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def click(seconds, at):
    sound = np.zeros(round(seconds * RATE), dtype=np.float32)
    sound[round(at * RATE)] = 0.9
    return sound


def whole(*args, **kwargs):
    return np.concatenate(list(read_sound(*args, **kwargs)))


def test_all_samples_as_they_were(render):
    sound = tone(2.0)
    heard = whole(render("video.mkv", sound=sound))
    assert heard.dtype == np.float32
    np.testing.assert_allclose(heard, sound, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.webm", "libopus"), ("a.mov", "pcm_s16le"), ("a.avi", "pcm_s16le")]
)
def test_every_container_and_codec(render, name, codec):
    sound = tone(2.0)
    heard = whole(render(name, sound=sound, sound_codec=codec))
    assert heard.shape == (2 * RATE,)
    inner = slice(2000, -2000)
    assert np.corrcoef(heard[inner], sound[inner])[0, 1] > 0.99  # in step, to a fraction of a millisecond


@pytest.mark.parametrize("sound_offset", [0.0, 0.4, 1.3])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_silence_before_and_cut_where_the_sound_begins_elsewhere(render, offset, sound_offset):
    """A click 0.3 s into the sound is heard where it belongs on the picture's clock."""
    path = render("shifted.mkv", offset=offset, sound=click(0.6, 0.3), sound_offset=sound_offset)
    heard = whole(path)
    assert heard.shape == (sample_count(probe(path).duration),)
    place = sound_offset + 0.3 - offset
    if place < 0:
        assert not heard.any()
    else:
        assert np.argmax(np.abs(heard)) == pytest.approx(place * RATE, abs=16)  # Matroska rounds to 1 ms
        assert np.abs(heard[round((place + 0.35) * RATE) :]).max(initial=0) == 0


@pytest.mark.parametrize(("start", "duration"), [(0.5, None), (1.0, 0.25), (0.123, 0.4), (1.9, 5.0)])
def test_a_part_of_it(render, start, duration):
    sound = tone(2.0)
    info = probe(render("video.mkv", sound=sound))
    part = whole(info, start=start, duration=duration)
    assert part.shape == (sample_count(info.remaining(start, duration)),)
    first = round(start * RATE)
    np.testing.assert_allclose(part, sound[first : first + part.size], atol=1e-4)


def test_longer_than_the_picture_is_cut(render):
    assert whole(render("long.mkv", sound=tone(5.0))).shape == (2 * RATE,)


def test_none_is_an_error(render):
    path = render()
    with pytest.raises(MediaError, match="has no sound of its own"):
        read_sound(path)


def test_memory_does_not_grow_with_the_length(render):
    path = render("long.mkv", frames=300, rate=2, size=(16, 16), codec="ffv1", sound=tone(100.0))
    tracemalloc.start()
    try:
        blocks = [block.size for block in read_sound(path)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(blocks) == 150 * RATE
    assert max(blocks) <= RATE
    assert peak < 2_000_000  # 9.6 MB in all
