"""A checkpoint comes back as it was, or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from mdsgen.errors import TrainingError
from mdsgen.training.checkpoint import Checkpoint, difference, load_checkpoint, save_checkpoint

IDENTITY: dict[str, object] = {"stage": "vocoder", "settings": {"batch": 4, "ema": 0.9}, "sizes": (1, 2)}
STATE = Checkpoint(3, {"weight": torch.arange(4.0)}, {"state": {}, "param_groups": []}, {"updates": 3, "average": {}})


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new" / "checkpoint.pt", STATE, IDENTITY)
    loaded = load_checkpoint(tmp_path / "new" / "checkpoint.pt", IDENTITY)
    assert loaded.step == 3
    assert torch.equal(loaded.stage["weight"], STATE.stage["weight"])
    assert (loaded.optimiser, loaded.ema) == (STATE.optimiser, STATE.ema)


def test_of_another_training_it_says_what_differs_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE, IDENTITY)
    other = IDENTITY | {"settings": {"batch": 8, "ema": 0.9}}
    with pytest.raises(TrainingError, match=r"\(settings\.batch was 4, now is 8\): go on with that configuration"):
        load_checkpoint(path, other)


def test_a_difference_names_keys_on_either_side_and_nothing_else() -> None:
    found = {"a": {"b": 1, "c": 2}, "gone": 3}
    expected = {"a": {"b": 1, "c": 4}, "new": 5}
    assert difference(found, expected) == "a.c was 2, now is 4, gone was 3, now is None, new was None, now is 5"


class Opening:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("code was run",)


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", pickle.dumps({"step": 1}, protocol=2), pickle.dumps(Opening(), protocol=2)],
    ids=["empty", "noise", "dict", "code"],
)
def test_anything_else_is_refused_and_no_code_run(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="not a checkpoint of a training"):
        load_checkpoint(path, IDENTITY)
    assert "code was run" not in capsys.readouterr().out


def test_a_cut_off_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE, IDENTITY)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TrainingError, match="remove it to start anew"):
        load_checkpoint(path, IDENTITY)


def test_a_failed_save_leaves_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE, IDENTITY)
    broken = Checkpoint(4, {"weight": lambda: None}, {}, {})  # cannot be pickled
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_checkpoint(path, broken, IDENTITY)
    assert list(tmp_path.iterdir()) == [path]
    assert load_checkpoint(path, IDENTITY).step == 3
