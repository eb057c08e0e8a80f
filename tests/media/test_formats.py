"""What can be written, by the suffix of a name."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mdsgen.errors import MediaError, SettingsError
from mdsgen.media import FORMATS, Output, open_writer, probe, read_sound, sample_count
from mdsgen.media.formats import film_suffixes, format_of

RATE = 16_000
SOUND = {
    ".wav": ("pcm_s16le", RATE),
    ".flac": ("flac", RATE),
    ".mp3": ("mp3", RATE),
    ".m4a": ("aac", RATE),
    ".ogg": ("opus", 48_000),  # which is how Opus counts, whatever it was made of
    ".opus": ("opus", 48_000),
}
FILMS = {
    ".mp4": ("in.mkv", "libx264"),
    ".mkv": ("in.mp4", "libx264"),
    ".mov": ("in.mkv", "libx264"),
    ".webm": ("in.mkv", "libvpx"),
    ".avi": ("in.mkv", "mpeg4"),
    ".flv": ("in.flv", "flv"),
    ".wmv": ("in.wmv", "wmv2"),
    ".3gp": ("in.mkv", "mpeg4"),
}


def tone(samples):
    """A rising one, which is nowhere the same."""
    time = np.arange(samples) / RATE
    return (0.5 * np.sin(2 * np.pi * (300 + 200 * time) * time)).astype(np.float32)


def correlation(heard, sound):
    length = min(len(heard), len(sound))
    return np.corrcoef(heard[800 : length - 800], sound[800 : length - 800])[0, 1]


def test_every_format_is_tried_here():
    assert {suffix for suffix, kind in FORMATS.items() if kind.pictures is None} == set(SOUND)
    assert {suffix for suffix, kind in FORMATS.items() if kind.pictures} == set(FILMS)


@pytest.mark.parametrize("suffix", SOUND)
def test_sound_alone_in_every_format(tmp_path, heard, suffix):
    sound, target = tone(RATE), tmp_path / f"sound{suffix}"
    with open_writer(target, None, duration=1.0) as writer:
        writer.write(sound)
    with av.open(str(target)) as container:
        (stream,) = container.streams
        codec, rate = SOUND[suffix]
        assert stream.codec_context.name in (codec, f"{codec}float", f"lib{codec}")  # as decoders are called
        assert stream.rate == rate
    delay = 1105 if suffix == ".mp3" else 0  # LAME's, which players take off
    assert correlation(heard(target)[delay:], sound) > 0.99


@pytest.mark.parametrize("suffix", FILMS)
def test_pictures_and_sound_in_every_format(render, tmp_path, packets, suffix):
    name, codec = FILMS[suffix]
    path = render(name, codec=codec, rate=10, frames=12)
    info, target = probe(path), tmp_path / f"film{suffix}"
    sound = tone(sample_count(info.duration))
    with open_writer(target, info, duration=info.duration) as writer:
        writer.write(sound)
    assert packets(target) == packets(path)
    assert correlation(np.concatenate(list(read_sound(target))), sound) > 0.99


def test_a_build_without_an_encoder_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, ".mp3", type(FORMATS[".mp3"])("mp3", "libnonesuch"))
    with (
        pytest.raises(MediaError, match="this build of PyAV has no encoder libnonesuch"),
        open_writer(tmp_path / "a.mp3", None, duration=1.0),
    ):
        pytest.fail("opened")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [
        ("a.mp4", [".mp4", ".mkv", ".mov"]),
        ("a.WEBM", [".mp4", ".webm", ".mkv", ".mov"]),
        ("a.m4v", [".mp4", ".mkv", ".mov"]),
        ("a.asf", [".mp4", ".wmv", ".mkv", ".mov"]),
        ("a.gif", [".mp4", ".mkv", ".mov"]),
        ("a.wav", [".mp4", ".mkv", ".mov"]),
    ],
)
def test_the_best_known_container_comes_first_then_the_source_s_own(name, suffixes):
    assert film_suffixes(Path(name)) == suffixes


def test_a_name_of_no_known_format_is_refused():
    assert format_of(Path("a.MP4")) is FORMATS[".mp4"]
    with pytest.raises(MediaError, match=r"expected a name that ends in \.wav, "):
        format_of(Path("a.doc"))


@pytest.mark.parametrize("mix", [-0.1, 1.1, float("nan")])
def test_an_impossible_mix_is_refused(mix):
    with pytest.raises(SettingsError, match="mix must be 0 to 1"):
        Output(mix=mix)


def test_impossible_outputs_are_refused():
    with pytest.raises(SettingsError, match=r"format 'mp4' is unknown: expected one of \.wav"):
        Output(format="mp4")
    with pytest.raises(SettingsError, match=r"a \.wav file cannot keep the original sound beside the new"):
        Output(keep_original=True, format=".wav")
    with pytest.raises(SettingsError, match=r"a \.mp3 file cannot keep"):
        Output(keep_original=True).check(Path("a.mp3"))
