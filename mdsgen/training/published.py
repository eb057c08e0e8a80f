"""Training clips by the published networks: CAVP's features and AudioLDM's latents, with nothing left but to train the
denoiser on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from mdsgen.geometry import Geometry
from mdsgen.hub import locate
from mdsgen.model.audio import AudioCodec
from mdsgen.model.video_encoder import VideoEncoder
from mdsgen.training.shards import sha256
from mdsgen.weights import load_audioldm, load_cavp, locate_audioldm


@dataclass(frozen=True)
class PublishedClips:
    """``features`` float16 ``[F, 512]`` by the CAVP checkpoint ``cavp``, and ``latent`` float16 ``[C, H, W]``, scaled,
    by the audio networks ``audioldm`` (a folder, or their name on the hub). On a GPU where there is one."""

    geometry: Geometry
    cavp: Path
    audioldm: str

    @classmethod
    def of(cls, geometry: Geometry, cavp: str | Path, audioldm: str) -> PublishedClips:
        """By files, or names ``hf://…`` and hub ids, which are fetched, and hold for the commit that they mean now."""
        located = locate_audioldm(audioldm)
        return cls(geometry, locate(cavp).path, str(located.name) if located.name else audioldm)

    @torch.no_grad()
    def __call__(self, frames: np.ndarray, sound: np.ndarray) -> dict[str, np.ndarray]:
        encoder, codec, device = _networks(self)
        features = encoder(torch.from_numpy(frames)[None].to(device))[0]  # [F, 512]
        latent = codec.encode(codec.log_mel(torch.from_numpy(sound)[None].to(device)))[0]  # [C, H, W]
        fields = {"features": features, "latent": latent}
        return {name: values.cpu().numpy().astype(np.float16) for name, values in fields.items()}

    def describe(self) -> dict[str, object]:
        return {"cavp": sha256(self.cavp), "audioldm": self.audioldm}


@lru_cache(maxsize=1)
def _networks(clips: PublishedClips) -> tuple[VideoEncoder, AudioCodec, torch.device]:
    """Read once in every worker."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    codec = load_audioldm(clips.audioldm, clips.geometry)
    return load_cavp(clips.cavp).to(device), codec.to(device), device
