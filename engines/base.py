"""What every engine does, whichever library stands behind it: opened, run, closed, its tensors known up front."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np

from mdsgen.engines.forked import stays_open_when_forked
from mdsgen.errors import EngineError, MdsgenError, TensorError
from mdsgen.tensor import TensorSpec, check_feeds

E = TypeVar("E", bound="Engine")

MOST_THREADS = 1024
"""More than any machine has cores for; a library that is asked for a million runs out of memory."""


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is opened.

    ``threads``: threads inside one operator; None is the engine's own choice, the physical cores.
    ``providers``: ONNX Runtime's execution providers, the preferred one first.
    ``fold_constants``: compute constants once and keep them; False computes them in every run, to save memory.
    ``bfloat16``: an engine that can may compute in bfloat16 what the graph has in FP32: two to three times as fast, at
    about 40 dB of the noise estimate.
    ``repeats``: runs follow each other, as in the diffusion loop: within a run threads may spin while they wait.
    ``checksum``: of the graph with its weights, as found on the disk; by it an engine may keep what it makes of them.
    ``plans``: the folder of TensorRT's plans for this machine; None is where they are built, beside the graphs.
    """

    threads: int | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    fold_constants: bool = True
    plans: Path | None = None
    bfloat16: bool = False
    repeats: bool = False
    checksum: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        threads = self.threads
        if threads is not None and (type(threads) is not int or not 1 <= threads <= MOST_THREADS):
            raise EngineError(
                f"threads must be 1 to {MOST_THREADS}, or None for the engine's own choice, not {threads!r:.80}"
            )
        if not self.providers:
            raise EngineError("providers must name at least one, such as CPUExecutionProvider")


DEFAULT_OPTIONS = EngineOptions()


def provider_names(providers: Iterable[str]) -> tuple[str, ...]:
    """Names of execution providers as a caller gives them. Raises :class:`EngineError` for what is no list of names."""
    names = () if isinstance(providers, str) or not isinstance(providers, Iterable) else tuple(providers)
    if not names or not all(isinstance(name, str) for name in names):
        raise EngineError(f'providers must be a list of names such as ["CPUExecutionProvider"], not {providers!r:.80}')
    return names


class Engine(abc.ABC):
    """One network, ready to run. A context manager; closed, it gives its memory back and refuses to run.

    This class checks and an adapter computes: arrays reach ``_run`` and ``_bind`` only with the names, dtypes and
    shapes that the graph declares. An adapter calls ``super().__init__`` once it has opened the graph.
    """

    name: ClassVar[str]
    """What the engine is called, on the command line too."""
    providers: tuple[str, ...] = ()
    """The execution providers that really serve it, for an engine that has such."""
    bfloat16: bool = False
    """Whether it computes in bfloat16, as asked for."""

    def __init__(self, graph: str, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
        self.graph = graph
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._open = True
        self._process = os.getpid()
        stays_open_when_forked(self)

    @classmethod
    def load_library(cls) -> None:
        """Load what it computes with, which opening a graph does otherwise. Raises :class:`EngineError` without it."""
        return

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once. The arrays returned are new ones and belong to the caller.

        Raises :class:`TensorError` where ``feeds`` are not the declared inputs, :class:`EngineError` where the engine
        is closed or fails.
        """
        self._require_open()
        self._check("inputs", self.inputs, feeds)
        return self._run(feeds)

    def bind(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> Callable[[], None]:
        """Fix the arrays of many runs: each call of the function returned runs once, from and into these very arrays.

        The arrays stay the caller's, who changes the inputs and reads the outputs in place between calls; the function
        keeps them alive. They must be C-contiguous, and the outputs writeable. Raises like :meth:`run`.
        """
        self._require_open()
        self._check("inputs", self.inputs, inputs)
        self._check("outputs", self.outputs, outputs)
        for name, array in [*inputs.items(), *outputs.items()]:
            if not array.flags.c_contiguous:
                raise TensorError(f"{self.graph}: {name} must be C-contiguous to be bound")
        for name, array in outputs.items():
            if not array.flags.writeable:
                raise TensorError(f"{self.graph}: output {name} must be writeable to be bound")
        replay = self._bind(dict(inputs), dict(outputs))

        def run_bound() -> None:
            self._require_open()
            replay()

        stays_open_when_forked(replay)
        return run_bound

    def close(self) -> None:
        """Give the network's memory back. Closing twice is harmless, and in a forked process nothing is done."""
        if self._open and self._process == os.getpid():
            self._open = False
            self._close()

    def __enter__(self: E) -> E:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abc.abstractmethod
    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the checked ``feeds``; return every declared output in an array of its own."""

    @abc.abstractmethod
    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Callable[[], None]:
        """Return a function that runs once, from and into these checked arrays, and keeps them alive."""

    @abc.abstractmethod
    def _close(self) -> None:
        """Let go of everything that the engine holds; called once."""

    def _require_open(self) -> None:
        if not self._open:
            raise EngineError(f"{self.graph}: the engine is closed; open it again to run it")
        if self._process != os.getpid():
            raise EngineError(f"{self.graph}: the engine was opened before this process was forked; open it again here")

    def _check(self, what: str, specs: tuple[TensorSpec, ...], arrays: Mapping[str, np.ndarray]) -> None:
        try:
            check_feeds(specs, arrays)
        except TensorError as error:
            raise TensorError(f"{self.graph}, {what}: {error}") from None


def onnx_file(path: str | os.PathLike[str]) -> Path:
    """The path of a graph's file; its stem is the graph's name. Raises :class:`EngineError` where there is none."""
    path = Path(path)
    if not path.is_file():
        raise EngineError(f"{path.stem}: there is no ONNX file at {path}")
    return path


@contextmanager
def errors_as(what: str) -> Iterator[None]:
    """Turn whatever a library raises, mostly without a common base, into one line: ``what`` went wrong, and why."""
    try:
        yield
    except MdsgenError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise EngineError(f"{what}: {reason}") from error
