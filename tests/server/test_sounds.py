"""``POST /v1/sounds``: the film in, the file with its sound out, and one clear line where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.media import open_writer, probe
from tests.media.conftest import Renderer
from tests.server.conftest import Answer, Running

BOUNDARY = "----a film"


def form(*parts: tuple[str, bytes], end: str = "--") -> bytes:
    """A multipart form of ``(Content-Disposition, content)``."""
    dash = f"--{BOUNDARY}".encode()
    bodies = [dash + f"\r\nContent-Disposition: {head}\r\n\r\n".encode() + content for head, content in parts]
    return b"\r\n".join([*bodies, dash + end.encode()])


def refused(answer: Answer, status: int) -> str:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    return answer.error


def kept(answer: Answer, path: Path) -> Path:
    assert answer.status == 200, answer.body
    path.write_bytes(answer.body)
    return path


# What comes back


def test_a_film_comes_back_with_its_sound(server: Running, clip: bytes, tmp_path: Path) -> None:
    answer = server.sound("steps=1", clip)
    info = probe(kept(answer, tmp_path / "a.mp4"))
    assert (info.has_audio, info.duration) == (True, pytest.approx(2.0, abs=1e-3))
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == 'attachment; filename="mdsgen.mp4"'
    assert "denoiser;dur=" in answer.headers["server-timing"]


def test_it_is_the_sound_that_the_pipeline_makes(
    server: Running, pipeline: Pipeline, clip: bytes, tmp_path: Path
) -> None:
    answer = server.sound("steps=2&seed=5&guidance=1.5&solver=ddim&start=0.5&duration=1&format=wav", clip)
    (tmp_path / "clip.mp4").write_bytes(clip)
    own = pipeline(tmp_path / "clip.mp4", seed=5, steps=2, guidance=1.5, solver="ddim", start=0.5, duration=1.0)
    with open_writer(tmp_path / "own.wav", None, duration=1.0) as writer:
        writer.write(own.audio)
    assert kept(answer, tmp_path / "served.wav").read_bytes() == (tmp_path / "own.wav").read_bytes()


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "*/*", "video/mp4"),
        ("", "audio/flac", "audio/flac"),
        ("", "text/html, audio/*;q=0.5", "audio/wav"),
        ("", "audio/flac;q=0.5, audio/x-wav", "audio/wav"),
        ("&format=flac", "video/mp4", "audio/flac"),
        ("&format=mkv", "", "video/x-matroska"),
    ],
)
def test_the_client_chooses_the_kind_of_file(server: Running, clip: bytes, query: str, accept: str, kind: str) -> None:
    answer = server.sound(f"steps=1{query}", clip, Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)


def test_a_form_holds_the_film_beside_other_fields(
    server: Running, clip: bytes, tmp_path: Path, heard: Callable[[Path], np.ndarray]
) -> None:
    fields = form(
        ('form-data; name="note"', b"for the garden"),
        ('form-data; name="video"; filename="../../../etc/passwd"', clip),
        ('form-data; name="video"; filename="second"', b"passed over"),
    )
    content_type = f'multipart/form-data; boundary="{BOUNDARY}"'
    answer = server.sound("steps=1&format=wav", fields, Content_Type=content_type)
    assert np.abs(heard(kept(answer, tmp_path / "a.wav"))).max() > 0.01
    assert answer.body == server.sound("steps=1&format=wav", clip).body


def test_a_body_may_come_in_pieces(server: Running, clip: bytes) -> None:
    pieces = (clip[start : start + 1000] for start in range(0, len(clip), 1000))
    answer = server.sound("steps=1&format=wav", pieces)
    assert answer.body == server.sound("steps=1&format=wav", clip).body


def test_a_film_from_a_browser_s_camera_has_no_length_in_its_header(
    server: Running, film: Renderer, tmp_path: Path
) -> None:
    path = film("live.webm", frames=8, rate=4, container_options={"live": "1"})
    answer = server.sound("steps=1&format=webm", path.read_bytes())
    assert probe(kept(answer, tmp_path / "a.webm")).duration == pytest.approx(2.0, abs=0.3)


# What is refused


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("steps=0", "steps must be a whole number, 1 or more, not '0'"),
        ("steps=51", "steps may be 50 at most here, not 51"),
        ("steps=x", "steps must be a whole number, 1 or more, not 'x'"),
        ("seed=-1", "seed must be a whole number, 0 or more, not '-1'"),
        ("guidance=nan", "guidance must be a number, not 'nan'"),
        ("solver=euler", "solver must be one of ddim, dpm-2m, dpm-3m, unipc-2, unipc-3, not 'euler'"),
        ("quality=loud", "quality must be one of fast, balanced, best, not 'loud'"),
        (
            "guidance_interval=700,300",
            "guidance_interval must be two numbers, low and high, the lower one first, not (700.0, 300.0)",
        ),
        ("format=exe", "format must be one of mp4, mkv, mov, webm, wav, flac, not 'exe'"),
        ("job=../a", "job must be 1 to 64 letters, digits, - and _, not '../a'"),
        ("seed=1&seed=2", "'seed' is there more than once"),
        ("colour=blue", "unknown parameter 'colour': expected one of seed, start, duration, quality, steps,"),
        ("start=9", "start 9 s lies outside the film, which lasts 2.000 s"),
        ("duration=0", "a duration must be positive, not 0 s"),
    ],
)
def test_impossible_settings(server: Running, clip: bytes, query: str, message: str) -> None:
    assert refused(server.sound(query, clip), 422).startswith(message)


def test_what_is_no_film(server: Running) -> None:
    assert "cannot read the film as a video" in refused(server.sound("", b"Dear server, \r\n" * 99), 422)


def test_a_film_that_is_cut_off(server: Running, clip: bytes) -> None:
    message = refused(server.sound("", clip[: len(clip) * 2 // 3]), 422)
    assert "the film" in message
    assert str(server.folder) not in message


@pytest.mark.parametrize("body", [b"", None, form(('form-data; name="video"', b"not a file"))])
def test_no_film_at_all(server: Running, body: bytes | None) -> None:
    content_type = f'multipart/form-data; boundary="{BOUNDARY}"' if body else "video/mp4"
    assert refused(server.sound("", body, Content_Type=content_type), 422).startswith("the request holds no film")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no form", "the body is not the multipart form that its Content-Type promises"),
        (form(('form-data; name="video"; filename="a"', b"cut off"), end=""), "the multipart form is cut off"),
        (form(('form-data; filename="' + "a" * 9000 + '"', b"x")), "multipart form"),  # too long a header
    ],
)
def test_a_form_that_is_none(server: Running, body: bytes, message: str) -> None:
    content_type = f'multipart/form-data; boundary="{BOUNDARY}"'
    assert message in refused(server.sound("", body, Content_Type=content_type), 400)


def test_a_form_without_a_boundary(server: Running) -> None:
    assert "boundary" in refused(server.sound("", b"x", Content_Type="multipart/form-data"), 400)


@pytest.mark.parametrize("is_form", [False, True])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_too_large_a_film(server: Running, is_form: bool, in_pieces: bool) -> None:
    film = bytes(2**20 + 1)
    content = form(('form-data; filename="a"', film)) if is_form else film
    body = iter([content]) if in_pieces else content
    content_type = f'multipart/form-data; boundary="{BOUNDARY}"' if is_form else "video/mp4"
    assert refused(server.sound("", body, Content_Type=content_type), 413) == "a film may have 1 MiB here"


def test_a_far_too_large_film_is_refused_before_it_is_sent(server: Running) -> None:
    request = f"POST /v1/sounds HTTP/1.1|Host: {server.host}|Content-Length: 99999999999|Expect: 100-continue"
    with server.open(request) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_too_long_a_film(server: Running, film: Renderer) -> None:
    long = film(frames=84, rate=4).read_bytes()
    assert refused(server.sound("steps=1", long), 422).startswith("21.0 s of sound are asked for: 20 s are the most")
    assert server.sound("steps=1&duration=1&format=wav", long).status == 200


def test_a_compressed_body(server: Running, clip: bytes) -> None:
    assert "Content-Encoding" in refused(server.sound("", clip, Content_Encoding="gzip"), 415)


def test_types_that_are_never_made(server: Running, clip: bytes) -> None:
    assert refused(server.sound("", clip, Accept="text/html, audio/wav;q=0"), 406).startswith("there are video/mp4")


@pytest.mark.parametrize("playlist", ["#EXTM3U\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {0}\n"])
def test_no_upload_names_a_file_of_the_server(
    server: Running, clip: bytes, tmp_path: Path, playlist: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private.mp4").write_bytes(clip)
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "private.mp4", "private.mp4"):
        assert "cannot read the film" in refused(server.sound("steps=1", playlist.format(name).encode()), 422)


def test_an_answer_can_fail_without_an_end_of_the_server(
    server: Running, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mdsgen.server.studio.render", lambda *_, **__: 1 / 0)
        assert refused(server.sound("steps=1", clip), 500) == "the server failed: its log says why"
    assert server.sound("steps=1", clip).status == 200
