"""Smoothing: what is hard to quantise in an activation goes into the weight behind it (Xiao et al., 2023).

A channel whose activation reaches far is divided by a factor, and its row of the weight multiplied by the same. The
inputs of the denoiser's projections are ``LayerNorm(x)·scale + shift``, so that the division is one of those two small
vectors, and costs nothing.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from mdsgen.export.linear_layers import LinearLayer, constants, linear_layers, replace_nodes

STRENGTH = 0.7
"""How much of the difficulty goes into the weights: 0 none, 1 all. Of 0.3, 0.5 and 0.7 the one with the highest
signal-to-noise ratio."""


def smooth(model: onnx.ModelProto, maxima: dict[str, np.ndarray], strength: float = STRENGTH) -> dict[str, np.ndarray]:
    """Smooth every linear layer behind a modulated normalisation. Changes ``model``; gives the maxima as they are then.

    ``maxima`` are those of :class:`~mdsgen.export.activations.Activations`.
    """
    smoothed = dict(maxima)
    readers = Counter(name for node in model.graph.node for name in node.input)
    for layer in linear_layers(model):
        modulation = _modulation(model, layer)
        if modulation is None:
            continue
        if any(readers[name] != 1 for name in (layer.input, layer.weight, modulation[0].output[0])):
            continue  # somebody else would be given other values
        weight = constants(model)[layer.weight]
        values = numpy_helper.to_array(weight)  # [K, N]
        factors = _factors(maxima[layer.input], np.abs(values).max(axis=1), strength)  # [K]
        weight.CopyFrom(numpy_helper.from_array(values * factors[:, np.newaxis], layer.weight))
        _divide(model, *modulation, 1 / factors)
        smoothed[layer.input] = maxima[layer.input] / factors
    return smoothed


def _factors(activation: np.ndarray, weight: np.ndarray, strength: float) -> np.ndarray:
    """``activation^s / weight^(1 - s)`` per channel, scaled to a median of 1 and kept within e^±5."""
    least = np.finfo(np.float32).tiny
    exponents = strength * np.log(np.maximum(activation, least)) - (1 - strength) * np.log(np.maximum(weight, least))
    factors: np.ndarray = np.exp(np.clip(exponents - np.median(exponents), -5, 5)).astype(np.float32)
    return factors


def _modulation(model: onnx.ModelProto, layer: LinearLayer) -> tuple[NodeProto, NodeProto] | None:
    """The product and the sum of ``LayerNorm(x)·scale + shift`` that make the layer's input, if that is what it is."""
    makers = {name: node for node in model.graph.node for name in node.output}
    total = makers.get(layer.input)
    if total is None or total.op_type != "Add":
        return None
    products = [makers[name] for name in total.input if name in makers and makers[name].op_type == "Mul"]
    for product in products:
        if any(name in makers and makers[name].op_type == "LayerNormalization" for name in product.input):
            return product, total
    return None


def _divide(model: onnx.ModelProto, product: NodeProto, total: NodeProto, inverse: np.ndarray) -> None:
    """Multiply the scale and the shift by ``inverse [K]``."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constant = f"{total.output[0]}.smoothing"
    model.graph.initializer.append(numpy_helper.from_array(inverse, constant))
    added: dict[str, list[NodeProto]] = {}
    for node in (product, total):
        for i, name in enumerate(node.input):
            normalised = name in makers and makers[name].op_type == "LayerNormalization"
            if normalised or name == product.output[0]:
                continue
            smaller = f"{name}.{node.output[0]}.smoothed"
            added.setdefault(node.output[0], []).append(helper.make_node("Mul", [name, constant], [smaller], smaller))
            node.input[i] = smaller
    replace_nodes(model, [each for node in model.graph.node for each in (*added.get(node.output[0], ()), node)])
