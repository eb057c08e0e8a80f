"""Decoding from a given time on."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.errors import MediaError, TensorError
from mdsgen.media.container import SEEK_MARGIN, decode, muxing, open_input, picture_stream, sound_stream


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
@pytest.mark.parametrize("since", [0.0, 3.3, 9.5])
def test_decoding_begins_shortly_before(render, suffix, since):
    path = render(f"video{suffix}", frames=100, rate=10, options={"g": "10"}, sound=np.zeros(160_000))
    for choose in (picture_stream, sound_stream):
        first = next(decode(path, choose, since))
        assert since - SEEK_MARGIN - 1.2 <= first.time <= since  # a second between key frames


def test_all_frames_without_a_time(render):
    frames = list(decode(render(frames=10, rate=5), picture_stream))
    assert [float(frame.pts * frame.time_base) for frame in frames] == [index / 5 for index in range(10)]


def test_metadata_in_an_odd_encoding_stops_nobody(render):
    """Old cameras and editors write what they like where UTF-8 is due."""
    path = render()
    data = path.read_bytes()
    assert data.count(b"Lavf") == 1  # the writing program's name
    path.write_bytes(data.replace(b"Lavf", b"L\xe9v\xff"))
    with open_input(path) as container:
        assert container.metadata["encoder"].startswith("L")
    assert len(list(decode(path, picture_stream))) == 8


@pytest.mark.parametrize("fault", [OSError(28, "No space left"), ValueError("No space left")])
def test_what_a_library_raises_over_a_target_is_one_line(fault):
    with pytest.raises(MediaError, match=r"^cannot write out\.mp4: No space left$"), muxing("out.mp4"):
        raise fault
    with pytest.raises(TensorError, match=r"^no sound$"), muxing("out.mp4"):
        raise TensorError("no sound")


LISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nnamed.ts\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile named.ts\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_file_cannot_name_others_to_be_read(render, name):
    path = render("named.ts").with_name(name)
    path.write_text(LISTS[name])
    with pytest.raises(MediaError, match=r"cannot read .* as a video"), open_input(path):
        pass
