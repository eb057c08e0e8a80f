"""A training goes on as if it had never stopped, and comes out the same on one process or two."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mdsgen.errors import DatasetError, TrainingError
from mdsgen.report import Interim
from mdsgen.training.loop import Trainer
from mdsgen.training.processes import Processes
from mdsgen.training.shards import Shards
from tests.training.small_stages import SETTINGS, small_stage, trainer
from tests.training.two_processes import STAGES

ROOT = Path(__file__).parents[2]


def dataset_of(name: str, clips: Shards, latents: Shards) -> Shards:
    return latents if name in ("denoiser", "student") else clips


def same_end(name: str, data: Shards, folder: Path) -> bool:
    """Whether a training in two parts ends as one in a piece does."""
    whole = trainer(name, data, folder / "whole", picture_every=2)
    whole.fit()
    trainer(name, data, folder / "parts", picture_every=2).fit(until=3)
    rest = trainer(name, data, folder / "parts", picture_every=2)
    assert rest.step == 3
    rest.fit()
    stages_equal = equal(rest.stage.state_dict(), whole.stage.state_dict())
    return stages_equal and equal(rest.finish().state_dict(), whole.finish().state_dict())


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["denoiser", "student", "video_encoder", "autoencoder", "vocoder"])
def test_a_resumed_training_ends_bit_by_bit_where_an_uninterrupted_one_does(
    name: str, clips: Shards, latents: Shards, tmp_path: Path
) -> None:
    assert same_end(name, dataset_of(name, clips, latents), tmp_path)


def test_a_resumed_training_with_discriminators_ends_bit_by_bit_alike(decoded: Shards, tmp_path: Path) -> None:
    assert same_end("noisy_vocoder", decoded, tmp_path)


def test_weights_change_with_every_step_and_with_the_seed(latents: Shards, tmp_path: Path) -> None:
    first = trainer("denoiser", latents, tmp_path / "a")
    start = {name: value.clone() for name, value in first.stage.state_dict().items()}
    first.fit()
    other = trainer("denoiser", latents, tmp_path / "b", seed=1)
    other.fit()
    assert not equal(first.stage.state_dict(), start)
    assert not equal(first.stage.state_dict(), other.stage.state_dict())


class Pressing:
    """A dataset during whose third batch somebody presses Ctrl-C, or another signal comes."""

    def __init__(self, clips: Shards, number: int = signal.SIGINT) -> None:
        self.clips, self.signal, self.batches = clips, number, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.clips, name)

    def __len__(self) -> int:
        return len(self.clips)

    def batch(self, field: str, indices: np.ndarray) -> np.ndarray:
        self.batches += field == "latent"
        if self.batches == 3 and field == "latent":
            os.kill(os.getpid(), self.signal)
        return self.clips.batch(field, indices)


def test_an_interrupted_training_keeps_the_step_at_hand_and_goes_on(latents: Shards, tmp_path: Path) -> None:
    whole = trainer("denoiser", latents, tmp_path / "whole")
    whole.fit()
    lines: list[str] = []
    stopped = trainer("denoiser", Pressing(latents), tmp_path / "stopped")  # type: ignore[arg-type]
    stopped.report = lines.append
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    assert "kept step 3" in lines[-1]
    assert "the same command goes on" in lines[-1]
    rest = trainer("denoiser", latents, tmp_path / "stopped")
    rest.fit()
    assert equal(rest.stage.state_dict(), whole.stage.state_dict())
    assert steps_in(tmp_path / "stopped" / "log.csv") == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_job_that_ends_or_a_terminal_that_closes_keeps_the_step_at_hand_too(
    number: signal.Signals, latents: Shards, tmp_path: Path
) -> None:
    class Ended(BaseException):
        """What the signal's own handler makes of it."""

    def end(_number: int, _frame: object) -> None:
        raise Ended

    stopped = trainer("denoiser", Pressing(latents, number), tmp_path / "stopped")  # type: ignore[arg-type]
    before = signal.signal(number, end)
    try:
        with pytest.raises(Ended):
            stopped.fit()
    finally:
        signal.signal(number, before)
    whole, rest = trainer("denoiser", latents, tmp_path / "whole"), trainer("denoiser", latents, tmp_path / "stopped")
    assert rest.step == 3
    whole.fit()
    rest.fit()
    assert equal(rest.stage.state_dict(), whole.stage.state_dict())


def test_a_signal_that_is_ignored_stays_ignored(latents: Shards, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer("denoiser", Pressing(latents, signal.SIGHUP), tmp_path).fit()  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGHUP, before)
    assert steps_in(tmp_path / "log.csv") == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_is_one_error_and_the_last_checkpoint_stays(
    latents: Shards, tmp_path: Path, file_size_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    trainer("denoiser", latents, tmp_path).fit(until=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with file_size_limit(20_000), pytest.raises(TrainingError, match=r"cannot write .*checkpoint\.pt: File too large"):
        trainer("denoiser", latents, tmp_path).fit()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.csv", "pictures"]


def test_how_far_it_is_says_the_loss_the_pace_and_when_it_will_be_done(latents: Shards, tmp_path: Path) -> None:
    lines: list[str] = []
    training = trainer("denoiser", latents, tmp_path)
    training.report = lines.append
    training.fit()
    assert len(lines) == 6
    assert all(isinstance(line, Interim) for line in lines)
    assert re.match(r"step 1 of 6  \d+ s left, done at \d\d:\d\d  [\d.]+ clips/s  loss [\d.]+  ", lines[0])
    assert re.match(r"step 6 of 6  [\d.]+ clips/s  loss ", lines[-1])


def steps_in(log: Path) -> list[int]:
    return [int(row.split(",")[0]) for row in log.read_text().splitlines()[1:]]


def test_steps_after_the_last_checkpoint_come_again_in_the_log_once(latents: Shards, tmp_path: Path) -> None:
    killed = trainer("denoiser", latents, tmp_path, checkpoint_every=2)
    killed.fit(until=2)
    killed._train_step()
    (tmp_path / "log.csv").open("a").write("3,0,0,0,0,0,0,0\n4,")  # a row whose step was never kept, and a half
    (tmp_path / ".mdsgen-01234567-checkpoint.pt").write_bytes(b"half")
    trainer("denoiser", latents, tmp_path, checkpoint_every=2).fit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.csv", "pictures"]
    assert steps_in(tmp_path / "log.csv") == [1, 2, 3, 4, 5, 6]


def test_a_training_does_not_go_on_with_other_settings(latents: Shards, tmp_path: Path) -> None:
    trainer("denoiser", latents, tmp_path).fit(until=1)
    with pytest.raises(TrainingError, match=r"settings\.learning_rate was 0\.003, now is 0\.1"):
        trainer("denoiser", latents, tmp_path, learning_rate=0.1)


def test_how_often_it_reports_and_whether_it_is_compiled_may_change(
    latents: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda module: module)  # which takes long to load
    trainer("denoiser", latents, tmp_path).fit(until=1)
    assert trainer("denoiser", latents, tmp_path, log_every=7, picture_every=3, compile=True).step == 1


def test_where_it_computes_is_said_first(latents: Shards, tmp_path: Path) -> None:
    lines: list[str] = []
    Trainer(small_stage("denoiser"), SETTINGS, latents, tmp_path, report=lines.append)
    threads = torch.get_num_threads()
    assert lines == [f"training the denoiser on cpu, {threads} thread{'s' if threads > 1 else ''}"]
    assert str(Processes(2, 1)).startswith("2 processes, cpu, ")


def test_a_dataset_without_the_fields_is_refused(clips: Shards, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no features and no latent"):
        trainer("denoiser", clips, tmp_path)


def test_a_batch_that_does_not_divide_is_refused(latents: Shards, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="batch of 4 does not divide among 3 processes"):
        trainer("denoiser", latents, tmp_path, Processes(3, 0))


def test_a_loss_that_is_not_finite_stops_it_and_names_the_step(latents: Shards, tmp_path: Path) -> None:
    training = trainer("denoiser", latents, tmp_path)
    training.fit(until=2)
    next(training.stage.parameters()).data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss of step 2 is not finite"):
        training.fit()


def test_what_is_kept_at_the_end_is_the_average(clips: Shards, tmp_path: Path) -> None:
    training = trainer("vocoder", clips, tmp_path)
    training.fit()
    last = {name: value.clone() for name, value in training.stage.state_dict().items()}
    average = training.ema.state_dict()["average"]
    network = training.finish()
    assert not network.training
    assert equal(training.stage.state_dict(), average)
    assert not equal(training.stage.state_dict(), last)


@pytest.mark.parametrize("name", ["denoiser", "autoencoder", "vocoder"])
def test_pictures_are_drawn_along_the_way(name: str, clips: Shards, latents: Shards, tmp_path: Path) -> None:
    trainer(name, dataset_of(name, clips, latents), tmp_path, steps=2, picture_every=1).fit()
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == ["000001.png", "000002.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_bf16_trains_and_resumes(latents: Shards, tmp_path: Path) -> None:
    trainer("denoiser", latents, tmp_path, precision="bf16").fit(until=2)
    training = trainer("denoiser", latents, tmp_path, precision="bf16")
    training.fit()
    assert all(value.dtype == torch.float32 for value in training.stage.parameters())


@pytest.fixture(scope="module")
def together(clips: Shards, latents: Shards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two processes that trained each of :data:`STAGES` together."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = [str(clips.folder), str(latents.folder), str(folder)]
    script = str(Path(__file__).with_name("two_processes.py"))
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [sys.executable, script, *arguments],
            env=os.environ | common | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(errors)
    return folder


@pytest.mark.skipif(torch.cuda.is_available(), reason="there, each process wants a GPU of its own")
@pytest.mark.parametrize("name", STAGES)
def test_two_processes_come_out_where_one_with_the_whole_batch_does(
    name: str, together: Path, clips: Shards, latents: Shards, tmp_path: Path
) -> None:
    data = dataset_of(name, clips, latents)
    alone = trainer(name, data, tmp_path)
    start = weights_of(alone)
    alone.fit()
    pair = trainer(name, data, together / name)
    assert pair.step == alone.step
    # Adam blows up the rounding of gradients that are nearly zero: it is the way that all weights went that counts.
    apart, way = weights_of(pair) - weights_of(alone), weights_of(alone) - start
    assert apart.norm() < 2e-4 * way.norm()


def weights_of(training: Trainer) -> Tensor:
    return torch.cat([value.detach().flatten().clone() for value in training.stage.parameters()])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there, each process wants a GPU of its own")
def test_only_the_first_process_writes(together: Path) -> None:
    assert sorted(path.name for path in (together / "denoiser").iterdir()) == ["checkpoint.pt", "log.csv", "pictures"]
    assert steps_in(together / "denoiser" / "log.csv") == [1, 2, 3, 4, 5, 6]
