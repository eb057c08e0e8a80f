"""The commands of ``mdsgen-train``: a whole model from nothing, and every way to go wrong."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from mdsgen.cli.export import main as export
from mdsgen.cli.train import main
from mdsgen.errors import SettingsError
from mdsgen.runtime import Pipeline
from mdsgen.training.loop import Trainer
from mdsgen.training.recipe import STAGES, load_recipe
from mdsgen.training.shards import Shards
from mdsgen.training.trained import (
    final_stage,
    load_autoencoder,
    load_denoiser,
    load_judge,
    load_video_encoder,
    load_vocoder,
)
from tests.media.conftest import Renderer
from tests.runner import Runner
from tests.threads import one_thread

ORDER = [
    *("prepare", "video-encoder", "autoencoder", "vocoder", "judge"),
    *("encode", "denoiser", "distil"),
    *("decode", "noisy-vocoder"),
    "fidelity",
]

SMALL = """
geometry = {{ name = "small", latent = [4, 2, 16], time_axis = 1, patch = 2, compression = 8, latent_scale = 1.0, \
mel = {{ bins = 16, hop = 256, fft = 1024, f_min = 125.0, f_max = 7600.0, scale = "unit_db" }} }}

[autoencoder]
width = {width}
crop = 64

[autoencoder.training]
steps = {steps}
batch = 2
learning_rate = 1e-3
checkpoint_every = 100
"""
"""One stage of one tiny model, over 2.048 s."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def run(*arguments: object) -> Result:
    return Runner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def small(tmp_path: Path, film: Renderer) -> Path:
    """A folder with a recipe and prepared clips."""
    (tmp_path / "small.toml").write_text(SMALL.format(width=8, steps=6))
    for number in range(3):
        sound = 0.1 * np.random.default_rng(number).standard_normal(20_000)
        film(f"{number}.mp4", frames=10, rate=8, sound=sound)
    result = run("prepare", film.folder, "--recipe", tmp_path / "small.toml", "--work", tmp_path)
    assert result.exit_code == 0, result.output
    return tmp_path


def train(folder: Path, **recipe: int) -> Result:
    if recipe:
        (folder / "small.toml").write_text(SMALL.format(**({"width": 8, "steps": 6} | recipe)))
    return run("autoencoder", "--recipe", folder / "small.toml", "--work", folder)


@pytest.mark.timeout(120)
def test_a_whole_model_is_trained_from_nothing_and_latents_alone_travel(tmp_path: Path) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    for command in ORDER:
        if command == "denoiser":
            carry(("latents",), home, away)
        work = away if command in ("denoiser", "distil") else home
        few = ["--scenes", 1] if command == "fidelity" else []
        result = run(command, "--recipe", "toy", "--work", work, "--threads", 1, *few)
        assert result.exit_code == 0, f"{command}: {result.output}"
        stage = {"distil": "student"}.get(command, command.replace("-", "_"))
        if stage in STAGES:
            folder = work / stage
            assert result.stdout == f"{folder / 'weights.safetensors'}\n"
            assert {"checkpoint.pt", "log.csv", "weights.safetensors"} <= {path.name for path in folder.iterdir()}
        if command == "distil":
            carry(("denoiser", "student"), away, home)
    assert {path.name for path in away.iterdir()} == {"latents", "denoiser", "student"}
    assert {path.name for path in home.iterdir()} == {"clips", "latents", "decoded", *STAGES}
    video_encoder, autoencoder = (
        load_video_encoder(home / "video_encoder"),
        load_autoencoder(home / "autoencoder"),
    )
    vocoder = load_vocoder(home / final_stage(home, "vocoder"))
    denoiser = load_denoiser(home / final_stage(home, "denoiser"))
    assert vocoder.noise_head is not None
    assert load_judge(home / "judge")
    clips, latents = Shards(home / "clips"), Shards(home / "latents")
    assert len(clips) == len(latents) == 12
    with torch.no_grad():  # the five networks fit each other
        features = video_encoder(torch.rand(1, 64, 3, 56, 56))
        latent = denoiser(torch.randn(1, 4, 16, 32), torch.zeros(1), features)[:, :4]
        sound = vocoder(autoencoder.decode(latent).squeeze(1).transpose(1, 2))
    assert sound.shape == (1, denoiser.geometry.samples)
    export_and_hear(home)


def carry(names: Iterable[str], source: Path, target: Path) -> None:
    """Copy folders from one work folder to another, as from one machine to another."""
    for name in names:
        shutil.copytree(source / name, target / name)


def export_and_hear(work: Path) -> None:
    """What was trained becomes a bundle that runs without PyTorch."""
    result = Runner().invoke(
        export, ["--trained", str(work), "--precision", "fp16-weights", "-o", str(work / "bundle")]
    )
    assert result.exit_code == 0, result.output
    with Pipeline.open(work / "bundle") as pipeline:
        assert (
            pipeline.bundle.manifest.provenance["denoiser"]["steps"]
            == load_recipe("toy").section("denoiser").training.steps
        )
        assert {"vocoder", "noisy_vocoder", "student"} <= set(pipeline.bundle.manifest.provenance)
        assert (pipeline.bundle.sampling.steps, pipeline.bundle.sampling.guidance) == (4, 1.0)
        assert pipeline.bundle.manifest.continues
        with pytest.raises(SettingsError, match="distilled at guidance 2"):
            pipeline.bundle.sampling.changed(guidance=3.0)
        sound = pipeline(np.zeros((17, 64, 64, 3), np.uint8), frame_rate=4)
    assert len(sound.audio) == 68_000


def test_commands_are_listed_in_the_order_in_which_they_are_run() -> None:
    text = run("--help").stdout
    assert [line.split()[0] for line in text.split("Commands:")[1].splitlines() if line.strip()] == ORDER


@pytest.mark.parametrize("command", ORDER)
def test_every_command_explains_its_options(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    for option in ("--recipe", "--work", "--threads", "--debug"):
        assert option in result.stdout


def test_a_finished_training_says_so_and_leaves_it_at_that(small: Path) -> None:
    assert train(small).exit_code == 0
    weights = small / "autoencoder" / "weights.safetensors"
    before = weights.read_bytes(), weights.stat().st_mtime_ns
    again = train(small)
    assert (again.exit_code, again.stdout) == (0, f"{weights}\n")
    assert again.stderr.startswith(f"finished already: {weights}")
    assert (weights.read_bytes(), weights.stat().st_mtime_ns) == before


def test_an_interrupted_training_says_how_to_go_on_and_does(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._train_step

    def pressing(self: Trainer) -> dict[str, torch.Tensor]:
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Trainer, "_train_step", pressing)
    stopped = train(small)
    assert stopped.exit_code == 130
    folder = small / "autoencoder"
    assert stopped.stderr.endswith(f"kept step 3 in {folder}: the same command goes on from there\ninterrupted\n")
    assert not (folder / "weights.safetensors").exists()
    monkeypatch.undo()
    rest = train(small)
    assert rest.exit_code == 0
    first, second, *_ = rest.stderr.splitlines()
    assert (first.split(",")[0], second) == ("training the autoencoder on cpu", "going on from step 3")
    with (folder / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["6"]


def test_the_same_recipe_gives_the_same_weights(small: Path) -> None:
    train(small)
    (small / "autoencoder").rename(small / "first")
    train(small)
    first, second = (small / name / "weights.safetensors" for name in ("first", "autoencoder"))
    assert first.read_bytes() == second.read_bytes()


def test_another_recipe_does_not_go_on_with_a_training_of_the_first(small: Path) -> None:
    train(small)
    finished = train(small, width=16)
    assert finished.exit_code == 1
    assert "is of another training (autoencoder.width was 8, now is 16)" in finished.stderr
    (small / "autoencoder" / "weights.safetensors").unlink()
    unfinished = train(small, steps=9)
    assert unfinished.exit_code == 1
    assert "is of another training (settings.steps was 6, now is 9)" in unfinished.stderr


def test_a_dataset_of_another_geometry_is_refused(small: Path) -> None:
    result = run("autoencoder", "--recipe", "demo", "--work", small)
    assert result.exit_code == 1
    assert result.stderr == f"error: {small / 'clips'} was made for geometry small, demo.toml is for demo\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("vocoder", "holds no clips: make them with mdsgen-train prepare"),
        ("denoiser", "holds no clips: make them with mdsgen-train encode"),
        ("noisy-vocoder", "holds no clips: make them with mdsgen-train decode"),
        ("encode", "holds no clips: make them with mdsgen-train prepare"),
    ],
)
def test_without_data_it_says_what_comes_first(command: str, message: str, tmp_path: Path) -> None:
    result = run(command, "--recipe", "toy", "--work", tmp_path)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_encoding_needs_finished_networks(small: Path) -> None:
    result = run("encode", "--recipe", small / "small.toml", "--work", small)
    assert result.exit_code == 1
    assert "run mdsgen-train video-encoder to its end first" in result.stderr


def test_films_are_found_at_any_depth_and_summed_up_on_stderr(small: Path) -> None:
    assert len(Shards(small / "clips")) == 3
    films = small / "films"
    (films / "deep").mkdir()
    (films / "0.mp4").rename(films / "deep" / "0.mp4")
    (films / ".hidden.mp4").write_bytes(b"")
    (films / "notes.txt").write_text("no film")
    (films / "broken.mp4").write_text("no film")
    result = run("prepare", films, "--recursive", "--recipe", small / "small.toml", "--work", small / "other")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == f"{films}: 4 videos; left out: 1 hidden file, 1 other file"
    assert result.stderr.splitlines()[-1] == f"3 clips of 4 files; 1 skipped, see {small}/other/clips/skipped.csv"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["films", "--cavp", "x"], "--cavp and --audioldm belong together"),
        (["--cavp", "x", "--audioldm", "y"], "need a folder of VIDEOS"),
    ],
)
def test_published_networks_come_in_pairs_and_need_films(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run("prepare", *arguments, "--work", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_unknown_recipe_is_one_line(tmp_path: Path) -> None:
    result = run("vocoder", "--recipe", "nonsense", "--work", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: no recipe nonsense")
    assert len(result.stderr.splitlines()) == 1
