"""Reading and writing the audio networks in the folder layout of diffusers, which is AudioLDM's.

``vae/`` and ``vocoder/`` each hold a ``config.json`` and one weights file. Only known settings are taken from a
configuration, and only tensors from a weights file: neither can name a class, a package or an address.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mdsgen.errors import CheckpointError, GeometryError, HubError
from mdsgen.geometry import RELEASE, Geometry
from mdsgen.hub import HubName, Located, fetch, fetch_first, is_hub_name
from mdsgen.model.audio import AudioCodec
from mdsgen.weights.checkpoint import fill, line_of, read_state_dict

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan

_AUTOENCODER_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_AUTOENCODER_SETTINGS = (
    "in_channels",
    "out_channels",
    "down_block_types",
    "up_block_types",
    "block_out_channels",
    "layers_per_block",
    "act_fn",
    "latent_channels",
    "norm_num_groups",
    "sample_size",
    "scaling_factor",
    "force_upcast",
    "use_quant_conv",
    "use_post_quant_conv",
    "mid_block_add_attention",
)
_VOCODER_FILES = ("model.safetensors", "pytorch_model.bin")
_VOCODER_SETTINGS = (
    "model_in_dim",
    "sampling_rate",
    "upsample_initial_channel",
    "upsample_rates",
    "upsample_kernel_sizes",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
    "leaky_relu_slope",
    "normalize_before",
)
_WEIGHTS = {"vae": _AUTOENCODER_FILES, "vocoder": _VOCODER_FILES}
_LONGEST, _LARGEST, _MOST_LAYERS = 64, 1 << 20, 64  # list, number and depth of a block in a configuration
_CONFIG_BYTES = 1 << 20
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def locate_audioldm(source: str | Path) -> Located:
    """Where the audio networks lie: in a folder; or fetched, by a hub id or a name ``hf://…``, all of one commit.

    Raises :class:`HubError` for what the hub does not give, :class:`CheckpointError` where it was named as a hub id.
    """
    name = _hub_name(source)
    if name is None:
        return Located(Path(source))
    try:
        first = fetch(name.below("vae/config.json"))
        pinned = replace(name, revision=first.name.revision if first.name else None)
        fetch(pinned.below("vocoder/config.json"))
        for part, files in _WEIGHTS.items():
            fetch_first(pinned, [f"{part}/{file}" for file in files])
    except HubError as error:
        if is_hub_name(source):
            raise
        raise CheckpointError(f"{source}: no such folder, and as a hub id: {error}") from error
    return Located(first.path.parents[1], pinned)


def audioldm_weights(folder: str | Path) -> dict[str, Path]:
    """The weights file of each network in a folder, by its sub-folder."""
    return {part: _locate(folder, part, files) for part, files in _WEIGHTS.items()}


def load_audioldm(source: str | Path, geometry: Geometry = RELEASE) -> AudioCodec:
    """The audio networks in ``source``: a folder with ``vae/`` and ``vocoder/``, its hub id, or its name ``hf://…``.

    Files written by the diffusers and transformers of 2023 load as well as today's. Raises :class:`CheckpointError` for
    anything missing, damaged or of another model, and where the networks do not fit ``geometry``; :class:`HubError` for
    what cannot be fetched by name.
    """
    located = locate_audioldm(source)
    folder = source if located.name is None else located.path
    autoencoder, vocoder = load_autoencoder(folder), load_vocoder(folder)
    try:
        return AudioCodec(geometry, autoencoder, vocoder)
    except GeometryError as error:
        raise CheckpointError(f"{source}: {error}") from error


def save_audioldm(codec: AudioCodec, folder: str | Path) -> None:
    """Write the networks of ``codec`` as a folder that :func:`load_audioldm` reads, and diffusers too."""
    codec.autoencoder.save_pretrained(Path(folder) / "vae", safe_serialization=True)
    codec.vocoder.save_pretrained(Path(folder) / "vocoder", safe_serialization=True)


def load_autoencoder(source: str | Path, part: str = "vae") -> AutoencoderKL:
    """The ``AutoencoderKL`` in sub-folder ``part`` (``""``: at the top) of a folder. Raises as above."""
    from diffusers import AutoencoderKL

    config_file, weights_file = _locate(source, part, ["config.json"]), _locate(source, part, _AUTOENCODER_FILES)
    module = _build(AutoencoderKL, _read_settings(config_file, "AutoencoderKL", _AUTOENCODER_SETTINGS), config_file)
    state = read_state_dict(weights_file)
    what = f"the autoencoder that {source} describes in its configuration"
    return fill(module, _rename_attention(state), what).eval()


def load_vocoder(source: str | Path, part: str = "vocoder") -> SpeechT5HifiGan:
    """The ``SpeechT5HifiGan`` in sub-folder ``part`` of a folder, without weight norm. Raises as above."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    def hifigan(**settings: Any) -> SpeechT5HifiGan:
        return SpeechT5HifiGan(SpeechT5HifiGanConfig(**settings))

    config_file, weights_file = _locate(source, part, ["config.json"]), _locate(source, part, _VOCODER_FILES)
    module = _build(hifigan, _read_settings(config_file, "SpeechT5HifiGan", _VOCODER_SETTINGS), config_file)
    state = read_state_dict(weights_file)
    what = f"the vocoder that {source} describes in its configuration"
    return fill(module, _fold_weight_norm(state), what).eval()


# Where a file is


def _locate(source: str | Path, part: str, names: Sequence[str]) -> Path:
    """The first of ``names`` that exists in sub-folder ``part`` of a folder."""
    folder = Path(os.path.expanduser(source))  # Path.expanduser raises for the home of an unknown user
    if not folder.is_dir():
        is_file = " is a file: expected a folder with vae/ and vocoder/ in it, or a hub id"
        raise CheckpointError(f"{source}{is_file if folder.exists() else ': no such folder'}")
    for name in names:
        if (folder / part / name).is_file():
            return folder / part / name
    place = folder / part
    found = sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []
    listing = ", ".join(found[:5]) or "nothing"
    raise CheckpointError(f"{place}: expected {' or '.join(names)}, found {listing}")


def _hub_name(source: str | Path) -> HubName | None:
    """What is to be fetched; None for a folder, whether it is there or not."""
    if is_hub_name(source):
        return HubName.parse(str(source))
    here = isinstance(source, Path) or not _HUB_ID.fullmatch(source) or os.path.exists(source)
    return None if here else HubName(str(source))


# What is in it


def _read_settings(path: Path, architecture: str, names: Iterable[str]) -> dict[str, Any]:
    """Those of ``names`` that a ``config.json`` sets; refused where it names another architecture."""
    try:
        if path.stat().st_size > _CONFIG_BYTES:
            raise CheckpointError(f"{path}: expected a configuration, found {path.stat().st_size} bytes")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a readable configuration ({line_of(error)})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected the configuration of {architecture}, found {type(config).__name__}")
    named = config.get("_class_name") or config.get("architectures") or architecture
    if named not in (architecture, [architecture]):
        raise CheckpointError(f"{path}: expected the configuration of {architecture}, found that of {str(named)[:80]}")
    settings = {name: config[name] for name in names if name in config}
    if absurd := [name for name, value in settings.items() if _is_absurd(name, value)]:
        raise CheckpointError(f"{path}: no network can be built from this configuration: {absurd[0]} is too large")
    return settings


def _is_absurd(name: str, value: object) -> bool:
    """Whether a network of this setting would take minutes to lay out, before its weights are even looked at."""
    if isinstance(value, list):
        return len(value) > _LONGEST or any(_is_absurd(name, item) for item in value)
    most = _MOST_LAYERS if name == "layers_per_block" else _LARGEST
    return isinstance(value, (int, float)) and not -most <= value <= most


def _build(architecture: Callable[..., Any], settings: Mapping[str, Any], path: Path) -> Any:
    """The network with these settings, on the meta device: all its weights come from the weights file."""
    try:
        with torch.device("meta"):
            return architecture(**settings)
    except Exception as error:  # whatever a nonsensical configuration makes the libraries raise
        raise CheckpointError(f"{path}: no network can be built from this configuration ({line_of(error)})") from error


_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def _rename_attention(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """diffusers before 0.17 named the parts of an attention otherwise."""
    pattern = re.compile(rf"(\.attentions\.\d+\.)({'|'.join(_ATTENTION)})(?=\.)")
    return {pattern.sub(lambda hit: hit[1] + _ATTENTION[hit[2]], name): value for name, value in state.items()}


_WEIGHT_NORM = {  # the gain and the direction of a weight, as either of PyTorch's weight norms names them
    ".weight_g": ".weight_v",
    ".parametrizations.weight.original0": ".parametrizations.weight.original1",
}


def _fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every pair of gain and direction as the weight it amounts to; what is no pair keeps its name."""
    folded = dict(state)
    for name, gain in state.items():
        for gain_suffix, direction_suffix in _WEIGHT_NORM.items():
            layer = name.removesuffix(gain_suffix)
            direction = state.get(layer + direction_suffix)
            if layer == name or direction is None or direction.dim() != 3 or f"{layer}.weight" in state:
                continue
            norm = direction.float().norm(dim=(1, 2), keepdim=True)  # [channels, 1, 1]
            if gain.shape == norm.shape:
                del folded[name], folded[layer + direction_suffix]
                folded[f"{layer}.weight"] = direction.float() * (gain.float() / norm)
    return folded
