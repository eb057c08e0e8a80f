"""Whether this project's attention kernel pays: one block's attention on a GPU, against PyTorch's.

    python -m mdsgen.bench.attention

The kernel reads the position bias from its table; PyTorch's fused attention is given it as a tensor of all pairs of
tokens, as TensorRT is. Each is captured as a graph of many calls, so that launching them takes no part in the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mdsgen.bench.measure import Measurement
from mdsgen.bench.report import Report
from mdsgen.engines.cuda import Device
from mdsgen.errors import EngineError, MdsgenError
from mdsgen.geometry import PAPER, RELEASE
from mdsgen.kernels.attention import bias_rows
from mdsgen.kernels.launch import attention_launch
from mdsgen.kernels.module import Kernels
from mdsgen.parity import snr_db

_BRANCHES, _HEAD = 2, 64
_CALLS, _RUNS = 50, 20


@dataclass(frozen=True)
class Shape:
    """Of one block's attention."""

    name: str
    grid: tuple[int, int]
    heads: int

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1]

    def tensors(self, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Queries, keys and values side by side ``[2, N, 3, heads, 64]``, and a table of biases in float32."""
        generator = torch.Generator(device).manual_seed(0)
        offsets = (2 * self.grid[0] - 1) * (2 * self.grid[1] - 1)
        joined = torch.randn(_BRANCHES, self.tokens, 3, self.heads, _HEAD, generator=generator, device=device)
        return joined.to(dtype), torch.randn(offsets, self.heads, generator=generator, device=device)

    def pairs(self, table: Tensor, dtype: torch.dtype) -> Tensor:
        """The bias of all pairs of tokens, ``[1, heads, N, N]``."""
        rows = torch.from_numpy(bias_rows(self.grid)).to(table.device)
        return table[rows].permute(2, 0, 1)[None].to(dtype).contiguous()


SHAPES = (Shape("paper Tiny", PAPER.grid, 3), Shape("release Base", RELEASE.grid, 12))


def fused(joined: Tensor, bias: Tensor) -> Tensor:
    """PyTorch's, ``[2, N, 3, heads, 64]`` and ``[1, heads, N, N]`` -> ``[2, N, heads, 64]``."""
    query, key, value = joined.permute(2, 0, 3, 1, 4).unbind(0)  # [2, heads, N, 64] each
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2)


def compare_attention() -> Report:
    """Both, on both shapes. Raises :class:`EngineError` where there is no GPU that PyTorch and pycuda can use."""
    if not torch.cuda.is_available():
        raise EngineError(f"PyTorch {torch.__version__} finds no CUDA device here")
    device = Device.acquire()
    try:
        kernels = Kernels(["attention"])
        measurements: dict[str, Measurement] = {}
        figures: dict[str, dict[str, float]] = {}
        for shape in SHAPES:
            kernel, torch_s, agreement = _compare(device, kernels, shape)
            name = f"{shape.name}, {shape.tokens} tokens"
            measurements |= {f"{name}, PyTorch": torch_s, f"{name}, kernel": kernel}
            figures[f"{name}, PyTorch"] = {"times faster": 1.0}
            figures[f"{name}, kernel"] = {"times faster": torch_s.median / kernel.median, "dB": agreement}
        return Report("attention of a block", {"GPU": device.name, "branches": _BRANCHES}, measurements, figures)
    finally:
        device.release()


def _compare(device: Device, kernels: Kernels, shape: Shape) -> tuple[Measurement, Measurement, float]:
    """The kernel's seconds, PyTorch's, and how close the two are."""
    joined, table = shape.tensors("cuda", torch.float16)
    bias, out = shape.pairs(table, torch.float16), torch.empty_like(joined[:, :, 0]).contiguous()
    query, key, value = (joined[:, :, part].data_ptr() for part in range(3))
    launch = attention_launch(
        out=out.data_ptr(),
        query=query,
        key=key,
        value=value,
        table=table.data_ptr(),
        batch=_BRANCHES,
        grid=shape.grid,
        heads=shape.heads,
        stride=3 * shape.heads * _HEAD,
        scale=_HEAD**-0.5,
    )
    torch.cuda.synchronize()  # the kernel is on another stream
    kernel = _time_launches(device, lambda: kernels.launch(launch, device.stream))
    agreement = snr_db(fused(joined.float(), shape.pairs(table, torch.float32)).cpu().numpy(), out.cpu().numpy())
    return kernel, _time_torch(lambda: fused(joined, bias)), agreement


def _time_launches(device: Device, enqueue: Callable[[], None]) -> Measurement:
    def calls() -> None:
        for _ in range(_CALLS):
            enqueue()

    enqueue()
    device.synchronize()
    graph = device.capture(calls)
    try:
        seconds = []
        for _ in range(_RUNS):
            start = device.event()
            graph.launch()
            end = device.event()
            device.synchronize()
            seconds.append(end.seconds_since(start) / _CALLS)
    finally:
        graph.free()
    return Measurement(tuple(seconds))


def _time_torch(call: Callable[[], object]) -> Measurement:
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS):
            call()
    seconds = []
    for _ in range(_RUNS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(end) / 1000 / _CALLS)  # milliseconds
    return Measurement(tuple(seconds))


def main() -> None:
    try:
        print(compare_attention().page())
    except MdsgenError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
