"""Polygraphy's loaders: the network's inputs are read from the ONNX file, and its open lengths from the profile."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

from tests.engines.fake_tensorrt import plan_of, session_of


class _Tensor:
    def __init__(self, tensor: Any) -> None:
        self.name, self.axes = tensor.name, tuple(tensor.shape)
        self.shape = tuple(-1 if isinstance(length, str) else length for length in tensor.shape)


class _Network(list[Any]):
    def __init__(self, onnx: Path) -> None:
        super().__init__()
        self.onnx = onnx
        self.inputs = [_Tensor(tensor) for tensor in session_of(str(onnx)).get_inputs()]
        self.num_inputs = len(self.inputs)

    def get_input(self, index: int) -> _Tensor:
        return self.inputs[index]


class Profile:
    def __init__(self) -> None:
        self.ranges: dict[str, tuple[Any, Any, Any]] = {}

    def add(self, name: str, min: Any, opt: Any, max: Any) -> None:
        self.ranges[name] = (min, opt, max)


def network_from_onnx_path(path: str, flags: Any = None, strongly_typed: bool = False) -> tuple[Any, Any, Any]:
    return "builder", _Network(Path(path)), "parser"


def CreateConfig(profiles: list[Profile], **how: Any) -> dict[str, Any]:  # noqa: N802
    return {"profiles": profiles, **how}


def engine_bytes_from_network(network: Any, config: dict[str, Any], save_timing_cache: str) -> bytes:
    Path(save_timing_cache).write_bytes(b"timings")
    (profile,), lengths = config["profiles"], {}
    for tensor in network[1].inputs:
        for axis, name in enumerate(tensor.axes):
            if isinstance(name, str):
                ranges = profile.ranges.get(tensor.name, (tensor.shape,) * 3)
                lengths[name] = [int(shape[axis]) for shape in ranges]
    return plan_of(_kept(network[1].onnx, Path(save_timing_cache).parent / "networks"), lengths=lengths)


def _kept(onnx: Path, folder: Path) -> Path:
    """A copy of the network with its weights: the file that was parsed may be a temporary one."""
    folder = folder / secrets.token_hex(4)
    folder.mkdir(parents=True)
    for part in onnx.parent.glob(f"{onnx.stem}.*"):
        shutil.copy(part, folder)
    return folder / onnx.name
