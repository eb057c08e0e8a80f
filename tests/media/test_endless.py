"""Sound of a length that nobody knows yet."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from mdsgen.errors import MediaError, SettingsError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.media.endless import open_sink

TONE = (0.5 * np.sin(np.arange(SAMPLE_RATE) / 10)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_file_is_there_when_it_is_finished(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"sound{suffix}"
    with open_sink(str(target)) as sink:
        for block in np.split(TONE, 4):
            sink.write(block)
        assert not target.exists()
    with av.open(str(target)) as container:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    rate = 3 if suffix == ".ogg" else 1  # Opus counts in 48 kHz
    assert abs(len(sound) - rate * len(TONE)) <= 1000 * rate
    assert sound.any()


def test_what_is_left_by_a_fault_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError), open_sink(str(tmp_path / "sound.wav")) as sink:
        sink.write("no sound")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["-", "sound.wav"])
@pytest.mark.parametrize("fault", [SettingsError("no seed"), ConnectionResetError("gone"), ValueError("a bug")])
def test_what_others_raise_meanwhile_is_no_fault_of_the_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, fault: Exception
) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=Pipe()))
    with pytest.raises(type(fault)) as caught, open_sink(target if target == "-" else str(tmp_path / target)):
        raise fault
    assert caught.value is fault
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["wav", "raw"])
def test_a_pipe_that_nobody_reads_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe))
        with pytest.raises(MediaError, match=r"^cannot write standard output: .*[Pp]ipe"), open_sink("-", form) as sink:
            sink.write(TONE)


class Pipe(io.BytesIO):
    """Standard output that cannot go back."""

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Keep what was written."""


@pytest.mark.parametrize("form", ["wav", "raw"])
def test_a_pipe_gets_every_block_at_once(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe))
    header = 0 if form == "raw" else 100
    with open_sink("-", form) as sink:
        for count, block in enumerate(np.split(TONE, 4), 1):
            sink.write(block)
            assert 0 <= len(pipe.getvalue()) - count * len(block) * 2 <= header
    written = np.frombuffer(pipe.getvalue()[-2 * len(TONE) :], "<i2")
    np.testing.assert_array_equal(written, np.rint(TONE * 32767))


@pytest.mark.parametrize(
    ("target", "form", "fault"),
    [
        ("sound.mp4", None, "written alone"),
        ("sound.xyz", None, "expected a name that ends in"),
        ("-", "flac", "expected wav or raw"),
        ("pulse:x", None, "cannot"),
    ],
)
def test_what_cannot_be_is_one_clear_line(tmp_path: Path, target: str, form: str | None, fault: str) -> None:
    name = target if target[0] in "-p" else str(tmp_path / target)
    with pytest.raises(MediaError, match=fault), open_sink(name, form):
        pass
