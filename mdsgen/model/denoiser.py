"""The denoiser: a masked diffusion transformer whose every block is modulated by timestep and video.

Architecture: DiT with adaLN-Zero (Peebles & Xie, 2023), masking and side interpolater from MDT (Gao et al., 2023), as
used by MDSGen (ICLR 2025). Parameter names are those of MDSGen's public release, so that its files load as they are.

The work falls apart in two, and so does the code: :meth:`Denoiser.condition` and :meth:`Denoiser.modulations` depend on
timestep and video only and can be computed for all steps ahead; :meth:`Denoiser.denoise` is what remains in the loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from mdsgen.errors import TensorError
from mdsgen.geometry import FEATURE_CHANNELS, Geometry
from mdsgen.marks import known_mark
from mdsgen.model.attention import Attention
from mdsgen.model.embedding import PatchEmbedding, TimestepEmbedding, sincos_position_embedding
from mdsgen.model.masking import Mask
from mdsgen.model.reducer import FrameColumns, FramePooling, FrameProjection

MLP_RATIO = 4
BLOCK_MODULATIONS = 6  # shift, scale, gate of the attention, then of the MLP
FINAL_MODULATIONS = 2  # shift, scale


@dataclass(frozen=True)
class DenoiserConfig:
    """The size of a denoiser. ``decode_layers`` blocks at the end see all tokens even in masked training.

    ``video`` says what the denoiser learns of the video: ``"clip"`` is the published Reducer's one vector for the whole
    clip; with ``"columns"`` each time column of tokens is told of its own video frame as well.
    """

    width: int
    depth: int
    heads: int
    decode_layers: int
    timestep_channels: int = 256
    video: Literal["clip", "columns"] = "clip"

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "decode_layers", "timestep_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.video not in ("clip", "columns"):
            raise ValueError(f"video must be 'clip' or 'columns', not {self.video!r}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of 4 for the position embedding")
        if not 1 <= self.decode_layers <= self.depth:
            raise ValueError(f"decode layers must be 1 to depth {self.depth}, not {self.decode_layers}")
        if self.timestep_channels % 2:
            raise ValueError(f"timestep channels must be even, not {self.timestep_channels}")

    @property
    def modulations(self) -> int:
        """Vectors that modulate one pass, all blocks and the final layer."""
        return BLOCK_MODULATIONS * self.depth + FINAL_MODULATIONS


SIZES = {
    #                       width  depth  heads  decode layers
    "tiny": DenoiserConfig(192, 7, 3, 2),
    "small": DenoiserConfig(384, 12, 6, 4),
    "base": DenoiserConfig(768, 12, 12, 4),
}
"""The paper's sizes: 5 M, 33 M and 131 M parameters in its geometry."""

TIMESTEP_CHANNELS = {"release": 204}
"""Where a geometry's public weights have another timestep embedding than DiT's 256 channels."""


def config(size: str, geometry: Geometry) -> DenoiserConfig:
    """The named size for a geometry. Raises ``KeyError`` for an unknown name."""
    base = SIZES[size]
    channels = TIMESTEP_CHANNELS.get(geometry.name, base.timestep_channels)
    return DenoiserConfig(base.width, base.depth, base.heads, base.decode_layers, channels)


class Mlp(nn.Module):
    """Two linear layers with a tanh-approximated GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.act: nn.Module = nn.GELU(approximate="tanh")
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc2(self.act(self.fc1(x)))  # [B, N, D] -> [B, N, 4D] -> [B, N, D]
        return x


class Block(nn.Module):
    """Attention and MLP, each normalised and shifted, scaled and gated by the condition (adaLN-Zero)."""

    def __init__(self, grid: tuple[int, int], width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attn = Attention(grid, width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.mlp = Mlp(width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, BLOCK_MODULATIONS * width))

    def modulation(self, condition: Tensor) -> Tensor:
        """``[B, D] -> [B, 6, D]``."""
        vectors: Tensor = self.adaLN_modulation(condition)
        return vectors.reshape(-1, BLOCK_MODULATIONS, condition.shape[1])

    def forward(self, x: Tensor, modulation: Tensor, keep: Tensor | None = None) -> Tensor:
        """``x [B, N, D]``, ``modulation [B, 6, D]``; ``keep`` as in :class:`Attention`."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(BLOCK_MODULATIONS, dim=1)  # [B, 1, D] each
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1, keep)  # [B, N, D]
        x = x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)  # [B, N, D]
        return x


class FinalLayer(nn.Module):
    """Normalises, modulates and projects every token to the values of its patch."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(width, values)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, FINAL_MODULATIONS * width))

    def modulation(self, condition: Tensor) -> Tensor:
        """``[B, D] -> [B, 2, D]``."""
        vectors: Tensor = self.adaLN_modulation(condition)
        return vectors.reshape(-1, FINAL_MODULATIONS, condition.shape[1])

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale = modulation.chunk(FINAL_MODULATIONS, dim=1)  # [B, 1, D] each
        values: Tensor = self.linear(self.norm_final(x) * (1 + scale) + shift)  # [B, N, D] -> [B, N, patch²·2C]
        return values


class Denoiser(nn.Module):
    """Estimates the noise in a latent, given how noisy it is and what the video shows.

    ``denoiser(latent [B, C, H, W], timestep [B], features [B, 32, 512])`` returns ``[B, 2C, H, W]``: the noise, then
    the learned variance that only training uses. ``features=None`` is the unconditional branch of guidance, and
    ``known [B]`` says how many first time columns of a latent are clean already.
    """

    def __init__(self, geometry: Geometry, config: DenoiserConfig) -> None:
        super().__init__()
        self.geometry, self.config = geometry, config
        grid, width = geometry.grid, config.width
        self.pos_embed = nn.Parameter(sincos_position_embedding(*grid, width))
        self.decoder_pos_embed = nn.Parameter(sincos_position_embedding(*grid, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.x_embedder = PatchEmbedding(geometry.channels, geometry.patch, width)
        self.t_embedder = TimestepEmbedding(config.timestep_channels, width)
        self.blocks = nn.ModuleList(Block(grid, width, config.heads) for _ in range(config.depth))
        self.sideblocks = nn.ModuleList([Block(grid, width, config.heads)])
        self.final_layer = FinalLayer(width, geometry.patch**2 * 2 * geometry.channels)
        self.mlp_feat = FrameProjection(FEATURE_CHANNELS, width)
        self.conv1d_feat = FramePooling(geometry.video_features, width)
        self.columns = FrameColumns(geometry, width) if config.video == "columns" else None
        self.known_mark: Tensor  # fixed, and no part of the weights
        self.register_buffer("known_mark", torch.from_numpy(np.array(known_mark(width))), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """DiT's: Xavier for the linear layers, every block the identity, the output zero."""
        for module in [self.x_embedder.proj, *self.blocks.modules(), *self.sideblocks.modules()]:
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.xavier_uniform_(module.weight.data.flatten(1))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for layer in self.t_embedder.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.mask_token, std=0.02)
        to_zero = [block.adaLN_modulation[1] for block in (*self.blocks, *self.sideblocks, self.final_layer)]
        for layer in (*to_zero, self.final_layer.linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def reduce(self, features: Tensor) -> Tensor:
        """The Reducer: all frames' features to one vector, ``[B, 32, 512] -> [B, D]``."""
        frames = self.mlp_feat(features)  # [B, 32, D]
        reduced: Tensor = self.conv1d_feat(frames)  # [B, D]
        return reduced

    def condition(self, timestep: Tensor, features: Tensor | None, drop: Tensor | None = None) -> Tensor:
        """What modulates the blocks, ``[B, D]``. ``drop [B]`` (bool) makes those clips unconditional (training)."""
        embedded: Tensor = self.t_embedder(timestep)  # [B, D]
        if features is None:
            return embedded
        reduced = self.reduce(features)  # [B, D]
        if drop is not None:
            reduced = reduced.masked_fill(drop[:, None], 0.0)
        return embedded + reduced

    def modulations(
        self,
        condition: Tensor,
        features: Tensor | None = None,
        drop: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """What the loop is told in one step, ``[B, 6·depth + 2, D]``: the vectors of all blocks and the final layer.

        Where the config has ``video="columns"``, what is added to the tokens of each time column follows, ``[B, 6·depth
        + 2 + columns, D]``: ``features [1 or B, 32, 512]`` and ``drop`` as in :meth:`condition`. ``known [B]`` marks so
        many first columns of each clip as clean, with video or without.
        """
        vectors = [layer.modulation(condition) for layer in (*self.blocks, self.final_layer)]  # [B, 6 or 2, D] each
        if self.columns is not None:
            added = condition.new_zeros(1, self.geometry.time_columns, self.config.width)
            if features is not None:
                added = self.columns(self.mlp_feat(features))  # [1 or B, columns, D]
            if drop is not None:
                added = added.masked_fill(drop[:, None, None], 0.0)
            added = added.expand(condition.shape[0], -1, -1)  # [B, columns, D]
            if known is not None:
                marked = torch.arange(added.shape[1], device=known.device) < known[:, None]  # [B, columns]
                added = added + marked[:, :, None] * self.known_mark.to(added.dtype)
            vectors.append(added.to(vectors[0].dtype))
        elif known is not None:
            raise ValueError("only a denoiser of video = 'columns' can be told which columns are known")
        return torch.cat(vectors, dim=1)

    @property
    def vectors(self) -> int:
        """How many vectors :meth:`modulations` gives of each clip."""
        return self.config.modulations + (self.geometry.time_columns if self.columns is not None else 0)

    def embed(self, latent: Tensor) -> Tensor:
        """Tokens with their position, ``[B, C, H, W] -> [B, N, D]``. Raises :class:`TensorError` for another shape."""
        if tuple(latent.shape[1:]) != self.geometry.latent_shape:  # swapped axes would pass: they have as many tokens
            expected = ", ".join(map(str, self.geometry.latent_shape))
            raise TensorError(f"expected a latent [batch, {expected}], got {list(latent.shape)}")
        tokens: Tensor = self.x_embedder(latent)
        return tokens + self.pos_embed

    def denoise(self, x: Tensor, modulations: Tensor) -> Tensor:
        """All blocks over all tokens, ``x [B, N, D]``, ``modulations [B, V, D]`` -> ``[B, 2C, H, W]``."""
        x = self._see(x, modulations)
        encoder_layers = self.config.depth - self.config.decode_layers
        for i, block in enumerate(self.blocks):
            if i == encoder_layers:
                x = x + self.decoder_pos_embed
            x = block(x, _of_block(modulations, i))  # [B, N, D]
        return self._output(x, modulations)

    def denoise_masked(self, x: Tensor, modulations: Tensor, condition: Tensor, mask: Mask) -> Tensor:
        """As :meth:`denoise`, but the encoder blocks see only the kept tokens (training)."""
        encoder_layers = self.config.depth - self.config.decode_layers
        x = mask.select(self._see(x, modulations))  # [B, K, D]
        for i, block in enumerate(self.blocks):
            if i == encoder_layers:
                x = self.interpolate(x, condition, mask)  # [B, N, D]
            x = block(x, _of_block(modulations, i), mask.keep if i < encoder_layers else None)
        return self._output(x, modulations)

    def interpolate(self, x: Tensor, condition: Tensor, mask: Mask) -> Tensor:
        """The side interpolater: a block guesses the dropped tokens, the kept ones pass, ``[B, K, D] -> [B, N, D]``."""
        x = mask.restore(x, self.mask_token) + self.decoder_pos_embed  # [B, N, D]
        guess = x
        for block in self.sideblocks:
            guess = block(guess, block.modulation(condition))  # type: ignore[operator]  # [B, N, D]
        return torch.where(mask.dropped[:, :, None], guess, x)

    def forward(
        self,
        latent: Tensor,
        timestep: Tensor,
        features: Tensor | None = None,
        mask: Mask | None = None,
        drop_condition: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        condition = self.condition(timestep, features, drop_condition)  # [B, D]
        modulations = self.modulations(condition, features, drop_condition, known)  # [B, V, D]
        x = self.embed(latent)  # [B, N, D]
        if mask is None:
            return self.denoise(x, modulations)
        return self.denoise_masked(x, modulations, condition, mask)

    def _see(self, x: Tensor, modulations: Tensor) -> Tensor:
        """Adds to each token what its time column is to know of the video, ``[B, N, D] -> [B, N, D]``."""
        if self.columns is None:
            return x
        return x + self.columns.of_tokens(modulations[:, self.config.modulations :])

    def _output(self, x: Tensor, modulations: Tensor) -> Tensor:
        end = self.config.modulations
        return self.unpatchify(self.final_layer(x, modulations[:, end - FINAL_MODULATIONS : end]))

    def unpatchify(self, x: Tensor) -> Tensor:
        """Patches back to a latent, ``[B, N, patch²·channels] -> [B, channels, H, W]``."""
        (rows, columns), patch = self.geometry.grid, self.geometry.patch
        channels = x.shape[2] // patch**2
        x = x.reshape(-1, rows, columns, patch, patch, channels)  # [B, rows, columns, p, q, c]
        x = x.permute(0, 5, 1, 3, 2, 4)  # [B, c, rows, p, columns, q]
        return x.reshape(-1, channels, self.geometry.height, self.geometry.width)


def inference_parameters(denoiser: Denoiser) -> int:
    """How many parameters a deployed denoiser has: without the side block and mask token, which only train."""
    training_only = ("sideblocks.", "mask_token")
    return sum(p.numel() for name, p in denoiser.named_parameters() if not name.startswith(training_only))


def _of_block(modulations: Tensor, block: int) -> Tensor:
    return modulations[:, BLOCK_MODULATIONS * block : BLOCK_MODULATIONS * (block + 1)]  # [B, 6, D]
