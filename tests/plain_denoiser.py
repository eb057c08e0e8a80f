"""The denoiser once more, as plainly as can be: one clip, NumPy in float64, nothing shared with the code under test.

Written from what the papers say of it (DiT, BEiT, MDT, MDSGen); the arithmetic of every layer is spelled out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np


class PlainDenoiser:
    """``plain(latent [C, H, W], timestep, features [frames, 512] or None)`` gives ``[2C, H, W]``."""

    def __init__(
        self, weights: Mapping[str, np.ndarray], grid: tuple[int, int], heads: int, decode_layers: int
    ) -> None:
        self.weights = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
        self.grid, self.heads, self.decode_layers = grid, heads, decode_layers
        self.depth = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})

    def __call__(
        self, latent: np.ndarray, timestep: float, features: np.ndarray | None, kept: Sequence[int] | None = None
    ) -> np.ndarray:
        """``kept``: the tokens that the encoder blocks see, in this order; the side block guesses the others."""
        everywhere = list(range(self.grid[0] * self.grid[1]))
        condition = self.timestep(timestep) + (0 if features is None else self.reduced(features))
        x = self.patches(latent) + self.weights["pos_embed"][0]
        places = everywhere if kept is None else list(kept)
        x = x[places]
        for i in range(self.depth):
            if i == self.depth - self.decode_layers:
                x = self.interpolated(x, condition, places)
                places = everywhere
            x = self.block(f"blocks.{i}", x, condition, places)
        shift, scale = np.split(self.linear("final_layer.adaLN_modulation.1", silu(condition)), 2)
        return self.picture(self.linear("final_layer.linear", normalised(x, 1e-6) * (1 + scale) + shift))

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def layer_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return normalised(x, 1e-12) * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def timestep(self, timestep: float) -> np.ndarray:
        half = self.weights["t_embedder.mlp.0.weight"].shape[1] // 2
        angles = np.array([timestep * 10000 ** (-k / half) for k in range(half)])
        waves = np.concatenate([np.cos(angles), np.sin(angles)])
        return self.linear("t_embedder.mlp.2", silu(self.linear("t_embedder.mlp.0", waves)))

    def reduced(self, features: np.ndarray) -> np.ndarray:
        frames = self.layer_norm("mlp_feat.2", gelu(self.linear("mlp_feat.0", features)))  # [frames, D]
        of_each = self.weights["conv1d_feat.0.weight"][0, :, 0]  # one number per frame
        pooled = sum(weight * frame for weight, frame in zip(of_each, frames, strict=True))
        return self.layer_norm("conv1d_feat.2", gelu(pooled + self.weights["conv1d_feat.0.bias"]))

    def patches(self, latent: np.ndarray) -> np.ndarray:
        kernel, bias = self.weights["x_embedder.proj.weight"], self.weights["x_embedder.proj.bias"]
        p = kernel.shape[2]
        cells = [(r, c) for r in range(self.grid[0]) for c in range(self.grid[1])]
        cut = [latent[:, p * r : p * r + p, p * c : p * c + p] for r, c in cells]
        return np.stack([(kernel * patch).sum(axis=(1, 2, 3)) + bias for patch in cut])

    def picture(self, x: np.ndarray) -> np.ndarray:
        p = self.weights["x_embedder.proj.weight"].shape[2]
        values = x.reshape(*self.grid, p, p, -1)  # row and column within the patch, then channel
        latent = np.empty((values.shape[-1], p * self.grid[0], p * self.grid[1]))
        for r in range(p):
            for c in range(p):
                latent[:, r::p, c::p] = values[:, :, r, c].transpose(2, 0, 1)
        return latent

    def interpolated(self, x: np.ndarray, condition: np.ndarray, places: Sequence[int]) -> np.ndarray:
        position = self.weights["decoder_pos_embed"][0]
        canvas = np.repeat(self.weights["mask_token"][0], len(position), axis=0)
        canvas[places] = x
        canvas = canvas + position
        if len(places) == len(position):
            return canvas
        guess = self.block("sideblocks.0", canvas, condition, range(len(position)))
        guess[places] = canvas[places]
        return guess

    def block(self, name: str, x: np.ndarray, condition: np.ndarray, places: Sequence[int]) -> np.ndarray:
        vectors = np.split(self.linear(f"{name}.adaLN_modulation.1", silu(condition)), 6)
        shift, scale, gate = vectors[:3]
        x = x + gate * self.attention(f"{name}.attn", normalised(x, 1e-6) * (1 + scale) + shift, places)
        shift, scale, gate = vectors[3:]
        inner = self.linear(f"{name}.mlp.fc1", normalised(x, 1e-6) * (1 + scale) + shift)
        return x + gate * self.linear(f"{name}.mlp.fc2", gelu_tanh(inner))

    def attention(self, name: str, x: np.ndarray, places: Sequence[int]) -> np.ndarray:
        table = self.weights[f"{name}.rel_pos_bias.relative_position_bias_table"]
        rows, columns = self.grid
        row, column = np.divmod(np.array(places), columns)
        entry = (row[:, None] - row + rows - 1) * (2 * columns - 1) + column[:, None] - column + columns - 1
        query, key, value = np.split(self.linear(f"{name}.qkv", x), 3, axis=1)
        out = []
        for head, (q, k, v) in enumerate(
            zip(*(np.split(part, self.heads, axis=1) for part in (query, key, value)), strict=True)
        ):
            weight = np.exp(q @ k.T / math.sqrt(q.shape[1]) + table[entry, head])
            out.append(weight @ v / weight.sum(axis=1, keepdims=True))
        return self.linear(f"{name}.proj", np.concatenate(out, axis=1))


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def normalised(x: np.ndarray, epsilon: float) -> np.ndarray:
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + epsilon)
