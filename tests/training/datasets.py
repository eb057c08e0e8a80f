"""Small datasets for trainings that take a moment: flashes that are heard, and latents that follow from features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mdsgen.evaluation.labels import LABELS, PITCHES
from mdsgen.geometry import FEATURE_CHANNELS, SAMPLE_RATE, Geometry, MelFormat
from mdsgen.training.clips import as_int16, clip_fields, stacked
from mdsgen.training.shards import Shards, describe, write_shard

TINY = Geometry(
    name="tiny",
    channels=4,
    height=2,
    width=16,
    time_axis=1,
    compression=8,
    latent_scale=1.0,
    mel=MelFormat(bins=16, hop=256, fft=1024, f_min=125.0, f_max=7600.0, scale="unit_db"),
    frame_rate=15.625,
    frame_size=56,
)
"""2.048 s: 8 columns of 4 pictures each, 128 spectrogram frames of 16 bins, 8 tokens."""


def write_clips(folder: Path, count: int = 8, shard_clips: int = 5) -> Shards:
    """Clips in which, at moments of its own each, a square lights up and a tone begins."""
    describe(folder, {"geometry": TINY.to_dict()})
    clips = [_clip(np.random.default_rng(index)) for index in range(count)]
    for start in range(0, count, shard_clips):
        write_shard(folder, start // shard_clips, stacked(clips[start : start + shard_clips]))
    return Shards(folder)


def _clip(rng: np.random.Generator) -> dict[str, np.ndarray]:
    frames = rng.integers(0, 40, (TINY.video_frames, 56, 56, 3), dtype=np.uint8)
    sound = 0.01 * rng.standard_normal(TINY.samples).astype(np.float32)
    place, pitch = rng.integers(40), rng.uniform(200, 2000)
    onsets = np.zeros(TINY.mel_frames, np.uint8)
    for at in rng.choice(TINY.video_frames, 3, replace=False):
        frames[at, place : place + 16, 20:36] = 255
        step = int(TINY.samples_per_frame)
        onsets[at * step // TINY.mel.hop] = 1
        time = np.arange(step) / SAMPLE_RATE
        end = min(TINY.samples, (at + 1) * step)
        tone = 0.5 * np.sin(2 * np.pi * pitch * time) * np.exp(-10 * time)
        sound[at * step : end] += tone[: end - at * step]
    labels = (np.arange(len(LABELS)) == place % len(LABELS)).astype(np.uint8)
    intensity = frames.mean(axis=(1, 2, 3)).reshape(TINY.time_columns, -1).mean(axis=1) / 255
    pitches = np.outer(intensity, np.linspace(0.0, 1.0, PITCHES))
    known = {"onsets": onsets, "labels": labels}
    known |= {"intensity": intensity.astype(np.float16), "pitches": pitches.astype(np.float16)}
    return {**clip_fields(frames, as_int16(sound), TINY), **known}


def write_latents(folder: Path, count: int = 8) -> Shards:
    """Features of unit length, and latents of unit variance."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((count, TINY.video_features, FEATURE_CHANNELS))
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    latents = rng.standard_normal((count, *TINY.latent_shape), dtype=np.float32)
    describe(folder, {"geometry": TINY.to_dict()})
    write_shard(folder, 0, {"features": features.astype(np.float16), "latent": latents})
    return Shards(folder)


def write_decoded(folder: Path, count: int = 8) -> Shards:
    """Clips with two smoother spectrograms of each: a little, and over much time."""
    describe(folder, {"geometry": TINY.to_dict()})
    fields = stacked([_clip(np.random.default_rng(index)) for index in range(count)])
    mel = fields["log_mel"].astype(np.float32)
    neighbours = (np.roll(mel, 1, axis=1) + mel + np.roll(mel, -1, axis=1)) / 3
    level = np.broadcast_to(mel.mean(axis=1, keepdims=True), mel.shape)
    made = {"reconstructed": neighbours.astype(np.float16), "generated": level.astype(np.float16)}
    write_shard(folder, 0, {"sound": fields["sound"], "log_mel": fields["log_mel"], **made})
    return Shards(folder)
