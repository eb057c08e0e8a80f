"""The CUDA C++ sources that come with the package: where they are, how each is compiled, what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).parent / "cuda"
"""The sources and the headers that they share."""


@dataclass(frozen=True)
class KernelSource:
    """One ``.cu`` file.

    ``functions``: its kernels, each with its parameters in :mod:`struct`'s letters (P pointer, i int, q long long,
    f float), in the order of their declaration.
    """

    name: str
    functions: Mapping[str, str]
    options: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.cu"


def headers() -> dict[str, str]:
    """Every header by the name that it is included by. All count as part of every source."""
    return {path.name: path.read_text("utf-8") for path in sorted(FOLDER.iterdir()) if path.suffix in (".h", ".cuh")}


SOURCES: Mapping[str, KernelSource] = MappingProxyType(
    {
        source.name: source
        for source in (
            # Without fused multiply-adds a step on the device gives the bits of the NumPy reference. It waits for
            # memory in any case.
            KernelSource("step", {"guided_step": "PPPPPPiiq"}, ("--fmad=false",)),
            KernelSource("marks", {"add_marks": "PPiii"}),
            KernelSource("frames", {"prepare_rgb": "PPiiii"}),
        )
    }
)
"""All sources by name."""
