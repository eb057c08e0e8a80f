"""Files that were cut off are told by their headers."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.media import probe
from mdsgen.media.truncation import refuse_truncated

FILES = {
    "a.mp4": {},
    "front.mp4": {"container_options": {"movflags": "faststart"}},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "4"}},
    "a.mov": {},
    "a.mkv": {},
    "a.webm": {},
    "a.avi": {},
}


def _noise(index):
    return np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", FILES)
def test_whole_files_pass_and_cut_ones_do_not(render, name):
    path = render(name, picture=_noise, **FILES[name])
    probe(path)
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(MediaError, match=r"ends early: it holds .* bytes that its header promises"):
            probe(path)


@pytest.mark.parametrize("name", FILES)
def test_bytes_behind_the_end_do_no_harm(render, name):
    path = render(name)
    duration = probe(path).duration
    for tail in (b"\0" * 100, b"\xff" * 100):
        path.write_bytes(path.read_bytes() + tail)
        assert probe(path).duration == duration


def test_an_open_length_is_no_promise(render):
    path = render("live.webm", picture=_noise, container_options={"live": "1"})
    path.write_bytes(path.read_bytes()[:-200])
    refuse_truncated(path)
    assert probe(path).duration > 1


@pytest.mark.parametrize(
    "data", [b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x80", b"RIFF", b"\0\0\0\x08moov", b"x" * 40]
)
def test_stubs_are_left_to_the_demuxer(tmp_path, data):
    path = tmp_path / "stub"
    path.write_bytes(data)
    with pytest.raises(MediaError) as refusal:
        probe(path)
    assert "ends early" not in str(refusal.value)
