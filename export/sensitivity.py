"""How much INT8 harms each linear layer: measured one by one, by what each alone does to the noise estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from mdsgen.export.activations import open_model
from mdsgen.export.calibration import Feed
from mdsgen.export.int8 import to_int8
from mdsgen.export.linear_layers import LinearLayer
from mdsgen.parity import snr_db
from mdsgen.report import Report, silent

LEAST_SNR_DB = 40.0
"""What the noise estimate shall reach over all feeds together, before the most sensitive layers stop being kept."""

MOST_KEPT = 0.1
"""The largest part of all products that may stay in FP32: beyond that INT8 no longer pays."""


def sensitivities(
    model: onnx.ModelProto,
    layers: Sequence[LinearLayer],
    maxima: Mapping[str, np.ndarray],
    feeds: Sequence[Feed],
    report: Report = silent,
) -> dict[str, float]:
    """Signal-to-noise ratio in dB of the noise estimate with this layer alone in INT8, by the layer's name."""
    found = {}
    for number, layer in enumerate(layers):
        report(f"measuring INT8 in {layer.name} alone, layer {number + 1} of {len(layers)}")
        found[layer.name] = noise_snr_db(to_int8(model, [layer], maxima), feeds)
    return found


def noise_snr_db(model: onnx.ModelProto, feeds: Sequence[Feed]) -> float:
    """Signal-to-noise ratio in dB of a denoiser's noise against that of the feeds, all of them taken together."""
    session = open_model(model)
    found = [session.run(None, {"latent": feed.latent, "modulations": feed.modulations})[0] for feed in feeds]
    return snr_db(np.stack([feed.noise for feed in feeds]), np.stack(found))


def kept_layers(layers: Sequence[LinearLayer], found: Mapping[str, float]) -> list[LinearLayer]:
    """The layers that stay in FP32: those that harm most for the products they save, until the rest is good enough.

    The errors of different layers hardly know of each other, so that their energies add up to that of all together.
    """
    harm = {layer.name: 10 ** (-found[layer.name] / 10) for layer in layers}  # noise over signal
    left, products = sum(harm.values()), sum(layer.products for layer in layers)
    allowed, kept = MOST_KEPT * products, []
    for layer in sorted(layers, key=lambda layer: harm[layer.name] / layer.products, reverse=True):
        if left <= 10 ** (-LEAST_SNR_DB / 10):
            break
        if layer.products <= allowed:
            kept.append(layer)
            allowed -= layer.products
            left -= harm[layer.name]
    return kept
