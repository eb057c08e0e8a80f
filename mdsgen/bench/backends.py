"""The backends that can be compared: their names, and the protocol that all of them follow.

A new kind of backend is a file with a class of :class:`Backend`, and a line in :data:`KINDS`.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdsgen.bench.subject import Inputs, Subject
from mdsgen.bundle import Bundle
from mdsgen.errors import ExportError, MdsgenError
from mdsgen.sampling import Sampling

Run = Callable[[], np.ndarray]
"""Computes once and returns the result: arrays on the host, everything done. It may reuse the array, and may not be
called any more once its backend was asked for another."""


class Backend(abc.ABC):
    """One way to compute a model. Nothing is opened before it is asked for; closed, everything is given back."""

    what: str
    """In a few words, for the reader of the table."""
    precision = "fp32"
    """That of its weights and arithmetic, which says how close it has to be: a bundle's precisions, or ``"bf16"``."""
    data_type = "fp32"
    """What its matrix products compute in: whose peak it is measured by."""
    published = False
    """Whether it samples as published, whatever the others do to save work."""

    @abc.abstractmethod
    def step(self, inputs: Inputs) -> Run:
        """One guided denoiser step: both branches' noise ``[2, C, H, W]``."""

    @abc.abstractmethod
    def loop(self, inputs: Inputs, sampling: Sampling) -> Run:
        """The denoising loop, from features and noise to the latent ``[1, C, H, W]``, conditioning included."""

    @abc.abstractmethod
    def clip(self, inputs: Inputs, sampling: Sampling) -> Run:
        """The whole clip, from frames and noise to the waveform ``[samples]``."""

    def settle(self) -> None:  # noqa: B027
        """Give back the memory that is held in reserve, before it is looked at how much is free."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give everything back."""


class Kind(NamedTuple):
    """Where a backend is made: ``maker(source, threads)`` in a module that is imported when it is named."""

    module: str
    maker: str
    graphs: bool
    """Whether it runs graphs, so that another bundle can be named with ``@``; else it runs the seeded networks."""
    device: bool = False
    """Whether it runs on a GPU."""


_ENGINES, _TORCH = "mdsgen.bench.engine_backend", "mdsgen.bench.torch_backends"
_COMPILED, _TENSORRT = "mdsgen.bench.torch_compiled", "mdsgen.bench.tensorrt_backend"
KINDS = {
    "torch": Kind(_TORCH, "published_on_cpu", graphs=False),
    "torch-fused": Kind(_TORCH, "fused_on_cpu", graphs=False),
    "onnxruntime": Kind(_ENGINES, "on_onnxruntime", graphs=True),
    "openvino": Kind(_ENGINES, "on_openvino", graphs=True),
    "openvino-bf16": Kind(_ENGINES, "on_openvino_bf16", graphs=True),
    "torch-fp16": Kind(_TORCH, "published_on_gpu", graphs=False, device=True),
    "torch-compile": Kind(_COMPILED, "Compiled", graphs=False, device=True),
    "tensorrt": Kind(_TENSORRT, "on_graph", graphs=True, device=True),
    "tensorrt-stream": Kind(_TENSORRT, "in_stream_order", graphs=True, device=True),
    "auto": Kind(_ENGINES, "on_auto", graphs=True),
}
"""All of them by name."""


@dataclass(frozen=True)
class Entry:
    """One part of ``--compare``: ``NAME``, or ``NAME@BUNDLE``."""

    name: str
    bundle: Path | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.bundle}" if self.bundle else self.name

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    def make(self, source: Subject, threads: int) -> Backend:
        """The backend. Raises :class:`ExportError` where what it needs is not installed."""
        try:
            module = importlib.import_module(self.kind.module)
        except ImportError as error:
            raise ExportError(f"comparing {self.name} needs PyTorch ({error}): pip install 'mdsgen[export]'") from error
        made: Backend = getattr(module, self.kind.maker)(source, threads)
        return made

    def source(self, subject: Subject) -> Subject:
        """Whose graphs it runs: its own bundle's, which must be of the geometry that is compared, or the subject's."""
        if self.bundle is None:
            return subject
        own = Subject(Bundle.open(self.bundle))
        if own.geometry != subject.geometry:
            raise MdsgenError(
                f"{self.bundle} is of the {own.geometry.name} geometry: what is compared is of {subject.geometry.name}"
            )
        return own


def parse(names: str) -> list[Entry]:
    """``"torch,onnxruntime@folder"`` as entries. Raises :class:`MdsgenError` for unknown names, or one named twice."""
    entries = [_entry(part.strip()) for part in names.split(",")]
    doubled = sorted({str(entry) for entry in entries if entries.count(entry) > 1})
    if doubled:
        raise MdsgenError(f"{', '.join(doubled)} is named more than once")
    return entries


def _entry(text: str) -> Entry:
    name, at, folder = text.partition("@")
    if name not in KINDS:
        raise MdsgenError(f"{name!r} cannot be compared: expected names out of {', '.join(KINDS)}")
    if at and not (folder and KINDS[name].graphs):
        runs = "name a bundle after the @" if KINDS[name].graphs else f"{name} runs seeded weights, no bundle"
        raise MdsgenError(f"{text!r}: {runs}")
    return Entry(name, Path(folder) if folder else None)


def first_bundle(entries: Sequence[Entry]) -> Path | None:
    """The first bundle that is named in a comparison."""
    return next((entry.bundle for entry in entries if entry.bundle), None)
