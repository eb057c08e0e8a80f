"""Training the video encoder: pictures and sound of the same moment get the same vector, all others different ones.

As CAVP is trained (Diff-Foley, NeurIPS 2023): contrast between clips teaches what is heard, contrast between moments of
one clip teaches when. Here both are one: every frame of the batch must find its own sound among all frames of all clips
and among its own clip's sound shifted by less than a frame, so that the vectors tell the time more finely than the
pictures come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from mdsgen.evaluation.labels import LABELS, PITCHES
from mdsgen.geometry import Geometry
from mdsgen.model.compact_video import CompactVideoEncoder
from mdsgen.training.disturbances import Disturbances
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage, choose, floats, generator_from

_COLDEST = math.log(100.0)  # similarity is multiplied by this at most, as in CLIP
_SMEAR = (0.3, 0.7, 1.0, 0.7, 0.3)  # of an onset, over spectrogram frames of 16 ms
_READ_OUT = 10.0  # times the numbers of a unit vector, which are small, for a head that begins near zero
_RARE = 4.0  # how much more a frame with an onset counts than one without


@dataclass(frozen=True)
class VideoEncoderConfig:
    """Sizes of the compact video encoder, how far its shifted negatives are shifted.

    ``crop`` is how many of a clip's columns are looked at, from any of them on. The contrast counts 1 beside the
    cross-entropies of the onset cue (``onset_weight``), of what is seen (``label_weight``) and of how it is pitched
    (``pitch_weight``), and the squared error of how strongly it sounds (``intensity_weight``).
    """

    channels: int = 64
    width: int = 192
    fast: int = 96
    crop: int = 16
    shift_least: float = 0.06  # seconds
    shift_most: float = 0.3
    onset_weight: float = 4.0
    label_weight: float = 30.0
    intensity_weight: float = 60.0
    pitch_weight: float = 60.0

    def __post_init__(self) -> None:
        for name in ("onset_weight", "label_weight", "intensity_weight", "pitch_weight"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name):g}")

    @property
    def weights(self) -> dict[str, float]:
        """How much each loss of what the dataset knows counts."""
        return {
            "onset": self.onset_weight,
            "what": self.label_weight,
            "how_strongly": self.intensity_weight,
            "how_high": self.pitch_weight,
        }


class VideoEncoderStage(Stage):
    """Contrastive training of :class:`~mdsgen.model.compact_video.CompactVideoEncoder` beside a sound encoder.

    Where the dataset knows when something begins to sound, its field ``onsets`` is the target of the onset cue. Where
    it knows more, a linear reading of the features must tell it: kinds and materials (``labels``), which contrast
    alone neglects where they look small, and in every column how strongly what sounds all the time does so
    (``intensity``), and how what has a pitch is pitched (``pitches``): a large bell sounds low, and the next window's
    picture of it is as large.

    Several processes contrast all their clips with each other, as one would. Their batch norms are one only on GPUs
    (see :class:`~mdsgen.training.loop.Trainer`).
    """

    name = "video_encoder"
    fields = ("frames", "log_mel")

    def __init__(self, geometry: Geometry, config: VideoEncoderConfig) -> None:
        super().__init__()
        if not 1 <= config.crop <= geometry.time_columns:
            raise ValueError(f"crop must be 1 to {geometry.time_columns} columns, not {config.crop}")
        self.geometry, self.config = geometry, config
        self.video = CompactVideoEncoder(geometry, config.channels, config.width, config.fast)
        self.sound = SoundEncoder(geometry, self.video.embedding)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(10.0)))
        self.what = nn.Linear(self.video.embedding, len(LABELS))
        self.how_strongly = nn.Linear(self.video.embedding, 1)
        self.how_high = nn.Linear(self.video.embedding, PITCHES)

    @property
    def network(self) -> CompactVideoEncoder:
        return self.video

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """``frames`` disturbed, ``log_mel``, and ``shifted``: the same spectrogram too late or too early."""
        indices, crop = choose(clips, size, rng), self.config.crop
        starts = rng.integers(self.geometry.time_columns - crop + 1, size=size)  # in columns
        second = self.geometry.mel_frames / self.geometry.duration
        shift = rng.uniform(self.config.shift_least, self.config.shift_most, size) * rng.choice([-1, 1], size)

        def cut(field: str, per_column: int, late: np.ndarray | None = None) -> Tensor:
            """The crops of a field that has so many values per column, some of them too late."""
            found = []
            for number, (index, start) in enumerate(zip(indices, starts, strict=True)):
                clip = clips.clip(field, index)
                clip = clip if late is None else np.roll(clip, late[number], axis=0)
                found.append(clip[start * per_column : (start + crop) * per_column])
            return torch.from_numpy(np.stack(found))

        frames = Disturbances()(cut("frames", self.video.per_column), generator_from(rng))
        batch = {
            "frames": frames,
            "log_mel": cut("log_mel", self.video.onsets).float(),
        }  # [B, T, ...], [B, frames, ...]
        batch["shifted"] = cut("log_mel", self.video.onsets, np.rint(shift * second).astype(int)).float()
        if "labels" in clips.fields:
            batch["labels"] = floats(clips, "labels", indices)  # [B, labels]
        for field, per_column in (("onsets", self.video.onsets), ("intensity", 1), ("pitches", 1)):
            if field in clips.fields:
                batch[field] = cut(field, per_column).float()  # [B, frames or columns, ...]
        return batch

    def forward(  # type: ignore[override]
        self, frames: Tensor, log_mel: Tensor, shifted: Tensor, **known: Tensor
    ) -> dict[str, Tensor]:
        video, cue = self.video.see(frames.permute(0, 1, 4, 2, 3).float() / 255.0)  # [B, columns, E], [B, columns, 16]
        sound, late = self.sound(torch.cat([log_mel, shifted])).chunk(2)  # [B, columns, E] each
        losses = self._contrast(*(_gathered(features).float() for features in (video, sound, late)))
        told = self._told(video.float(), cue.float(), known)
        for name, loss in told.items():
            losses[LOSS] = losses[LOSS] + self.config.weights[name] * loss
        return losses | told

    def _told(self, video: Tensor, cue: Tensor, known: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of what the dataset knows, of features ``[B, columns, E]`` and cues ``[B, columns, onsets]``."""
        losses, read = {}, _READ_OUT * video
        if "onsets" in known:
            losses["onset"] = onset_loss(cue.flatten(1), known["onsets"])
        if "labels" in known:
            losses["what"] = F.binary_cross_entropy_with_logits(self.what(read.mean(dim=1)), known["labels"])
        if "intensity" in known:
            losses["how_strongly"] = F.mse_loss(self.how_strongly(read).squeeze(2), known["intensity"])
        if "pitches" in known:
            losses["how_high"] = F.binary_cross_entropy_with_logits(self.how_high(read), known["pitches"])
        return losses

    def _contrast(self, video: Tensor, sound: Tensor, late: Tensor) -> dict[str, Tensor]:
        scale = self.log_temperature.clamp(max=_COLDEST).exp()
        count = video.shape[1]
        alike = scale * video.flatten(0, 1) @ sound.flatten(0, 1).T  # [B·F, B·F]
        too_late = scale * video @ late.transpose(1, 2)  # [B, F, F]: every column against its own clip's shifted sound
        among_sounds = torch.cat([alike, too_late.flatten(0, 1)], dim=1)  # [B·F, B·F + F]
        right = torch.arange(len(alike), device=alike.device)
        loss = 0.5 * (F.cross_entropy(among_sounds, right) + F.cross_entropy(alike.T, right))
        with torch.no_grad():
            own = alike.reshape(len(video), count, len(video), count)
            own = own.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # [B, F, F]: columns of one clip
            when = (own.argmax(dim=2) == torch.arange(count, device=own.device)).float().mean()
            unshifted = (own.diagonal(dim1=1, dim2=2) > too_late.diagonal(dim1=1, dim2=2)).float().mean()
            what = (alike.argmax(dim=1) // count == right // count).float().mean()
        return {LOSS: loss, "right_clip": what, "right_column": when, "right_shift": unshifted}


def onset_loss(cue: Tensor, onsets: Tensor) -> Tensor:
    """Cross-entropy of the cue's logits ``[B, frames]`` with onsets that are smeared over their neighbours.

    A blow that is seen a frame beside its place is nearly right; without the smear, nothing would be learned from it.
    """
    smear = onsets.new_tensor(_SMEAR)[None, None]
    target = F.conv1d(onsets[:, None], smear, padding=len(_SMEAR) // 2).squeeze(1).clamp(max=1.0)
    return F.binary_cross_entropy_with_logits(cue, target, pos_weight=cue.new_tensor(_RARE))


class SoundEncoder(nn.Module):
    """A spectrogram to one unit vector per time column, ``[B, frames, bins] -> [B, F, E]``; only for training."""

    def __init__(self, geometry: Geometry, embedding: int, width: int = 256) -> None:
        super().__init__()
        steps = geometry.patch * geometry.compression  # spectrogram frames per column
        self.layers = nn.Sequential(
            nn.Conv1d(geometry.mel.bins, width, kernel_size=5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, kernel_size=4, stride=4),  # [B, D, frames/4]
            nn.GroupNorm(1, width),
            nn.GELU(),
            nn.Conv1d(width, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv1d(width, 2 * width, kernel_size=steps // 4, stride=steps // 4),  # [B, 2D, F]
            nn.GroupNorm(1, 2 * width),
            nn.GELU(),
            nn.Conv1d(2 * width, width, kernel_size=3, padding=1),
            nn.GELU(),
            nn.Conv1d(width, embedding, kernel_size=1),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        features = self.layers(2.0 * log_mel.transpose(1, 2) - 1.0)  # [B, E, F]
        return F.normalize(features.transpose(1, 2), dim=-1)


def _gathered(features: Tensor) -> Tensor:
    """The features of all processes, so that every clip of the whole batch is a negative."""
    return _Gather.apply(features) if distributed.is_initialized() else features  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    """Every process's ``[B, ...]`` as one ``[n·B, ...]``; each gets back what all of them make of its part.

    PyTorch's own mixes gradients up where they are not contiguous.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        features = features.contiguous()
        parts = [torch.empty_like(features) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, features)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]
