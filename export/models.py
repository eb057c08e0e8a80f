"""The PyTorch networks that become one bundle, and where their weights come from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mdsgen.bundle import describe_file
from mdsgen.errors import ExportError
from mdsgen.geometry import DEMO, PAPER, Geometry
from mdsgen.hub import Located, locate
from mdsgen.model.audio import AudioCodec, audioldm_autoencoder, hifigan, stable_diffusion_autoencoder
from mdsgen.model.codec import Codec
from mdsgen.model.compact_autoencoder import CompactAutoencoder
from mdsgen.model.compact_codec import CompactCodec
from mdsgen.model.compact_video import CompactVideoEncoder
from mdsgen.model.denoiser import SIZES, Denoiser, config, inference_parameters
from mdsgen.model.istft_vocoder import IstftVocoder
from mdsgen.model.video_encoder import VideoEncoder
from mdsgen.sampling import Distilled, Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.training.trained import (
    WEIGHTS,
    final_stage,
    load_autoencoder,
    load_denoiser,
    load_video_encoder,
    load_vocoder,
    read_training,
)
from mdsgen.weights.audioldm import audioldm_weights, load_audioldm, locate_audioldm
from mdsgen.weights.cavp import load_cavp
from mdsgen.weights.release import load_release

UNTRAINED = "seeded, untrained: for parity and speed, not for sound"
PUBLISHED_LICENCE = "the weights keep the licences of their publishers; see provenance"


@dataclass(frozen=True)
class Models:
    """One complete MDSGen in float32 on the CPU. ``provenance`` and ``licence`` go into the manifest as they are.

    ``schedule`` is the one that the denoiser was trained with; the published models have the default. ``sampling`` is
    how clips are sampled where nobody says otherwise, and says whether the denoiser is distilled. ``continues``: it was
    trained to go on from known columns.
    """

    denoiser: Denoiser
    video_encoder: nn.Module
    codec: Codec
    provenance: dict[str, Any] = field(default_factory=lambda: {"weights": UNTRAINED})
    licence: str = "Apache-2.0"
    schedule: NoiseSchedule = field(default_factory=NoiseSchedule)
    sampling: Sampling = field(default_factory=Sampling)
    continues: bool = False

    def __post_init__(self) -> None:
        if self.denoiser.geometry != self.codec.geometry:
            raise ExportError(
                f"the denoiser is of the {self.denoiser.geometry.name} geometry, "
                f"the audio networks are of the {self.codec.geometry.name} geometry"
            )
        for module in (self.denoiser, self.video_encoder, self.codec):
            module.eval().requires_grad_(False)

    @property
    def geometry(self) -> Geometry:
        return self.denoiser.geometry

    @property
    def branches(self) -> int:
        """Of guidance: both, or the conditional one of a distilled denoiser."""
        return 2 if self.sampling.distilled is None else 1

    def describe(self) -> dict[str, Any]:
        """The denoiser's size, for the manifest."""
        c = self.denoiser.config
        return {
            "size": _size(self.denoiser),
            "width": c.width,
            "depth": c.depth,
            "heads": c.heads,
            "parameters": inference_parameters(self.denoiser),
        }


def seeded_models(geometry: Geometry = PAPER, size: str = "tiny", seed: int = 0) -> Models:
    """A geometry's architectures with seeded weights: what parity and speed can be measured on without a download."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(geometry, config(size, geometry))
        if geometry == DEMO:
            codec: Codec = CompactCodec(geometry, CompactAutoencoder(), IstftVocoder(geometry.mel))
            models = Models(denoiser, CompactVideoEncoder(geometry), codec)
        else:
            autoencoder = stable_diffusion_autoencoder() if geometry == PAPER else audioldm_autoencoder()
            codec = AudioCodec(geometry, autoencoder, hifigan(geometry))
            models = Models(denoiser, VideoEncoder(), codec)
        for module in (models.denoiser, models.video_encoder, models.codec.autoencoder, models.codec.vocoder):
            _randomise(module)
    return models


def published_models(
    checkpoint: str | Path,
    cavp: str | Path,
    audioldm: str,
    geometry: Geometry,
    decode_layer: int | None = None,
    size: str | None = None,
) -> Models:
    """Published or self-trained weights from files, or by names ``hf://…``.

    ``size``, where given, must be that of the checkpoint. ``decode_layer`` is as in
    :func:`~mdsgen.weights.load_release`.

    Raises :class:`~mdsgen.errors.CheckpointError` for a file that is not what it should be,
    :class:`~mdsgen.errors.HubError` for one that cannot be fetched, :class:`ExportError` for a denoiser of another
    geometry or size than was asked for, before the other files are read.
    """
    weights = locate(checkpoint)
    denoiser = load_release(weights.path, decode_layer)
    if denoiser.geometry != geometry:
        raise ExportError(
            f"{checkpoint} is of the {denoiser.geometry.name} geometry, not {geometry.name}: "
            f"ask for the geometry {denoiser.geometry.name}"
        )
    found = _size(denoiser)
    if size is not None and found != size:
        c = denoiser.config
        raise ExportError(f"{checkpoint} holds {c.depth} blocks of {c.width} ({found}), not the {size} model")
    encoder, audio = locate(cavp), locate_audioldm(audioldm)
    video_encoder, codec = load_cavp(encoder.path), load_audioldm(str(audio.path), geometry)
    provenance = {
        "denoiser": _described(weights),
        "decode_layer": denoiser.config.decode_layers,
        "video_encoder": _described(encoder),
        "audio": {
            **(audio.origin or {"source": audio.path.name}),
            **{part: describe_file(path).to_dict() for part, path in audioldm_weights(audio.path).items()},
        },
    }
    return Models(denoiser, video_encoder, codec, provenance, PUBLISHED_LICENCE)


def _described(weights: Located) -> dict[str, Any]:
    return {**describe_file(weights.path).to_dict(), **weights.origin}


def trained_models(work: Path) -> Models:
    """The networks that ``mdsgen-train`` trained in a folder.

    Raises :class:`~mdsgen.errors.CheckpointError` where one of them is missing or damaged, and :class:`ExportError`
    where they are not of one geometry.
    """
    vocoder, final = (final_stage(work, name) for name in ("vocoder", "denoiser"))
    denoisers = [final] if final == "denoiser" or not (work / "denoiser" / WEIGHTS).is_file() else ["denoiser", final]
    stages = ("video_encoder", "autoencoder", *dict.fromkeys(("vocoder", vocoder)), *denoisers)
    said = {stage: read_training(work / stage / WEIGHTS) for stage in stages}
    geometries = {stage: training.geometry for stage, training in said.items()}
    if len(set(geometries.values())) > 1:
        names = ", ".join(f"{stage}: {geometry.name}" for stage, geometry in geometries.items())
        raise ExportError(f"the networks in {work} are not of one geometry ({names})")
    codec = CompactCodec(geometries[final], load_autoencoder(work / "autoencoder"), load_vocoder(work / vocoder))
    provenance = {
        stage: {
            **describe_file(work / stage / WEIGHTS).to_dict(),
            "steps": training.steps,
            **training.recipe.only(stage),
        }
        for stage, training in said.items()
    }
    denoiser, video_encoder = load_denoiser(work / final), load_video_encoder(work / "video_encoder")
    config = said[final].section.config
    sampling = Sampling()
    if final == "student":
        sampling = replace(config.sampling, distilled=Distilled(config.guidance, config.steps))
    continues = config.known_share > 0
    return Models(
        denoiser,
        video_encoder,
        codec,
        provenance,
        schedule=config.schedule,
        sampling=sampling,
        continues=continues,
    )


def _size(denoiser: Denoiser) -> str:
    """The name of the published size, or ``"custom"``."""
    shape = (denoiser.config.width, denoiser.config.depth)
    return next((name for name, size in SIZES.items() if (size.width, size.depth) == shape), "custom")


def _randomise(module: nn.Module) -> None:
    """Weights that keep activations near unit size, so that every layer matters to a parity figure."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            scale = 0.1 if name.endswith(("pos_embed", "mask_token")) else parameter[0].numel() ** -0.5
            nn.init.normal_(parameter, std=scale)
