"""What the attention kernel is compared with computes the same: PyTorch's attention with the bias of all pairs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mdsgen.bench.attention import SHAPES, Shape, compare_attention, fused
from mdsgen.errors import EngineError
from mdsgen.kernels.attention import attention
from mdsgen.parity import snr_db


def test_pytorch_s_is_the_kernel_s_reference() -> None:
    shape = Shape("small", (3, 5), 2)
    joined, table = shape.tensors("cpu", torch.float32)
    found = fused(joined, shape.pairs(table, torch.float32))
    query, key, value = (joined[:, :, part].numpy() for part in range(3))
    assert snr_db(attention(query, key, value, table.numpy(), shape.grid, 64**-0.5), found.numpy()) > 110


def test_the_shapes_are_those_of_the_published_models() -> None:
    assert [(shape.tokens, shape.heads) for shape in SHAPES] == [(256, 3), (816, 12)]


def test_without_a_gpu_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="finds no CUDA device here"):
        compare_attention()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_as_a_command_too() -> None:
    done = subprocess.run([sys.executable, "-m", "mdsgen.bench.attention"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: PyTorch")
