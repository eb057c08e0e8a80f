"""What no command can do as it is asked is wrong use: exit code 2, said before anything is opened or written."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.runner import Runner

LIVE = "run - -o"
REFUSED = [
    ("run a.mp4 -o out.aiff", "expected a name that ends in .wav"),
    ("run a.mp4 -o absent/out.mp4", "there is no folder absent"),
    (f"run a.mp4 -o {'x' * 300}.wav", "File name too long"),
    ("run a.mp4 -o a.mp4", "it is the video that is read"),
    ("run a.mp4 b.mp4 -o a.mp4", "need a folder"),
    ("run a.mp4 b.mp4 -o file", "need a folder"),
    ("run a.mp4 --format wav --keep-original", "cannot keep the original sound"),
    ("run a.mp4 --guidance-interval 700 300", "guidance_interval must be"),
    ("run a.mp4 --threads 2000", "1<=x<=1024"),
    ("run a.mp4 --live -o y.mp4", "the sound of a live source is written alone"),
    (f"{LIVE} y.aiff", "expected a name that ends in .wav"),
    (f"{LIVE} {'y' * 300}.wav", "File name too long"),
    (f"{LIVE} absent/y.wav", "there is no folder absent"),
    (f"{LIVE} y.wav --format mp3", "its name says another format"),
    (f"{LIVE} - --format flac", "expected wav or raw"),
    (f"{LIVE} alsa:default --format wav", "without a format"),
    ("run - --format wav", "without a format"),
    (f"{LIVE} y.wav --block 3 --lookahead 9", "longer than the model's window"),
    ("eval --guidance-interval 700 300", "guidance_interval must be"),
    ("export --untrained --precision int8-weights --engine tensorrt", "there are no plans of int8-weights"),
    ("serve --engine jax", "'onnxruntime'"),
    ("serve --host 0.0.0.0", "give a --token"),
    ("serve --token short", "a token must be"),
    ("train prepare empty", "no videos in empty"),
]


@pytest.mark.parametrize(("line", "complaint"), REFUSED, ids=[line[:60] for line, _ in REFUSED])
def test_wrong_use_has_exit_code_2(
    line: str, complaint: str, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *words = line.split()
    for library in {"train": ["torch"], "serve": ["starlette", "uvicorn"]}.get(name, []):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for file in ("a.mp4", "b.mp4", "file"):
        Path(file).touch()
    before = sorted(tmp_path.iterdir())
    settings = {"MDSGEN_BUNDLE": str(bundle_path), "MDSGEN_TOKEN": None}
    result = Runner(env=settings).invoke(import_module(f"mdsgen.cli.{name}").main, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr.splitlines()[-1]
    assert sorted(tmp_path.iterdir()) == before


def test_a_film_that_is_not_there_is_said_to_be_so_where_its_result_is_there(bundle_path: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.wav"
    result.write_bytes(b"before")
    ran = Runner(env={"MDSGEN_BUNDLE": str(bundle_path)}).invoke(
        import_module("mdsgen.cli.run").main, [str(tmp_path / "absent.mp4"), "-o", str(result)]
    )
    assert (ran.exit_code, result.read_bytes()) == (1, b"before")
    assert ran.stderr.splitlines()[-1] == f"error: no such file: {tmp_path / 'absent.mp4'}"
