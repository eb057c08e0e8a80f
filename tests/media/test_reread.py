"""What was written is read again before it gets its name."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.media import open_writer, probe
from mdsgen.media.reread import Expected, reread

AS_IT_IS = [Expected("video", 2.0, 20, "h264"), Expected("audio", 2.0)]


@pytest.fixture
def film(render):
    return render("a.mp4", rate=10, frames=20, sound=np.zeros(32_000))


def test_a_whole_file_says_what_it_tells(film):
    assert reread(film, AS_IT_IS) == set()
    assert reread(film, AS_IT_IS[::-1]) == set()  # in whatever order


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        (AS_IT_IS[:1], "read again it holds audio, video instead of video"),
        ([*AS_IT_IS, Expected("subtitle", 1.0, 3)], "holds audio, video instead of audio, subtitle, video"),
        ([Expected("video", 2.0, 21, "h264"), AS_IT_IS[1]], "its video has 20 packets instead of 21"),
        ([Expected("video", 2.0, 20, "hevc"), AS_IT_IS[1]], "its video is h264 instead of hevc"),
        ([Expected("video", 5.0, 20, "h264"), AS_IT_IS[1]], r"its video lasts \d\.\d{3} s instead of 5\.000 s"),
        ([AS_IT_IS[0], Expected("audio", 3.0)], r"its audio lasts 2\.\d{3} s instead of 3\.000 s"),
    ],
)
def test_what_is_missing_is_named(film, expected, complaint):
    with pytest.raises(MediaError, match=complaint):
        reread(film, expected)


def test_a_file_that_cannot_be_opened(film):
    film.write_bytes(film.read_bytes()[:-300])
    with pytest.raises(MediaError, match="it cannot be read again") as caught:
        reread(film, AS_IT_IS)
    assert str(film) not in str(caught.value)
    film.write_bytes(b"")
    with pytest.raises(MediaError, match="it cannot be read again"):
        reread(film, AS_IT_IS)


def test_pictures_that_nobody_can_decode(render):
    film = render("a.mkv", rate=10, frames=3, codec="ffv1")
    data = bytearray(film.read_bytes())
    at = data.index(b"V_MS/VFW/FOURCC") if b"V_MS/VFW/FOURCC" in data else data.index(b"V_FFV1")
    data[at + 40 :] = bytes(byte ^ 0xA5 if index % 7 == 0 else byte for index, byte in enumerate(data[at + 40 :]))
    film.write_bytes(data)
    with pytest.raises(MediaError, match=r"read again|cannot be"):
        reread(film, [Expected("video", 0.3, 3, "ffv1")])


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.wav"])
def test_a_file_that_is_spoilt_while_it_is_written_never_gets_its_name(film, tmp_path, name):
    info, target = probe(film), tmp_path / name
    target.write_bytes(b"before")
    writing = open_writer(target, info, duration=2.0)
    with pytest.raises(MediaError, match="cannot write ") as caught, writing as writer:
        spoil_when_closed(writer, tmp_path).write(np.zeros(32_000, np.float32))
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", name]


def spoil_when_closed(writer, folder):
    """Cut the file off when it has been written."""
    (hidden,) = folder.glob(".mdsgen-*")
    container = writer._container

    class Spoilt:
        def __getattr__(self, name):
            return getattr(container, name)

        def close(self):
            container.close()
            hidden.write_bytes(hidden.read_bytes()[: hidden.stat().st_size // 3])

    writer._container = Spoilt()
    return writer
