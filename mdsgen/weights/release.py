"""MDSGen's published denoiser (``mdsgen_audioldm.pt``), and any other file with its names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mdsgen.errors import CheckpointError
from mdsgen.geometry import PAPER, RELEASE, Geometry
from mdsgen.model.attention import relative_position_index
from mdsgen.model.denoiser import SIZES, Denoiser, DenoiserConfig
from mdsgen.weights.checkpoint import fill, read_state_dict

_BIAS_TABLE = "blocks.0.attn.rel_pos_bias.relative_position_bias_table"
_TELLING = ("pos_embed", "x_embedder.proj.weight", "t_embedder.mlp.0.weight", _BIAS_TABLE)
_WIDEST = 1 << 14  # of a denoiser; the published ones have 768 channels at most

RELEASED_DECODE_LAYERS = 4
PUBLISHED = (PAPER, RELEASE)
"""The geometries that such a file may be of."""


def load_release(path: str | Path, decode_layer: int | None = RELEASED_DECODE_LAYERS) -> Denoiser:
    """The denoiser in a released or self-trained file, in eval mode on the CPU, in float32.

    Geometry, width, depth and heads are read from the file. ``decode_layer`` is not in it: the number of last blocks
    before which the second position embedding is added, 4 in the release; None takes that of the published size with
    this width and depth. Raises :class:`CheckpointError` for anything else than a whole MDSGen denoiser.
    """
    return denoiser_from_state(read_state_dict(path), decode_layer, str(path))


def denoiser_from_state(state: Mapping[str, Tensor], decode_layer: int | None, source: str) -> Denoiser:
    """As :func:`load_release`, from tensors by name; ``source`` stands in the errors."""
    try:
        geometry, config = _read_shape(state, decode_layer)
        with torch.device("meta"):
            denoiser = Denoiser(geometry, config)
        denoiser = fill(denoiser, state, f"an MDSGen denoiser ({config.depth} blocks of {config.width})")
        _check_indices(denoiser)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error
    return denoiser.eval()


def _read_shape(state: Mapping[str, Tensor], decode_layer: int | None) -> tuple[Geometry, DenoiserConfig]:
    missing = [name for name in _TELLING if name not in state]
    ranks = {"pos_embed": 3, "x_embedder.proj.weight": 4, "t_embedder.mlp.0.weight": 2, _BIAS_TABLE: 2}
    if missing or any(state[name].dim() != rank for name, rank in ranks.items()):
        expected, found = ", ".join(missing or _TELLING), ", ".join(list(state)[:5])
        raise CheckpointError(
            f"this is not an MDSGen denoiser: expected {expected}; found {len(state)} names: {found} …"
        )
    tokens, width = state["pos_embed"].shape[1:]
    channels = state["x_embedder.proj.weight"].shape[1]
    fitting = [g for g in PUBLISHED if (g.tokens, g.channels) == (tokens, channels)]
    if not fitting:
        known = ", ".join(f"{g.name}: {g.tokens} and {g.channels}" for g in PUBLISHED)
        raise CheckpointError(f"no geometry has {tokens} tokens and {channels} latent channels ({known})")
    timestep_channels = state["t_embedder.mlp.0.weight"].shape[1]
    if max(width, timestep_channels) > _WIDEST:
        raise CheckpointError(f"this is not an MDSGen denoiser: {width} channels, {timestep_channels} for the timestep")
    depth = len({name.split(".")[1] for name in state if re.match(r"blocks\.\d+\.", name)})
    try:
        config = DenoiserConfig(
            width=width,
            depth=depth,
            heads=state[_BIAS_TABLE].shape[1],
            decode_layers=_published_decode_layers(width, depth) if decode_layer is None else decode_layer,
            timestep_channels=timestep_channels,
        )
    except ValueError as error:
        raise CheckpointError(f"this is not an MDSGen denoiser: {error}") from error
    return fitting[0], config


def _published_decode_layers(width: int, depth: int) -> int:
    fitting = (size.decode_layers for size in SIZES.values() if (size.width, size.depth) == (width, depth))
    return next(fitting, RELEASED_DECODE_LAYERS)


def _check_indices(denoiser: Denoiser) -> None:
    """The file's relative position indices are data, too: one that differs would silently be another model."""
    expected = relative_position_index(denoiser.geometry.grid)
    for name, buffer in denoiser.named_buffers():
        if name.endswith("relative_position_index") and not torch.equal(buffer, expected):
            raise CheckpointError(f"{name} is not the index of a {denoiser.geometry.grid} token grid")
