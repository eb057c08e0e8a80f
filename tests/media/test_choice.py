"""The container that a result gets where nobody names one."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.media import Output, choose_suffix

CHOICES = [
    ("a.mp4", "libx264", "yuv420p", ".mp4"),
    ("a.webm", "libvpx-vp9", "yuv420p", ".mp4"),
    ("a.webm", "libvpx", "yuv420p", ".webm"),
    ("a.mkv", "libvpx", "yuv420p", ".mkv"),
    ("a.webm", "libvpx-vp9", "yuva420p", ".webm"),
    ("a.mov", "prores_ks", "yuv422p10le", ".mov"),
    ("a.wmv", "wmv2", "yuv420p", ".wmv"),
    ("a.flv", "flv", "yuv420p", ".flv"),
    ("a.gif", "gif", "rgb8", ".mkv"),
    ("a.avi", "rawvideo", "yuv420p", ".avi"),
]


@pytest.mark.parametrize(("name", "codec", "pix_fmt", "suffix"), CHOICES)
def test_mp4_then_the_source_s_own_then_matroska(render, name, codec, pix_fmt, suffix):
    chosen, reason = choose_suffix(render(name, codec=codec, pix_fmt=pix_fmt, rate=10, frames=3), Output())
    assert chosen == suffix
    if suffix == ".mp4":
        assert reason is None
    else:
        assert reason.startswith(f"a {suffix} file, since .mp4 cannot hold the ")
        assert name in reason


def test_a_format_that_is_named_is_taken(render):
    assert choose_suffix(render("a.webm", codec="libvpx"), Output(format=".mov")) == (".mov", None)


def test_an_original_sound_that_is_kept_has_a_say(render):
    path = render("a.avi", rate=10, sound=np.zeros(16_000), sound_codec="pcm_u8")
    assert choose_suffix(path, Output()) == (".mp4", None)
    suffix, reason = choose_suffix(path, Output(keep_original=True))
    assert (suffix, "cannot hold the pcm_u8 sound" in reason) == (".avi", True)


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_what_cannot_be_read_is_left_to_whoever_reads_it(tmp_path, content):
    (tmp_path / "a.webm").write_bytes(content)
    assert choose_suffix(tmp_path / "a.webm", Output()) == (".mp4", None)
    assert choose_suffix(tmp_path / "absent.webm", Output()) == (".mp4", None)
