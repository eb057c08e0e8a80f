"""What an engine on a GPU gives beside the protocol: its stream, and addresses instead of arrays."""

from __future__ import annotations

import abc
from collections.abc import Collection
from typing import TYPE_CHECKING

from mdsgen.engines.base import Engine

if TYPE_CHECKING:
    from mdsgen.engines.cuda import Device, Memory


class DeviceEngine(Engine):
    """An engine that runs on the stream of a :class:`~mdsgen.engines.cuda.Device`, from and into its memory.

    ``run`` and ``bind`` work as with every engine, through pinned memory. Whoever keeps all tensors on the device sets
    shapes and addresses once, or between two calls of :meth:`enqueue`, and may capture those calls. A ``run`` in
    between changes the addresses.
    """

    device: Device
    shape_changes: int
    """How often an input's shape has changed: a graph that was captured before the last time is of no use."""

    @property
    @abc.abstractmethod
    def activation_bytes(self) -> int:
        """The device memory that a run needs beside inputs and outputs."""

    @abc.abstractmethod
    def use_activations(self, memory: Memory) -> None:
        """Run in this memory, which stays the caller's and outlives the engine's last run."""

    @abc.abstractmethod
    def length_range(self, name: str, axis: int) -> tuple[int, int]:
        """The shortest and the longest that an input may be along an axis."""

    @abc.abstractmethod
    def set_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Choose an input's shape where it has lengths that are not fixed."""

    @abc.abstractmethod
    def output_shape(self, name: str) -> tuple[int, ...]:
        """The shape of an output once the shapes of all inputs are set."""

    @abc.abstractmethod
    def set_address(self, name: str, address: int) -> None:
        """Where on the device a tensor lies from the next :meth:`enqueue` on."""

    @abc.abstractmethod
    def enqueue(self) -> None:
        """Put one run on the stream and come back at once. Raises :class:`~mdsgen.errors.EngineError` if refused."""


def share_activations(engines: Collection[DeviceEngine]) -> Memory:
    """One activation memory for engines that never run at the same time: as much as the greediest needs.

    The caller frees it once the engines are closed.
    """
    device = next(iter(engines)).device
    memory = device.allocate(max(engine.activation_bytes for engine in engines))
    for engine in engines:
        engine.use_activations(memory)
    return memory
