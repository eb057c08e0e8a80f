"""Reading weights from files that nobody vouches for, and putting them into a module all or nothing.

A checkpoint is data: ``safetensors`` files hold nothing else, and PyTorch files are read with ``weights_only=True``, so
that pickled code in them is refused before it can run.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from mdsgen.errors import CheckpointError
from mdsgen.weights.archive import check_archive

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LONGEST_NAME = 100  # characters, in an error
_SHOWN = 5  # names of each kind in an error: enough to see which model a file belongs to


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a ``.safetensors`` file or of a PyTorch checkpoint, by name, on the CPU.

    A PyTorch file may hold the tensors under ``state_dict``, and their names may carry the ``module.`` that data
    parallel training leaves; both are undone. Raises :class:`CheckpointError` for a file that is missing, damaged,
    holds code, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path}: expected a state dict (names and tensors), found {type(content).__name__}")
    strangers = [name for name, value in content.items() if not isinstance(name, str) or not is_plain(value)]
    if strangers:
        raise CheckpointError(
            f"{path}: expected a state dict (names and tensors), found other things: {_first(map(str, strangers))}"
        )
    prefix = "module."
    if all(name.startswith(prefix) for name in content):
        return {name[len(prefix) :]: value for name, value in content.items()}
    return dict(content)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], what: str, ignore: Sequence[str] = ()) -> None:
    """Copy ``state`` into ``module``, or raise :class:`CheckpointError` and leave the module as it was.

    ``what`` names the expected model in the error. Names that start with one of ``ignore`` may stand in ``state``
    without being used. Integer buffers (fixed indices, counters) must be equal in shape like everything else.
    """
    module.load_state_dict(fitting_state(module, state, what, ignore))


def fitting_state(
    module: nn.Module, state: Mapping[str, Tensor], what: str, ignore: Sequence[str] = ()
) -> dict[str, Tensor]:
    """What :func:`load_strictly` would copy, after all its checks; ``module`` may be on the meta device."""
    expected = module.state_dict()
    found = {name: value for name, value in state.items() if name in expected or not name.startswith(tuple(ignore))}
    complaints = []
    if missing := [name for name in expected if name not in found]:
        complaints.append(f"{len(missing)} missing: {_first(missing)}")
    if unexpected := [name for name in found if name not in expected]:
        complaints.append(f"{len(unexpected)} unexpected: {_first(unexpected)}")
    misshaped = [
        f"{name} (expected {list(value.shape)}, found {list(found[name].shape)})"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]
    if misshaped:
        complaints.append(f"{len(misshaped)} of another shape: {_first(misshaped)}")
    if complaints:
        raise CheckpointError(f"these are not the weights of {what}: " + "; ".join(complaints))
    mistyped = [
        f"{name} (expected {value.dtype}, found {found[name].dtype})"
        for name, value in expected.items()
        if (value.dtype in _FLOATS) != (found[name].dtype in _FLOATS) or found[name].is_complex()
    ]
    if mistyped:
        raise CheckpointError(f"these are not the weights of {what}: other number types: {_first(mistyped)}")
    if broken := [name for name in expected if found[name].dtype in _FLOATS and not found[name].isfinite().all()]:
        raise CheckpointError(f"these weights of {what} are damaged: NaN or infinite numbers in {_first(broken)}")
    return found


M = TypeVar("M", bound=nn.Module)


def fill(module: M, state: Mapping[str, Tensor], what: str) -> M:
    """Give a module on the meta device its weights, on the CPU.

    Compared first, so that no memory is taken for what a wrong file or configuration claims to be. Raises as
    :func:`load_strictly`.
    """
    fitting = fitting_state(module, state, what)
    filled = module.to_empty(device="cpu")
    filled.load_state_dict(fitting)
    return filled


def is_plain(value: object) -> bool:
    """Whether this is an ordinary tensor with numbers in it: not sparse, not quantised, not a mere shape."""
    if not isinstance(value, Tensor):
        return False
    return value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({line_of(error)})") from error


def _read_torch(path: Path) -> object:
    try:
        if zipfile.is_zipfile(path):
            check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, because it is not a PyTorch file of plain tensors ({line_of(error)})"
        ) from error
    except Exception as error:  # whatever a damaged archive makes torch raise
        raise CheckpointError(f"{path}: not a readable PyTorch checkpoint ({line_of(error)})") from error


def _first(names: Iterable[str]) -> str:
    shown = [ascii(name)[1:-1][:_LONGEST_NAME] for name in names]
    tail = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + tail


def line_of(error: BaseException) -> str:
    """What a library raised, as one short line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
