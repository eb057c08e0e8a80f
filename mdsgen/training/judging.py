"""Training the judge: true pairs of pictures and sound against shifted and mismatched ones, and what is heard in them.

As Diff-Foley (NeurIPS 2023) trains the classifier behind its alignment accuracy: half of the pairs are true, the others
have the sound of another moment or of another scene. What the judge cannot know is not asked: a steady sound that is
shifted is as true as before, and so is a rhythm shifted by its own beat. Sounds are degraded at random, so that the
judge listens to what happens and not to how cleanly it was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdsgen.errors import DatasetError, TrainingError
from mdsgen.evaluation.judge import PICTURE_RATE, PICTURE_SIZE
from mdsgen.evaluation.labels import SOUNDS, label, onset_times
from mdsgen.evaluation.matching import coincide
from mdsgen.geometry import Geometry
from mdsgen.model.judge import SUBSTEPS, Judge, JudgeConfig
from mdsgen.scenes import IMPACTS, KINDS, Truth, sample_scene
from mdsgen.training.shards import Shards
from mdsgen.training.stage import LOSS, Stage, floats, generator_from

LEAST_SHIFT = 0.25
"""Seconds that the sound of a shifted pair is too late or too early, at least: one picture."""
_CALIBRATED_OVER = 512  # clips at the end of the dataset that are never trained on


@dataclass(frozen=True)
class JudgingConfig:
    """Sizes of the judge, which pairs it learns from, and where it draws the line.

    Clips are cut to ``least_pictures`` to ``most_pictures`` pictures. ``alike`` of the mismatched pairs are of the same
    kind, and count ``steady_weight`` where that kind sounds all the time. ``passing`` of the true pairs are to be
    called aligned.
    """

    width: int = 128
    joint: int = 64
    embedding: int = 32
    least_pictures: int = 20
    most_pictures: int = 28
    alike: float = 0.5
    steady_weight: float = 0.3
    passing: float = 0.985


class JudgeStage(Stage):
    """Training of :class:`~mdsgen.model.judge.Judge` on rendered scenes, whose truth follows from their seeds."""

    name = "judge"
    fields = ("frames", "log_mel")
    config: JudgingConfig

    def __init__(self, geometry: Geometry, config: JudgingConfig) -> None:
        super().__init__()
        self.pictures = int(geometry.duration * PICTURE_RATE)  # of a clip
        if not 1 <= config.least_pictures <= config.most_pictures <= self.pictures:
            raise TrainingError(
                f"least_pictures {config.least_pictures} and most_pictures {config.most_pictures} must be in order, "
                f"and at most the {self.pictures} of a clip"
            )
        if geometry.picture_size != PICTURE_SIZE:
            raise TrainingError(f"the judge sees pictures of {PICTURE_SIZE} pixels, not of {geometry.picture_size}")
        self.geometry, self.config = geometry, config
        self.per_picture = geometry.mel_frames // self.pictures  # spectrogram frames
        sizes = (geometry.mel.bins, self.per_picture, len(KINDS), len(SOUNDS))
        self.judge = Judge(JudgeConfig(*sizes, config.width, config.joint, config.embedding))
        # Seen and heard onsets are learned beside the prediction: they lead the comparison to what it is about.
        self.seen_onsets = nn.Conv1d(config.joint, 1, kernel_size=1)
        self.heard_onsets = nn.Conv1d(config.joint, 1, kernel_size=1)
        self.seen_kinds = nn.Linear(config.joint, len(KINDS))

    @property
    def network(self) -> Judge:
        return self.judge

    def draw(self, clips: Shards, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Clips in pairs that lend each other their sound, cut to a common length.

        ``frames`` uint8 ``[B, F, 56, 56, 3]``; ``log_mel`` and ``shifted [B, F·n, bins]``; ``weights [B, 2]`` of the
        shifted and the mismatched pair; ``onsets [B, F·4]`` in 0..1; ``labels [B, 2, kinds + sounds]``, bool.
        """
        if size % 2:
            raise TrainingError(f"the judge learns from pairs of clips: expected an even batch, not {size}")
        known = _known(clips.folder, len(clips))
        indices = known.pairs(size, self.config.alike, rng)
        count = int(rng.integers(self.config.least_pictures, self.config.most_pictures + 1))
        first = rng.integers(self.pictures - count + 1, size=size)
        cuts = [
            _Cut(known.truths[i], start / PICTURE_RATE, count / PICTURE_RATE)
            for i, start in zip(indices, first, strict=True)
        ]
        log_mel = floats(clips, "log_mel", indices)  # [B, frames, bins]
        log_mel = degrade(log_mel, generator_from(rng))
        length, starts = count * self.per_picture, first * self.per_picture
        shifts = [self._shift(cut, start, length, rng) for cut, start in zip(cuts, starts, strict=True)]
        frames = [self.seen(clips, i)[start : start + count] for i, start in zip(indices, first, strict=True)]
        weights = [[float(shift != 0), self._mismatch_weight(cuts[i], cuts[i ^ 1])] for i, shift in enumerate(shifts)]
        return {
            "frames": torch.from_numpy(np.stack(frames)),
            "log_mel": _cut(log_mel, starts, length),
            "shifted": _cut(log_mel, starts + np.array(shifts), length),
            "weights": torch.tensor(weights),
            "onsets": torch.from_numpy(np.stack([cut.onsets(count * SUBSTEPS) for cut in cuts])),
            "labels": torch.from_numpy(np.stack([cut.labels for cut in cuts])),
        }

    def forward(  # type: ignore[override]
        self, frames: Tensor, log_mel: Tensor, shifted: Tensor, weights: Tensor, onsets: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        seen = self.judge.pictures(frames)  # [B, joint, T]
        both, pooled = self.judge.sound(torch.cat([log_mel, shifted]))
        heard, late = both.chunk(2)  # [B, joint, T] each
        other = heard.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)  # each pair swaps its sounds
        true, moved, swapped = (self.judge.compare(seen, sound).float() for sound in (heard, late, other))  # [B] each
        negative = torch.stack([moved, swapped], dim=1)  # [B, 2]
        wrong = (weights * F.softplus(negative)).sum() / weights.sum().clamp(min=1.0)
        alignment = 0.5 * F.softplus(-true).mean() + 0.5 * wrong
        kinds, sounds, _ = (part.float() for part in self.judge.sound.describe(pooled[: len(frames)]))
        heard_what = _certain_loss(torch.cat([kinds, sounds], dim=1), labels)
        when = _onset_loss(self.seen_onsets(seen), onsets) + _onset_loss(self.heard_onsets(heard), onsets)
        seen_what = _certain_loss(self.seen_kinds(seen.mean(dim=2)).float(), labels[:, :, : len(KINDS)])
        with torch.no_grad():
            shares = ((negative < 0) * weights).sum(dim=0) / weights.sum(dim=0).clamp(min=1e-6)
        return {
            LOSS: 2.0 * alignment + 4.0 * heard_what + 0.5 * when + 2.0 * seen_what,
            "alignment": alignment,
            "heard": heard_what,
            "when": when,
            "true_aligned": (true > 0).float().mean(),
            "shifted_rejected": shares[0],
            "mismatched_rejected": shares[1],
        }

    @torch.no_grad()
    def finish(self, clips: Shards) -> None:
        """Draw the line so that a share of the true pairs that were never trained on passes, clean or degraded."""
        device, generator = self.judge.threshold.device, torch.Generator().manual_seed(0)
        figures = []
        for index in range(_known(clips.folder, len(clips)).trained, len(clips)):
            frames = torch.from_numpy(self.seen(clips, index)[np.newaxis]).to(device)
            log_mel = floats(clips, "log_mel", [index])
            sounds = torch.cat([log_mel, degrade(log_mel, generator)]).to(device)
            figures.append(self.judge(frames.expand(2, -1, -1, -1, -1), sounds))
        aligned, _, _, embedding = self.judge.split(torch.cat(figures))
        self.judge.calibrate(aligned.quantile(1.0 - self.config.passing), embedding[0::2])

    def seen(self, clips: Shards, index: int) -> np.ndarray:
        """The pictures of a clip at the judge's own rate, ``[32, 56, 56, 3]``: those on the screen at its times."""
        times = (np.arange(self.pictures) + 0.5) / PICTURE_RATE
        frames = clips.clip("frames", index)
        seen: np.ndarray = frames[np.minimum((times * self.geometry.frame_rate).astype(int), len(frames) - 1)]
        return seen

    def _shift(self, cut: _Cut, start: int, length: int, rng: np.random.Generator) -> int:
        """Spectrogram frames by which the sound of a clip is taken too late or too early, or 0 where none is wrong."""
        second = self.geometry.mel_frames / self.geometry.duration
        candidates = np.arange(-start, self.geometry.mel_frames - length - start + 1)
        candidates = candidates[np.abs(candidates) >= LEAST_SHIFT * second]
        if cut.truth.kind not in IMPACTS or not len(candidates):
            return 0
        for shift in rng.choice(candidates, 4):
            if not cut.alike(_Cut(cut.truth, cut.start + shift / second, cut.seconds)):
                return int(shift)
        return 0

    def _mismatch_weight(self, cut: _Cut, other: _Cut) -> float:
        """How much a pair counts as mismatched."""
        if cut.truth.kind != other.truth.kind:
            return 1.0
        if cut.truth.kind in IMPACTS:
            return float(not cut.alike(other))
        return self.config.steady_weight


def degrade(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """Spectrograms ``[B, frames, bins]`` (unit_db) as other recordings and generators would have them.

    Each is made louder or quieter, loses what is below a floor of its own, is blurred a little in time and frequency,
    and gets noise, fine and coarse.
    """

    def random(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(log_mel), 1, 1, generator=generator)

    def noise(*shape: int) -> Tensor:
        return torch.randn(len(log_mel), 1, *shape, generator=generator)

    frames, bins = log_mel.shape[1:]
    over_time = F.avg_pool1d(log_mel.transpose(1, 2), 3, 1, 1, count_include_pad=False).transpose(1, 2)
    blurred = F.avg_pool1d(over_time, 3, 1, 1, count_include_pad=False)
    x = torch.lerp(log_mel, blurred, random(0.0, 1.0))
    x = x + random(-0.08, 0.08) + random(-0.05, 0.05) * torch.linspace(-1, 1, bins)  # ±8 dB, and a tilt
    coarse = F.interpolate(noise(frames // 16, bins // 8), (frames, bins), mode="bilinear").squeeze(1)
    x = x + random(0.0, 0.03) * coarse + random(0.0, 0.03) * noise(frames, bins).squeeze(1)
    return torch.maximum(x, random(-0.1, 0.25)).clamp(0.0, 1.0)


@dataclass(frozen=True)
class _Cut:
    """A part of a scene, in seconds."""

    truth: Truth
    start: float
    seconds: float

    @cached_property
    def times(self) -> np.ndarray:
        """Of its onsets, from its own start on."""
        times = onset_times(self.truth, self.start + self.seconds)
        return np.asarray(times[times >= self.start] - self.start)

    @property
    def labels(self) -> np.ndarray:
        return label(self.truth, self.start, self.start + self.seconds)

    def alike(self, other: _Cut) -> bool:
        """Whether most onsets of the two coincide, so that either sound would do for both."""
        return coincide(self.times, other.times)

    def onsets(self, steps: int) -> np.ndarray:
        """1 in the steps in which something begins, and half of it around, float32 ``[steps]``."""
        centres = (np.arange(steps) + 0.5) * self.seconds / steps
        nearest = np.abs(centres[:, None] - self.times).min(axis=1, initial=np.inf) * steps / self.seconds
        return np.asarray((nearest <= 0.5) + 0.5 * ((nearest > 0.5) & (nearest <= 1.5)), np.float32)


def _cut(log_mel: Tensor, starts: np.ndarray, length: int) -> Tensor:
    return torch.stack([clip[start : start + length] for clip, start in zip(log_mel, starts, strict=True)])


def _certain_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Over the labels that are certain."""
    present, certain = labels.unbind(dim=1)
    loss = F.binary_cross_entropy_with_logits(logits, present.float(), reduction="none")
    return (loss * certain).mean()


def _onset_loss(logits: Tensor, onsets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.squeeze(1).float(), onsets, pos_weight=onsets.new_tensor(4.0))


@dataclass(frozen=True)
class _Known:
    """What happens in every clip of a dataset of scenes; all but the last few are trained on."""

    truths: tuple[Truth, ...]

    @property
    def trained(self) -> int:
        """Clips that are trained on: the first ones."""
        return len(self.truths) - min(_CALIBRATED_OVER, max(2, len(self.truths) // 10))

    @cached_property
    def of_kind(self) -> dict[str, np.ndarray]:
        """The numbers of the clips that are trained on, by kind."""
        kinds = np.array([truth.kind for truth in self.truths[: self.trained]])
        return {kind: np.flatnonzero(kinds == kind) for kind in KINDS}

    def pairs(self, size: int, alike: float, rng: np.random.Generator) -> np.ndarray:
        """Clips to train on, ``[size]``: each even one and the next are a pair, of one kind in a share of ``alike``."""
        indices = rng.integers(self.trained, size=size)
        for at in range(1, size, 2):
            if rng.random() < alike:
                indices[at] = rng.choice(self.of_kind[self.truths[indices[at - 1]].kind])
        return indices


@lru_cache(maxsize=2)
def _known(folder: Path, count: int) -> _Known:
    description = Shards(folder).description
    if "first_seed" not in description:
        raise DatasetError(f"{folder} was not rendered from scenes: the judge learns from what is known of every clip")
    first = description["first_seed"]
    if not isinstance(first, int) or isinstance(first, bool) or first < 0:
        raise DatasetError(f"{folder} was rendered from scene {str(first)[:80]}: expected a whole number")
    duration = Geometry.from_dict(description["geometry"]).duration
    return _Known(tuple(sample_scene(first + index, duration=duration).truth for index in range(count)))
