"""A checkpoint comes back as it was, or not at all."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.errors import TrainingError
from mdsgen.geometry import PAPER
from mdsgen.training.checkpoint import Checkpoint, difference, load_checkpoint, save_checkpoint
from tests.geometries import BRISK

IDENTITY: dict[str, object] = {"stage": "vocoder", "settings": {"batch": 4, "ema": 0.9}, "sizes": (1, 2)}
STATE = Checkpoint(
    3,
    {"weight": torch.arange(4.0)},
    {"state": {}, "param_groups": []},
    {"updates": 3, "average": {}},
    "step,loss\r\n3,1\r\n",
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new" / "checkpoint.pt", STATE, IDENTITY)
    loaded = load_checkpoint(tmp_path / "new" / "checkpoint.pt", IDENTITY)
    assert loaded.step == 3
    assert torch.equal(loaded.stage["weight"], STATE.stage["weight"])
    assert (loaded.optimiser, loaded.ema, loaded.log) == (STATE.optimiser, STATE.ema, STATE.log)


@pytest.mark.parametrize("compiled", [True, False])
def test_one_that_knows_whether_it_was_compiled_still_opens(tmp_path: Path, compiled: bool) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE, IDENTITY | {"settings": {"batch": 4, "compile": compiled, "ema": 0.9}})
    assert load_checkpoint(path, IDENTITY).step == 3


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


def test_a_training_from_before_geometries_had_pictures_goes_on() -> None:
    old = {name: value for name, value in PAPER.to_dict().items() if not name.startswith("frame_")}
    assert difference({"recipe": {"geometry": old}}, {"recipe": {"geometry": PAPER.to_dict()}}) == ""
    other = difference({"recipe": {"geometry": old}}, {"recipe": {"geometry": BRISK.to_dict() | {"name": "paper"}}})
    assert other == ("recipe.geometry.frame_rate was 4.0, now is 15.625, recipe.geometry.frame_size was 224, now is 56")


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


def test_a_full_disk_is_one_error_and_leaves_the_last_one(
    tmp_path: Path, file_size_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE, IDENTITY)
    large = Checkpoint(4, {"weight": torch.zeros(10_000)}, {}, {})
    with file_size_limit(20_000), pytest.raises(TrainingError, match=r"cannot write .*checkpoint\.pt: File too large"):
        save_checkpoint(path, large, IDENTITY)
    assert list(tmp_path.iterdir()) == [path]
    assert load_checkpoint(path, IDENTITY).step == 3


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE, IDENTITY)
    content = path.read_bytes()
    bits = np.random.default_rng(0).integers(8 * len(content), size=150).tolist()
    for bit in [*bits, *range(8 * len(content) - 8 * 80, 8 * len(content), 13)]:  # the checksum itself, too
        path.write_bytes(flipped(content, bit))
        with pytest.raises(TrainingError, match="not a checkpoint of a training"):
            load_checkpoint(path, IDENTITY)


@pytest.fixture
def unsealed(tmp_path: Path) -> Path:
    """As they were written before they had a checksum and the log."""
    values = {name: value for name, value in vars(STATE).items() if name != "log"}
    torch.save(values | {"identity": json.dumps(IDENTITY)}, tmp_path / "checkpoint.pt")
    return tmp_path / "checkpoint.pt"


def test_a_checkpoint_without_a_checksum_still_opens(unsealed: Path) -> None:
    loaded = load_checkpoint(unsealed, IDENTITY)
    assert (loaded.step, loaded.log) == (3, None)
    assert torch.equal(loaded.stage["weight"], STATE.stage["weight"])


def test_and_a_changed_weight_in_it_is_seen(unsealed: Path) -> None:
    content = unsealed.read_bytes()
    at = content.index(torch.arange(4.0).numpy().tobytes())
    unsealed.write_bytes(flipped(content, 8 * at + 77))
    with pytest.raises(TrainingError, match="is damaged"):
        load_checkpoint(unsealed, IDENTITY)


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused_before_it_does(unsealed: Path) -> None:
    with zipfile.ZipFile(unsealed) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(unsealed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, entry in entries.items():
            archive.writestr(name, bytes(1 << 22) if name.endswith("data/0") else entry)
    assert unsealed.stat().st_size < 1 << 15
    with pytest.raises(TrainingError, match="is compressed, which PyTorch never does"):
        load_checkpoint(unsealed, IDENTITY)
