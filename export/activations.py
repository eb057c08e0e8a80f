"""What flows into the linear layers of the denoiser, seen while it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from mdsgen.errors import ExportError
from mdsgen.export.linear_layers import linear_layers


class Activations:
    """The denoiser, and the largest magnitude that each channel of a linear layer's input has had so far."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.maxima: dict[str, np.ndarray] = {}
        """By the name of the layer's input, ``[K]``."""
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        (self._output,) = [value.name for value in model.graph.output]
        self._inputs = {layer.input: layer.name for layer in linear_layers(model)}
        seen = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in self._inputs]
        watched.graph.output.extend(seen)
        self._session = open_model(watched)

    def __call__(self, latent: np.ndarray, modulations: np.ndarray) -> np.ndarray:
        """``latent [1, C, H, W]``, ``modulations [2, V, D]`` -> noise of both branches ``[2, C, H, W]``.

        Raises :class:`ExportError` where an activation is not finite, with the first such layer's name.
        """
        feeds = {"latent": latent, "modulations": modulations}
        noise, *inputs = self._session.run([self._output, *self._inputs], feeds)
        for name, values in zip(self._inputs, inputs, strict=True):  # [branches, tokens, K] each
            largest = np.abs(values).max(axis=tuple(range(values.ndim - 1)))  # [K]
            if not np.isfinite(largest).all():
                raise ExportError(f"what flows into the layer {self._inputs[name]} is not finite: check the weights")
            self.maxima[name] = np.maximum(self.maxima.get(name, largest), largest)
        found: np.ndarray = noise
        return found


def open_model(model: onnx.ModelProto) -> Any:
    """A model in memory as a session of ONNX Runtime; bias tables are not unfolded, to stay small."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["ConstantFolding"],
    )
