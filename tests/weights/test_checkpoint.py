"""Reading checkpoints: data only, all or nothing, and every refusal in one line that names expected and found."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from mdsgen.errors import CheckpointError
from mdsgen.weights.checkpoint import load_strictly, read_state_dict

State = dict[str, torch.Tensor]


def network() -> nn.Module:
    """Weights, and an integer buffer beside floating-point ones."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def weights(seed: int = 0) -> State:
    torch.manual_seed(seed)
    return {
        name: torch.randn(value.shape) if value.is_floating_point() else torch.tensor(7)
        for name, value in network().state_dict().items()
    }


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def refusal(path: Path) -> str:
    """The one line that reading ``path`` is refused with."""
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


# Files that are read


def prefixed(state: State) -> State:
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}], ids=["bare", "wrapped"])
@pytest.mark.parametrize("name", [dict, prefixed], ids=["plain", "module."])
def test_every_usual_form_gives_the_same_tensors(
    tmp_path: Path, wrap: Callable[[State], object], name: Callable[[State], State]
) -> None:
    assert same(read_state_dict(saved(wrap(name(weights())), tmp_path / "model.pt")), weights())


def test_pytorchs_old_file_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(weights(), path, _use_new_zipfile_serialization=False)
    assert same(read_state_dict(path), weights())


def test_safetensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(prefixed(weights()), path, metadata={"format": "pt"})
    assert same(read_state_dict(str(path)), weights())


def test_a_prefix_that_not_every_name_has_is_part_of_the_name(tmp_path: Path) -> None:
    state = {"module.weight": torch.zeros(1), "bias": torch.zeros(1)}
    assert read_state_dict(saved(state, tmp_path / "model.pt")).keys() == state.keys()


# Files that are refused


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "model.pt") == "no such file"
    assert refusal(tmp_path) == "no such file"


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights\nbut text\n", b"\x80\x02\x00\xff" * 40], ids=["empty", "text", "junk"]
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)
    assert "not a readable" in refusal(path) or "not a PyTorch file of plain tensors" in refusal(path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"model.{suffix}"
    (torch.save if suffix == "pt" else save_file)(weights(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "not a readable" in refusal(path) or "not a PyTorch file" in refusal(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, "found dict"),
        ([torch.zeros(2)], "found list"),
        (torch.zeros(2), "found Tensor"),
        (None, "found NoneType"),
        ({"state_dict": {}}, "found dict"),
        ({"weight": torch.zeros(2), "epoch": 3}, "found other things: epoch"),
        ({1: torch.zeros(2)}, "found other things: 1"),
        ({f"option{i}": i for i in range(9)}, "option0, option1, option2, option3, option4 and 4 more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_but_a_state_dict_is_refused(tmp_path: Path, content: object, found: str) -> None:
    text = refusal(saved(content, tmp_path / "model.pt"))
    assert text.startswith("expected a state dict (names and tensors), ")
    assert found in text


class _Touch:
    """Creates a folder when unpickled by a reader that runs pickled code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "write",
    [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))],
    ids=["torch.save", "pickle"],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_pickled_code_is_refused_and_does_not_run(
    tmp_path: Path, write: Callable[[object, Path], object], suffix: str
) -> None:
    path, trace = tmp_path / f"model.{suffix}", tmp_path / "ran"
    content = {"weight": _Touch(trace)}
    write(content, path)
    assert "refused" in refusal(path) or suffix == "safetensors"
    assert not trace.exists()
    pickle.loads(pickle.dumps(content))  # the trap itself works
    assert trace.exists()


# Into a module, all or nothing


def complaint(state: State, ignore: tuple[str, ...] = ()) -> str:
    """The line that ``state`` is refused with, by a module that stays as it was."""
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(module, state, "the test's network", ignore)
    assert same(module.state_dict(), before)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("these are not the weights of the test's network: ")
    return text.removeprefix("these are not the weights of the test's network: ")


def test_loads_every_weight_and_buffer() -> None:
    module = network()
    load_strictly(module, weights(), "the test's network")
    assert same(module.state_dict(), weights())


def test_half_precision_files_are_widened() -> None:
    module = network()
    half = {name: value.half() if value.is_floating_point() else value for name, value in weights().items()}
    load_strictly(module, half, "the test's network")
    assert module.state_dict()["0.weight"].dtype == torch.float32
    torch.testing.assert_close(module.state_dict()["0.weight"], half["0.weight"].float())


@settings(max_examples=30)
@given(st.sets(st.sampled_from(sorted(network().state_dict())), min_size=1))
def test_whatever_is_missing_is_refused(missing: set[str]) -> None:
    text = complaint({name: value for name, value in weights().items() if name not in missing})
    assert text.startswith(f"{len(missing)} missing: ")
    if len(missing) <= 5:
        assert set(text.split(": ")[1].split(", ")) == missing


def test_a_stranger_is_named() -> None:
    assert complaint(weights() | {"3.weight": torch.zeros(1)}) == "1 unexpected: 3.weight"


def test_a_renamed_entry_is_named_both_ways() -> None:
    state = weights()
    state["0.kernel"] = state.pop("0.weight")
    assert complaint(state) == "1 missing: 0.weight; 1 unexpected: 0.kernel"


@pytest.mark.parametrize("name", ["0.weight", "1.num_batches_tracked"])
def test_an_entry_of_another_shape_is_named_with_both(name: str) -> None:
    shape = list(weights()[name].shape)
    text = complaint(weights() | {name: torch.zeros(5, 5, dtype=weights()[name].dtype)})
    assert text == f"1 of another shape: {name} (expected {shape}, found [5, 5])"


@pytest.mark.parametrize(("name", "dtype"), [("0.weight", torch.int64), ("1.num_batches_tracked", torch.float32)])
def test_whole_numbers_for_fractions_are_refused_and_the_other_way_round(name: str, dtype: torch.dtype) -> None:
    text = complaint(weights() | {name: weights()[name].to(dtype)})
    assert text == f"other number types: {name} (expected {weights()[name].dtype}, found {dtype})"


def test_a_model_of_another_kind_is_refused_in_a_line_that_stays_short() -> None:
    text = complaint({f"layer{i}.weight": torch.zeros(1) for i in range(1000)})
    assert "9 missing" in text
    assert "1000 unexpected: layer0.weight" in text
    assert "and 995 more" in text
    assert len(text) < 400


def test_ignored_names_may_stand_beside_but_not_in_the_place_of_weights() -> None:
    module = network()
    load_strictly(module, weights() | {"audio.weight": torch.zeros(1)}, "the test's network", ignore=("audio.",))
    assert same(module.state_dict(), weights())
    without = {name: value for name, value in weights().items() if name != "0.bias"}
    assert complaint(without, ignore=("0.",)) == "1 missing: 0.bias"


# What takes memory, or is no number


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused_before_it_does(tmp_path: Path) -> None:
    path = saved(weights(), tmp_path / "model.pt")
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, entry in entries.items():
            archive.writestr(name, bytes(1 << 22) if name.endswith("data/0") else entry)
    assert "is compressed, which PyTorch never does" in refusal(path)


@pytest.mark.parametrize("stranger", [torch.zeros(2, device="meta"), torch.eye(2).to_sparse()], ids=["meta", "sparse"])
def test_tensors_without_numbers_of_their_own_are_refused(tmp_path: Path, stranger: torch.Tensor) -> None:
    assert "found other things: 0.weight" in refusal(saved(weights() | {"0.weight": stranger}, tmp_path / "model.pt"))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_and_named(number: float) -> None:
    module, state = network(), weights()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state["1.bias"][2] = number
    with pytest.raises(CheckpointError, match=r"a network are damaged: NaN or infinite numbers in 1\.bias"):
        load_strictly(module, state, "a network")
    assert same(module.state_dict(), before)


def test_a_long_odd_name_makes_no_long_odd_line(tmp_path: Path) -> None:
    state = weights() | {"\n\x1b" + "x" * 100_000: torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(network(), state, "a network")
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
