"""The processes that train together: one, or as many as ``torchrun`` started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Processes:
    """How many there are, which one this is, and where it computes."""

    count: int = 1
    rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __str__(self) -> str:
        """Where it is computed, in words: ``cpu, 8 threads``, or ``2 processes, cuda:0 (NVIDIA H200)``."""
        counted = f"{self.count} processes, " if self.count > 1 else ""
        if self.device.type == "cuda":
            return f"{counted}{self.device} ({torch.cuda.get_device_name(self.device)})"
        threads = torch.get_num_threads()
        return f"{counted}{self.device}, {threads} {'thread' if threads == 1 else 'threads'}"

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and reports."""
        return self.rank == 0

    def part_of(self, values: Tensor) -> Tensor:
        """This process's part of a whole batch ``[B, ...]``, on its device: ``[B / count, ...]``."""
        size = len(values) // self.count
        return values[self.rank * size : (self.rank + 1) * size].to(self.device)

    def any(self, here: bool) -> bool:
        """Whether it is so in any of the processes; all must ask."""
        if self.count == 1:
            return here
        anywhere = torch.tensor(float(here), device=self.device)
        distributed.all_reduce(anywhere, distributed.ReduceOp.MAX)
        return bool(anywhere)


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, or be the only one; a GPU each where there are any."""
    count, rank, local = (int(os.environ.get(name, default)) for name, default in _ENVIRONMENT)
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local)
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if count == 1:
        yield Processes(device=device)
        return
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(count, rank, device)
    finally:
        distributed.destroy_process_group()


_ENVIRONMENT = (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))
