"""Loading the CAVP checkpoint: every form it is passed around in, and every file it is mistaken for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mdsgen.errors import CheckpointError
from mdsgen.weights.cavp import AUDIO_HALF, load_cavp
from tests.seeded import FIXTURES, read_keys, seeded_state

State = dict[str, torch.Tensor]


def state_of(names: Callable[[str], bool]) -> State:
    """The published names and shapes, each entry filled with a number of its own, and stored as that one number."""
    published = read_keys(FIXTURES / "cavp.keys.txt")
    return {
        name: torch.tensor(number, dtype=getattr(torch, dtype.removeprefix("torch."))).expand(shape)
        for number, (name, (shape, dtype)) in enumerate(published.items())
        if names(name)
    }


@pytest.fixture(scope="module")
def video_half() -> State:
    return state_of(lambda name: not name.startswith(AUDIO_HALF))


@pytest.fixture(scope="module")
def audio_half() -> State:
    return state_of(lambda name: name.startswith(AUDIO_HALF))


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[object], Path]:
    def save(content: object) -> Path:
        path = tmp_path / "cavp_epoch66.ckpt"
        torch.save(content, path)
        return path

    return save


def prefixed(state: State) -> State:
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 66}], ids=["bare", "wrapped"])
@pytest.mark.parametrize("name", [dict, prefixed], ids=["plain", "module."])
def test_every_published_form_loads_the_same_weights(
    saved: Callable[[object], Path],
    video_half: State,
    audio_half: State,
    wrap: Callable[[State], object],
    name: Callable[[State], State],
) -> None:
    loaded = load_cavp(saved(wrap(name(audio_half | video_half)))).state_dict()
    assert loaded.keys() == video_half.keys()
    assert all(torch.equal(loaded[key], value) for key, value in video_half.items())


def test_the_video_half_alone_is_enough_and_comes_frozen(saved: Callable[[object], Path], video_half: State) -> None:
    encoder = load_cavp(saved(video_half))
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_stranger_is_named(saved: Callable[[object], Path], video_half: State) -> None:
    with pytest.raises(CheckpointError, match=r"1 unexpected: video_encoder\.layer5\.weight"):
        load_cavp(saved({**video_half, "video_encoder.layer5.weight": torch.zeros(1)}))


def test_a_missing_entry_is_named(saved: Callable[[object], Path], video_half: State) -> None:
    with pytest.raises(CheckpointError, match=r"1 missing: video_project_head\.bias"):
        load_cavp(saved({name: value for name, value in video_half.items() if name != "video_project_head.bias"}))


def test_an_entry_of_another_shape_is_named(saved: Callable[[object], Path], video_half: State) -> None:
    stem = "video_encoder.conv1.conv.weight"
    squeezed = {**video_half, stem: video_half[stem].squeeze(2)}
    with pytest.raises(
        CheckpointError, match=r"video_encoder\.conv1\.conv\.weight.*\[64, 3, 1, 7, 7\].*\[64, 3, 7, 7\]"
    ):
        load_cavp(saved(squeezed))


def test_the_denoisers_file_is_refused(saved: Callable[[object], Path]) -> None:
    denoiser = seeded_state(read_keys(FIXTURES / "release_small.keys.txt"))
    with pytest.raises(CheckpointError, match="not the weights of the CAVP video encoder"):
        load_cavp(saved(denoiser))


def test_a_truncated_file_is_refused(saved: Callable[[object], Path], audio_half: State) -> None:
    path = saved(audio_half)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"cavp_epoch66\.ckpt"):
        load_cavp(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_cavp(tmp_path / "cavp_epoch66.ckpt")


class _Touch:
    """Creates a folder when unpickled by a reader that runs pickled code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_refused_and_does_not_run(saved: Callable[[object], Path], tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    with pytest.raises(CheckpointError, match="refused"):
        load_cavp(saved({"state_dict": _Touch(trace)}))
    assert not trace.exists()
