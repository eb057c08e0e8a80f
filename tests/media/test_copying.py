"""A film's pictures and what belongs to them, from one container into another."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from mdsgen.errors import MediaError
from mdsgen.media import Output, open_writer, probe, sample_count
from mdsgen.media.formats import FORMATS
from mdsgen.media.stream_copy import holds, stream_like

SECOND = 1000
knows_chapters = pytest.mark.skipif(
    not hasattr(av.container.OutputContainer, "set_chapters"), reason="this PyAV has no chapters"
)


def write(target, path, **output):
    info = probe(path)
    with open_writer(target, info, duration=info.duration, output=Output(**output)) as writer:
        writer.write(np.zeros(sample_count(info.duration), np.float32))
    return writer.notes


@pytest.fixture
def subtitled(render):
    """A film of two seconds with title, date, place, chapters, a language and two lines of SubRip."""
    silent = render("silent.avi", rate=10, frames=20)
    lines = "1\n00:00:00,200 --> 00:00:00,900\nOne\n\n2\n00:00:01,100 --> 00:00:01,800\nTwo\n"
    (render.folder / "lines.srt").write_text(lines)
    path = render.folder / "film.mkv"
    with (
        av.open(str(silent)) as pictures,
        av.open(str(render.folder / "lines.srt")) as words,
        av.open(str(path), "w") as output,
    ):
        output.metadata.update(title="Holiday", creation_time="2024-05-01T10:00:00Z", location="+48.1+011.5/")
        add_chapters(output, [(0, "One"), (1, "Two")])
        picture, word = (copied(source, output) for source in (pictures.streams.video[0], words.streams.subtitles[0]))
        picture.metadata["timecode"] = "01:00:00:00"
        word.metadata["language"] = "ger"
        fill(output, [(pictures.streams.video[0], picture), (words.streams.subtitles[0], word)])
    return path


def add_chapters(output, chapters):
    """Chapters of a second each, where this PyAV knows them."""
    if hasattr(output, "set_chapters"):
        unit, entries = Fraction(1, SECOND), []
        for index, (start, title) in enumerate(chapters):
            times = {"start": start * SECOND, "end": (start + 1) * SECOND, "time_base": unit}
            entries.append({"id": index, **times, "metadata": {"title": title}})
        output.set_chapters(entries)


def copied(stream, output):
    return stream_like(stream, output, FORMATS[".mkv"], stream.time_base, Fraction(10))[0]


def fill(output, copies):
    for source, copy in copies:
        for packet in source.container.demux(source):
            if packet.size:
                packet.stream = copy
                output.mux(packet)


def told(path):
    """Title, date, place, chapters, time code, and the subtitles' language and lines."""
    with av.open(str(path)) as container:
        said = {key.lower(): value for key, value in container.metadata.items()}
        codes = [stream.metadata.get("timecode") or stream.metadata.get("TIMECODE") for stream in container.streams]
        titles = []
        if hasattr(container, "chapters"):
            for chapter in container.chapters():
                start = float(chapter["start"] * chapter["time_base"])
                titles.append((start, chapter["metadata"]["title"]))
        languages = [stream.metadata.get("language") for stream in container.streams.subtitles]
        words = [bytes(p) for p in container.demux(container.streams.subtitles) if p.size] if languages else []
    timecode = next((code for code in codes if code), None)
    return (
        said.get("title"),
        said.get("creation_time", "")[:10],
        said.get("location"),
        titles,
        timecode,
        languages,
        words,
    )


def test_matroska_keeps_all_of_it(subtitled, tmp_path):
    assert write(tmp_path / "out.mkv", subtitled) == []
    assert told(tmp_path / "out.mkv") == told(subtitled)
    title, date, place, chapters, timecode, languages, words = told(tmp_path / "out.mkv")
    assert (title, date, place) == ("Holiday", "2024-05-01", "+48.1+011.5/")
    assert (timecode, languages, words) == ("01:00:00:00", ["ger"], [b"One", b"Two"])
    if hasattr(av.container.OutputContainer, "set_chapters"):
        assert chapters == [(0, "One"), (1, "Two")]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_mp4_keeps_what_it_can_and_the_rest_is_said(subtitled, tmp_path, suffix):
    (note,) = write(tmp_path / f"out{suffix}", subtitled)
    assert note == f"{tmp_path / f'out{suffix}'} leaves out: subtitles (srt, ger)"
    title, date, place, chapters, timecode, _, _ = told(tmp_path / f"out{suffix}")
    assert (title, date) == ("Holiday", "2024-05-01")
    assert timecode.startswith("01:00:00:0")  # one digit where a second has ten pictures
    assert place.startswith("+48.1")
    assert chapters == told(subtitled)[3]


@knows_chapters
def test_chapters_count_from_the_first_picture(render, tmp_path):
    late = render("late.mkv", rate=10, frames=20, offset=5.0)
    path = tmp_path / "film.mkv"
    with av.open(str(late)) as source, av.open(str(path), "w") as output:
        add_chapters(output, [(6, "One")])
        stream = source.streams.video[0]
        fill(output, [(stream, copied(stream, output))])
    write(tmp_path / "out.mkv", path)
    assert told(tmp_path / "out.mkv")[3] == [(1.0, "One")]


def alpha(path):
    """The smallest and the greatest opacity in the first picture of a VP9 film."""
    decoder = av.CodecContext.create("libvpx-vp9", "r")
    with av.open(str(path)) as container:
        packet = next(iter(container.demux(video=0)))
        (frame,) = [*decoder.decode(packet), *decoder.decode(None)]
    return None if frame.format.name != "yuva420p" else frame.reformat(format="rgba").to_ndarray()[..., 3]


def test_transparency_is_kept_in_matroska_and_missed_in_mp4(render, tmp_path):
    path = render.folder / "a.webm"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx-vp9", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        for index in range(5):
            picture = np.full((48, 64, 4), 200, np.uint8)
            picture[:, :32, 3] = 0
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert write(tmp_path / "out.mkv", path) == []
    assert write(tmp_path / "out.webm", path) == []
    for name in ("out.mkv", "out.webm"):
        opacity = alpha(tmp_path / name)
        assert (opacity.min() < 20, opacity.max() > 180) == (True, True)
        np.testing.assert_array_equal(opacity, alpha(path))
    (note,) = write(tmp_path / "out.mp4", path)
    assert note.endswith("leaves out: transparency")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_high_dynamic_range_is_kept(render, tmp_path, suffix):
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    colours = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    options = f"log-level=none:{colours}:master-display={display}:max-cll=1000,400"
    path = render("hdr.mp4", codec="libx265", size=(64, 64), pix_fmt="yuv420p10le", options={"x265-params": options})
    write(tmp_path / f"out{suffix}", path)

    def light(file):
        with av.open(str(file)) as container:
            frame = next(container.decode(video=0))
            found = [
                data if hasattr(data, "type") else frame.side_data[data] for data in frame.side_data
            ]  # PyAV 19: keys
            kinds = {str(data.type).rpartition(".")[2]: bytes(data) for data in found}
            context = container.streams.video[0].codec_context
            colours = context.color_primaries, context.color_trc, context.colorspace
            return colours, kinds.get("MASTERING_DISPLAY_METADATA"), kinds.get("CONTENT_LIGHT_LEVEL")

    assert light(tmp_path / f"out{suffix}") == light(path)
    assert light(path)[0] == (9, 16, 9)
    assert all(light(path)[1:])


def test_an_original_sound_that_the_container_cannot_hold_is_refused_before_work(render, tmp_path):
    path = render("a.avi", rate=10, sound=np.zeros(16_000), sound_codec="pcm_u8")
    info = probe(path)
    with (
        pytest.raises(
            MediaError, match=r"a mp4 file cannot hold the sound \(pcm_u8\) of .*; name a \.mkv file"
        ) as caught,
        open_writer(tmp_path / "out.mp4", info, duration=info.duration, output=Output(keep_original=True)),
    ):
        pytest.fail("opened")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_a_container_holds(render):
    with av.open(str(render("a.webm", codec="libvpx"))) as container:
        stream = container.streams.video[0]
        assert [suffix for suffix in (".mp4", ".mov", ".mkv", ".webm") if holds(FORMATS[suffix], stream)] == [
            ".mkv",
            ".webm",
        ]
