"""A model whose denoiser estimates velocity: its bundle says so, and makes of that what PyTorch makes of the noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.bundle import Bundle
from mdsgen.export import ExportOptions, Models, convert_bundle, export_bundle
from mdsgen.parity import snr_db
from mdsgen.runtime import Networks, WindowGenerator, seeded_noise
from mdsgen.runtime.continuous_schedule import ContinuousSchedule
from mdsgen.runtime.sampler import sample
from mdsgen.runtime.solver import timesteps_of
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule

SAMPLING = Sampling(steps=3, guidance=2.0, solver="unipc-2", clean_limit=4.0)


@pytest.fixture
def bundle(models: Models, traced_before: None, frames: np.ndarray, tmp_path: Path) -> Bundle:
    found = replace(models, schedule=NoiseSchedule(target="velocity"))
    return export_bundle(found, tmp_path / "fp32", ExportOptions("fp32"), frames=frames, sampling=SAMPLING)


def test_the_runtime_makes_of_it_what_pytorch_makes_of_the_noise_that_it_stands_for(
    bundle: Bundle, models: Models, frames: np.ndarray, tmp_path: Path
) -> None:
    noise, schedule = seeded_noise(models.geometry, 3), ContinuousSchedule(NoiseSchedule())
    with Networks(bundle, "onnxruntime") as networks:
        generator = WindowGenerator(networks, SAMPLING)
        features = networks.encode(frames)
        made = generator.denoise(noise, networks.condition(features, timesteps_of(generator._plan)))

    def of_noise(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        time = (timestep + 1) / 1000  # of 1000 steps
        x, at = torch.from_numpy(latent), torch.tensor([timestep], dtype=torch.float32)
        with torch.no_grad():
            found = [models.denoiser(x, at, seen).numpy() for seen in (torch.from_numpy(features), None)]
        alpha, sigma = np.float32(schedule.alpha(time)), np.float32(schedule.sigma(time))
        yes, no = (alpha * output[:, : models.geometry.channels] + sigma * latent for output in found)
        return yes, no

    expected = sample(of_noise, noise, SAMPLING, NoiseSchedule())
    assert snr_db(expected, made) > 60
    assert "velocity at 3 steps, worst" in [figure.what for figure in bundle.manifest.parity]
    converted = convert_bundle(bundle, tmp_path / "half", ExportOptions("fp16-weights"), frames=frames)
    assert bundle.manifest.schedule == converted.manifest.schedule == NoiseSchedule(target="velocity")
