"""``mdsgen-run``: any video in, the same video with sound out, and one clear line where that cannot be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import Result

from mdsgen import Pipeline, Sampling, __version__
from mdsgen.bundle import Bundle
from mdsgen.cli import run as module
from mdsgen.media import probe, read_sound
from tests.media.conftest import Renderer, grey, turn
from tests.runner import Runner

Run = Callable[..., Result]
Packets = Callable[[Path], list[bytes]]
Heard = Callable[[Path], np.ndarray]
SoundPackets = Callable[[Path], list[list[bytes]]]

STAGES = ["video decoding", "video encoder", "conditioning", "denoiser", "latent decoder", "vocoder", "writing"]


@pytest.fixture
def run(bundle_path: Path) -> Run:
    """The command with the fixture bundle and, where nobody says otherwise, a single step."""

    def invoke(*arguments: object, bundle: Path | None = bundle_path, steps: int | None = 1) -> Result:
        words = [str(argument) for argument in arguments]
        words += ["--bundle", str(bundle)] if bundle else []
        words += ["--steps", str(steps)] if steps else []
        words += [] if "--engine" in words else ["--engine", "onnxruntime"]  # a first trial would say what it found
        return Runner(env={"MDSGEN_BUNDLE": ""}).invoke(module.main, words)

    return invoke


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(result: Result) -> str:
    """The one line on stderr of a run that failed."""
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


# One video


def test_a_video_gets_its_sound_beside_it(run: Run, film: Renderer, packets: Packets) -> None:
    path = film("a.webm", frames=12, rate=4)
    result = run(path)
    assert (result.exit_code, result.stderr) == (0, "")
    target = path.with_name("a.mdsgen.mp4")
    assert names(path.parent) == ["a.mdsgen.mp4", "a.webm"]
    assert packets(target) == packets(path)
    assert probe(target).has_audio
    assert probe(target).duration == pytest.approx(3.0, abs=1e-3)


def test_one_line_says_what_it_took(run: Run, film: Renderer) -> None:
    path = film(frames=8, rate=4)
    line = run(path).stdout
    assert line.count("\n") == 1
    assert line.startswith(f"{path.with_name('video.mdsgen.mp4')}: 2.000 s of sound in ")
    assert "real-time factor" in line
    places = [line.index(f"{stage} ") for stage in STAGES]
    assert places == sorted(places)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".mp4", ".mkv", ".mov"])
def test_the_output_s_name_chooses_the_format(
    run: Run, film: Renderer, tmp_path: Path, heard: Heard, suffix: str
) -> None:
    path, target = film(frames=8, rate=4), tmp_path / f"out{suffix}"
    assert run(path, "-o", target).exit_code == 0
    assert names(tmp_path) == ["films", target.name]
    assert names(path.parent) == ["video.mp4"]
    assert np.abs(heard(target)[: 2 * 16_000]).max() > 0.01


def test_json_says_all_that_makes_the_result_again(run: Run, film: Renderer, bundle_path: Path, tmp_path: Path) -> None:
    path = film(frames=8, rate=4)
    result = run(path, "-o", tmp_path / "a.flac", "--json", "--engine", "onnxruntime", "--seed", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert (document["engine"], document["providers"]) == ("onnxruntime", ["CPUExecutionProvider"])
    assert document["failures"] == []
    bundle = Bundle.open(bundle_path)
    assert (document["mdsgen"], document["bundle_sha256"]) == (__version__, bundle.sha256)
    assert (document["precision"], document["seed"]) == (bundle.manifest.precision, 3)
    assert Sampling.from_dict(document["sampling"]) == bundle.sampling.changed(steps=1)
    assert document["engine_version"] == version("onnxruntime")
    (entry,) = document["results"]
    assert entry["streams"] == [{"kind": "audio", "codec": "flac", "sample_rate": 16_000, "channels": 1}]
    assert (entry["source"], entry["target"]) == (str(path), str(tmp_path / "a.flac"))
    assert (entry["seconds"], entry["sample_rate"]) == (2.0, 16_000)
    assert list(entry["timings"]) == STAGES
    assert entry["real_time_factor"] == entry["total"] / 2.0


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--seed", "5"], {"seed": 5}),
        (["--steps", "3"], {"steps": 3}),
        (["--guidance", "1.5"], {"guidance": 1.5}),
        (["--quality", "fast", "--solver", "ddim"], {"quality": "fast", "solver": "ddim"}),
        (["--guidance-interval", "300", "700"], {"guidance_interval": (300.0, 700.0)}),
        (["--start", "0.5", "--duration", "1"], {"start": 0.5, "duration": 1.0}),
        (["--threads", "1", "--engine", "onnxruntime", "--provider", "CPUExecutionProvider"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_are_the_pipeline_s(
    run: Run,
    pipeline: Pipeline,
    film: Renderer,
    tmp_path: Path,
    heard: Heard,
    options: list[str],
    settings: dict[str, Any],
) -> None:
    path, target = film(frames=8, rate=4), tmp_path / "out.flac"
    assert run(path, "-o", target, *options, steps=None).exit_code == 0
    expected = pipeline(path, **settings).audio
    np.testing.assert_allclose(heard(target), expected, atol=2e-4)  # threads may add in another order
    if settings:
        plain = pipeline(path).audio
        assert len(plain) != len(expected) or np.abs(plain - expected).max() > 0.01


def test_mix_keeps_a_share_of_the_original(run: Run, film: Renderer, tmp_path: Path, heard: Heard) -> None:
    tone = np.sin(np.arange(32_000) / 5).astype(np.float32) / 2
    path = film("a.mov", frames=8, rate=4, sound=tone)
    assert run(path, "-o", tmp_path / "out.flac", "--mix", "1").exit_code == 0
    np.testing.assert_allclose(heard(tmp_path / "out.flac"), np.concatenate(list(read_sound(path))), atol=1e-4)


def test_a_silent_video_has_nothing_to_mix_and_is_no_failure(run: Run, film: Renderer) -> None:
    result = run(film("b.mp4", frames=8, rate=4), "--mix", "0.5")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert result.stderr.startswith("note: ")
    assert "has no sound of its own" in result.stderr
    assert names(film.folder) == ["b.mdsgen.mp4", "b.mp4"]


def test_the_original_stays_beside_the_new_sound(run: Run, film: Renderer, sound_packets: SoundPackets) -> None:
    path = film("a.mp4", frames=8, rate=4, sound=np.sin(np.arange(32_000) / 5).astype(np.float32) / 2)
    assert run(path, "--keep-original").exit_code == 0
    original, new = sound_packets(film.folder / "a.mdsgen.mp4")
    assert [original] == sound_packets(path)
    assert new
    wrong = run(path, "--keep-original", "-o", film.folder / "out.wav")
    assert wrong.exit_code == 2
    assert "a .wav file cannot keep the original sound" in wrong.stderr


def test_pictures_that_mp4_cannot_hold_get_their_own_container_and_a_note(run: Run, film: Renderer) -> None:
    path = film("a.webm", codec="libvpx", frames=8, rate=4)
    result = run(path)
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert "a .webm file, since .mp4 cannot hold the vp8 pictures" in result.stderr
    assert names(film.folder) == ["a.mdsgen.webm", "a.webm"]
    (entry,) = json.loads(run(path, "--json").stdout)["results"]
    assert ["a .webm file" in note for note in entry["notes"]] == [True]


@pytest.mark.parametrize("suffix", ["mkv", "mp3"])
def test_a_format_for_every_result(run: Run, film: Renderer, tmp_path: Path, suffix: str) -> None:
    films = [film(name, frames=8, rate=4) for name in ("a.mp4", "b.webm")]
    assert run(*films, "--format", suffix, "-o", tmp_path / "out").exit_code == 0
    assert names(tmp_path / "out") == [f"a.mdsgen.{suffix}", f"b.mdsgen.{suffix}"]
    wrong = run(films[0], "--format", suffix, "-o", tmp_path / "a.mov")
    assert wrong.exit_code == 2
    assert "not the same format" in wrong.stderr


def test_a_folder_is_made_where_the_output_ends_like_one(run: Run, film: Renderer, tmp_path: Path) -> None:
    assert run(film("a.mp4", frames=8, rate=4), "-o", f"{tmp_path}/new/out/").exit_code == 0
    assert names(tmp_path / "new" / "out") == ["a.mdsgen.mp4"]


def test_a_bundle_is_found_where_it_is_expected(
    run: Run, bundle_path: Path, film: Renderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = film(frames=8, rate=4)
    monkeypatch.setattr("mdsgen.bundle.default.DEMO_FOLDER", tmp_path / "demo")
    assert "this installation has no demo model" in refused(run(path, bundle=None))
    shutil.copytree(bundle_path, tmp_path / "demo")
    assert json.loads(run(path, "--json", bundle=None).stdout)["bundle"] == str(tmp_path / "demo")
    command = Runner(env={"MDSGEN_BUNDLE": str(bundle_path)})
    of_environment = command.invoke(module.main, [str(path), "--steps=1", "--json"])
    assert json.loads(of_environment.stdout)["bundle"] == str(bundle_path)


# Several videos


def test_several_videos_and_folders_with_the_engines_opened_once(
    run: Run, film: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = [film(name, frames=8, rate=4) for name in ("a.mp4", "b.mkv")]
    folder = tmp_path / "folder"
    (folder / "more.mp4").mkdir(parents=True)
    for name in ("c.MOV", "d.avi", ".hidden.mp4", "c.mdsgen.mp4", "notes.txt"):
        shutil.copy(films[0], folder / name)
    opened = []
    really_open = Pipeline.open

    def counted(*how: Any, **options: Any) -> Pipeline:
        opened.append(how)
        return really_open(*how, **options)

    monkeypatch.setattr(Pipeline, "open", counted)
    result = run(*films, folder, "-o", tmp_path / "new" / "out")
    left_out = "1 earlier result, 1 folder (see --recursive), 1 hidden file, 1 other file"
    assert (result.exit_code, result.stderr) == (0, f"{folder}: 2 videos; left out: {left_out}\n")
    assert result.stdout.count("\n") == 4
    assert names(tmp_path / "new" / "out") == [f"{name}.mdsgen.mp4" for name in "abcd"]
    assert len(opened) == 1


def test_one_bad_video_does_not_stop_the_others(run: Run, film: Renderer, tmp_path: Path) -> None:
    good = [film(name, frames=8, rate=4) for name in ("a.mp4", "c.mp4")]
    bad = film.folder / "b.mp4"
    bad.write_bytes(b"this is not a video")
    result = run(good[0], bad, good[1])
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        str(path.with_suffix(".mdsgen.mp4")) for path in good
    ]
    assert [line for line in result.stderr.splitlines() if str(bad) in line] == result.stderr.splitlines()[:1]
    assert result.stderr.splitlines()[1:] == ["error: 1 of 3 videos failed"]
    assert names(film.folder) == ["a.mdsgen.mp4", "a.mp4", "b.mp4", "c.mdsgen.mp4", "c.mp4"]
    documents = run(good[0], bad, good[1], "--json")
    assert documents.exit_code == 1
    document = json.loads(documents.stdout)
    assert [Path(entry["source"]) for entry in document["results"]] == good
    assert [Path(entry["source"]) for entry in document["failures"]] == [bad]
    assert "cannot read" in document["failures"][0]["error"]
    alone = run(bad, "--json")
    assert alone.exit_code == 1
    found = json.loads(alone.stdout)
    assert (found["results"], found["failures"]) == ([], document["failures"])
    assert alone.stderr == f"error: {document['failures'][0]['error']}\n"


def test_quiet_says_nothing_but_what_went_wrong(run: Run, film: Renderer, tmp_path: Path) -> None:
    good, bad = film("a.mp4", frames=8, rate=4), tmp_path / "none.mp4"
    assert run(good, "--quiet").output == ""
    assert run(good, bad, "--quiet").stderr.splitlines()[-1] == "error: 1 of 2 videos failed"


# Wrong use


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "-1"],
        ["--steps", "0"],
        ["--steps", "1001"],
        ["--guidance", "nan"],
        ["--guidance", "much"],
        ["--guidance", "-5"],
        ["--start", "-1"],
        ["--start", "nan"],
        ["--duration", "0"],
        ["--duration", "inf"],
        ["--mix", "1.5"],
        ["--mix", "nan"],
        ["--threads", "0"],
        ["--nonsense"],
    ],
    ids=" ".join,
)
def test_impossible_options_are_wrong_use(run: Run, film: Renderer, options: list[str]) -> None:
    path = film(frames=8, rate=4)
    result = run(path, *options, steps=None)
    assert (result.exit_code, result.stdout) == (2, "")
    assert options[0] in result.stderr
    assert names(path.parent) == [path.name]


def test_outputs_that_would_be_one_are_wrong_use(run: Run, film: Renderer, tmp_path: Path) -> None:
    one, other = film("a.mp4"), film("a.mkv")
    (tmp_path / "empty").mkdir()
    uses: list[tuple[list[object], str]] = [
        ([], "Missing argument"),
        ([one, other], "several videos would become"),
        ([one, one], "several videos would become"),
        ([one, film("b.mp4"), "-o", tmp_path / "out.mp4"], "need a folder"),
        ([tmp_path / "empty"], "no videos in"),
    ]
    for arguments, complaint in uses:
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert complaint in result.stderr
    assert names(tmp_path) == ["empty", "films"]


def test_help_tells_everything(run: Run) -> None:
    page = run("--help").stdout
    for word in (
        "VIDEOS",
        "--output",
        "--bundle",
        "MDSGEN_BUNDLE",
        "--engine",
        "onnxruntime",
        "--mix",
        "--json",
        "--debug",
    ):
        assert word in page


# Videos that are none


def song(film: Renderer) -> Path:
    with av.open(str(film.folder / "song.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return film.folder / "song.mp4"


def written(film: Renderer, content: bytes) -> Path:
    path = film.folder / "video.mp4"
    path.write_bytes(content)
    return path


BAD: dict[str, tuple[Callable[[Renderer], Path], str]] = {
    "absent": (lambda film: film.folder / "absent.mp4", "no such file"),
    "not a video": (lambda film: written(film, b"words " * 500), "cannot read|text file"),
    "empty": (lambda film: written(film, b""), "cannot read"),
    "sound alone": (song, "no moving pictures"),
    "no frames": (lambda film: film(frames=0, sound=np.zeros(1600)), "no picture|cannot read|no moving pictures"),
    "one frame": (lambda film: film(frames=1), "single frame"),
    "truncated": (lambda film: written(film, film("whole.mp4").read_bytes()[:-700]), "ends early"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_video_is_refused(run: Run, film: Renderer, tmp_path: Path, kind: str) -> None:
    make, complaint = BAD[kind]
    path = make(film)
    before = names(film.folder)
    line = refused(run(path))
    assert str(path) in line
    assert any(words in line for words in complaint.split("|"))
    assert (names(film.folder), names(tmp_path)) == (before, ["films"])


def test_a_part_that_is_not_there_is_refused(run: Run, film: Renderer) -> None:
    assert "start 2 s lies outside" in refused(run(film(frames=8, rate=4), "--start", "2"))
    assert names(film.folder) == ["video.mp4"]


# Odd videos


ODD: dict[str, Callable[[Renderer], Path]] = {
    "variable frame rate": lambda film: film(times=[0, Fraction(1, 30), Fraction(1, 8), 1, Fraction(5, 2)], rate=30),
    "rotated": lambda film: turn(film(), (0, 1, -1, 0)),
    "1 fps": lambda film: film(frames=3, rate=1),
    "120 fps": lambda film: film(frames=120, rate=120),
    "8K": lambda film: film(frames=2, size=(7680, 4320), picture=lambda _: grey(90, (7680, 4320)), codec="mpeg4"),
    "16×16": lambda film: film(size=(16, 16)),
    "odd start": lambda film: film(offset=7.25),
    "with sound": lambda film: film(sound=np.zeros(32_000)),
    "mkv": lambda film: film("a.mkv"),
    "webm": lambda film: film("a.webm"),
    "mov": lambda film: film("a.mov"),
    "avi": lambda film: film("a.avi"),
    "a colon in its name": lambda film: film("file:http:a.mp4"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_videos_work(run: Run, film: Renderer, packets: Packets, kind: str) -> None:
    path = ODD[kind](film)
    result = run(path, "-o", film.folder / "out.mp4")
    assert (result.exit_code, result.stderr) == (0, "")
    before, after = probe(path), probe(film.folder / "out.mp4")
    assert packets(film.folder / "out.mp4") == packets(path)
    assert after.duration == pytest.approx(before.duration, abs=2e-3)
    assert (after.width, after.height, after.rotation) == (before.width, before.height, before.rotation)
    sound = np.concatenate(list(read_sound(after)))
    assert len(sound) == round(after.duration * 16_000)
    assert np.abs(sound).max() > 0.01


# Targets that cannot be written


def test_a_target_that_cannot_be_written_is_refused(run: Run, film: Renderer, tmp_path: Path) -> None:
    path = film()
    before = path.read_bytes()
    assert "cannot write /proc/mdsgen.wav" in refused(run(path, "-o", "/proc/mdsgen.wav"))
    assert path.read_bytes() == before
    assert (names(tmp_path), names(film.folder)) == (["films"], ["video.mp4"])


def test_a_folder_that_cannot_be_made_is_refused(run: Run, film: Renderer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    line = refused(run(film("a.mp4"), film("b.mp4"), "-o", tmp_path / "file" / "folder"))
    assert "cannot make the folder" in line


@pytest.mark.parametrize("target", ["out.wav", "out.mp4"])
def test_a_full_disk_leaves_nothing(
    run: Run,
    film: Renderer,
    tmp_path: Path,
    file_size_limit: Callable[[int], AbstractContextManager[None]],
    target: str,
) -> None:
    path = film(frames=32, rate=4)
    with file_size_limit(4000):
        line = refused(run(path, "-o", tmp_path / target))
    assert "cannot write" in line
    assert names(tmp_path) == ["films"]


# Bundles and engines


@pytest.fixture
def copied_bundle(bundle_path: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle_path, tmp_path / "bundle")


def test_a_flipped_byte_in_the_bundle_is_noticed(run: Run, film: Renderer, copied_bundle: Path) -> None:
    weights = copied_bundle / "denoiser.weights"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    assert "denoiser.weights is damaged: expected SHA-256" in refused(run(film(), bundle=copied_bundle))
    assert names(film.folder) == ["video.mp4"]


def test_a_bundle_of_an_unknown_schema_is_refused(run: Run, film: Renderer, copied_bundle: Path) -> None:
    manifest = json.loads((copied_bundle / "manifest.json").read_text())
    (copied_bundle / "manifest.json").write_text(json.dumps(manifest | {"schema": 99}))
    assert "bundle schema 99 is unknown" in refused(run(film(), bundle=copied_bundle))
    assert names(film.folder) == ["video.mp4"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--provider", "AbacusExecutionProvider"], "ONNX Runtime cannot use AbacusExecutionProvider here"),
        (["--bundle", "nowhere"], "nowhere: expected a bundle"),
    ],
    ids=["provider", "bundle"],
)
def test_a_provider_or_a_bundle_that_is_not_there(
    run: Run, film: Renderer, tmp_path: Path, options: list[str], complaint: str
) -> None:
    paths = [film("a.mp4"), film("b.mp4")]
    bundle: dict[str, Any] = {"bundle": None} if "--bundle" in options else {}
    assert complaint in refused(run(*paths, *options, "-o", tmp_path / "out", **bundle))
    assert (names(film.folder), names(tmp_path)) == (["a.mp4", "b.mp4"], ["films"])


# As a program of its own


def program(*arguments: object) -> list[str]:
    """The command as a process of its own, on the engine that needs no first trial, which would be said."""
    return [sys.executable, "-m", "mdsgen.cli.run", *map(str, arguments), "--engine", "onnxruntime"]


LEAN = """
import importlib.abc, runpy, sys

class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "PIL"):
            raise ImportError(f"{name} is not on the device")

sys.meta_path.insert(0, Refusal())
runpy.run_module("mdsgen.cli.run", run_name="__main__", alter_sys=True)
"""


def test_a_device_without_pytorch_and_onnx_is_enough(bundle_path: Path, film: Renderer) -> None:
    path = film(frames=8, rate=4)
    options = ["--bundle", str(bundle_path), "--steps", "1", "--engine", "onnxruntime", "--json"]
    command = [sys.executable, "-c", LEAN, str(path), *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["failures"] == []
    assert names(film.folder) == ["video.mdsgen.mp4", "video.mp4"]


def test_two_processes_make_the_same_bytes(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    path = film(frames=40, rate=4)
    for name in ("one.flac", "two.flac"):
        command = program(path, "-o", tmp_path / name, "--bundle", bundle_path, "--seed", 9, "--threads", 1)
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert (tmp_path / "one.flac").read_bytes() == (tmp_path / "two.flac").read_bytes()


def test_a_name_of_the_hub_is_no_video(run: Run) -> None:
    result = run("hf://owner/film.mp4")
    assert result.exit_code == 2
    assert "hf://owner/film.mp4 is no file of this machine" in result.stderr


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (["-o", "-"], "only live sound goes to a pipe"),
        (["--format", "raw"], "--format raw is for live sound to a pipe"),
    ],
    ids=["pipe", "raw"],
)
def test_what_only_live_sound_can_have_is_refused(run: Run, film: Renderer, option: list[str], complaint: str) -> None:
    result = run(film(frames=4), *option)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_a_failure_has_no_traceback_but_with_debug(film: Renderer, bundle_path: Path) -> None:
    command = program(film.folder / "absent.mp4", "--bundle", bundle_path)
    plain = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (plain.returncode, plain.stdout) == (1, "")
    assert plain.stderr == f"error: no such file: {film.folder / 'absent.mp4'}\n"
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, timeout=60, check=False)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr


def test_ctrl_c_says_so_and_leaves_nothing(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    path = film(frames=400, rate=4)
    command = program(path, "-o", tmp_path / "out.mp4", "--bundle", bundle_path, "--steps", 1000)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The child of a background job ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    ) as process:
        deadline = time.monotonic() + 60
        while names(tmp_path) == ["films"]:  # until the file is begun
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert (names(tmp_path), names(film.folder)) == (["films"], ["video.mp4"])


def test_a_terminal_gets_a_bar_and_a_pipe_does_not(bundle_path: Path, film: Renderer) -> None:
    command = program(film(frames=40, rate=4), "--bundle", bundle_path, "--steps", 5)
    leader, follower = os.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                block = os.read(leader, 4096)
            except OSError:  # the program is gone
                break
            shown += block
        assert process.stdout is not None
        line = process.stdout.read()
    os.close(leader)
    assert process.returncode == 0
    assert b"video.mp4" in shown
    assert b"100%" in shown
    assert line.count(b"\n") == 1


def test_a_result_never_overwrites_an_input(bundle_path: Path, film: Renderer, tmp_path: Path) -> None:
    first, second = film("a.mp4", frames=8, rate=4), film("a.mdsgen.mp4", frames=8, rate=4)
    before = second.read_bytes()
    result = Runner().invoke(module.main, [str(first), str(second), "--bundle", str(bundle_path)])
    assert result.exit_code == 2
    assert "would overwrite" in result.stderr
    assert second.read_bytes() == before
