"""Rebuilds the weights behind the golden fixtures: every entry is drawn from a seed made of its own name."""

import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).parent / "fixtures"

Keys = dict[str, tuple[tuple[int, ...], str]]

_LINE = re.compile(r"(?P<name>\S+) \((?P<shape>[\d, ]*)\) (?P<dtype>torch\.\w+)")


def read_keys(path: Path) -> Keys:
    """Name → (shape, dtype) of a ``*.keys.txt`` file, whose lines read ``pos_embed (1, 816, 48) torch.float32``."""
    keys: Keys = {}
    for line in path.read_text().splitlines():
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"{path.name}: {line!r} is not 'name (shape) dtype'")
        keys[found["name"]] = tuple(int(n) for n in found["shape"].split(",") if n.strip()), found["dtype"]
    return keys


def seeded_state(keys: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, torch.Tensor]:
    """The floating-point entries of a state dict, seeded; integer buffers keep what the architecture defines."""
    return {name: _seeded(name, shape) for name, (shape, dtype) in keys.items() if "float" in dtype}


def _seeded(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        drawn = 0.5 + random.random(shape)
    elif name.endswith(("pos_embed", "mask_token")):
        drawn = 0.1 * random.standard_normal(shape)
    elif len(shape) >= 2:
        drawn = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(".weight"):
        drawn = 1 + 0.1 * random.standard_normal(shape)
    else:
        drawn = 0.1 * random.standard_normal(shape)
    return torch.from_numpy(np.asarray(drawn, dtype=np.float32))
