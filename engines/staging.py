"""The way of arrays to an engine on a GPU and back: pinned memory and device memory for one set of shapes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress

import numpy as np

from mdsgen.engines.cuda import Memory, Pinned
from mdsgen.engines.device import DeviceEngine
from mdsgen.errors import EngineError


class Staging:
    """Buffers on both sides for inputs of these ``shapes``, made once and used in every run."""

    def __init__(self, engine: DeviceEngine, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self._engine = engine
        self._set_shapes()
        self._host: dict[str, Pinned] = {}
        self._memory: dict[str, Memory] = {}
        with ExitStack() as made:
            for spec in (*engine.inputs, *engine.outputs):
                shape = self.shapes.get(spec.name) or engine.output_shape(spec.name)
                if any(length < 0 for length in shape):
                    raise EngineError(f"{engine.graph}: the shape of {spec.name} does not follow from the inputs")
                pinned = engine.device.pinned(shape, spec.dtype)
                made.callback(pinned.free)
                memory = engine.device.allocate(max(1, pinned.array.nbytes))
                made.callback(memory.free)
                self._host[spec.name], self._memory[spec.name] = pinned, memory
            self._made = made.pop_all()

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once; the arrays returned are valid until the next run."""
        engine = self._engine
        self._set_shapes()
        for name, memory in self._memory.items():
            engine.set_address(name, memory.address)
        for spec in engine.inputs:
            self._host[spec.name].array[...] = feeds[spec.name]
            engine.device.upload(self._memory[spec.name].address, self._host[spec.name])
        engine.enqueue()
        for spec in engine.outputs:
            engine.device.download(self._host[spec.name], self._memory[spec.name].address)
        engine.device.synchronize()
        return {spec.name: self._host[spec.name].array for spec in engine.outputs}

    def free(self) -> None:
        """Give all buffers back, once nothing on the stream uses them: a run that failed may have left some there."""
        with self._made, suppress(EngineError):  # a lost device's stream is empty
            self._engine.device.synchronize()

    def _set_shapes(self) -> None:
        """Only of inputs that have a choice."""
        for spec in self._engine.inputs:
            if any(isinstance(length, str) for length in spec.shape):
                self._engine.set_shape(spec.name, self.shapes[spec.name])
