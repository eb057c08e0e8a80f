"""Verification measures what it says: each figure sees its own network alone, the clip sees them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from mdsgen.bundle import CONDITIONING, DENOISER, GRAPHS, LATENT_DECODER, VIDEO_ENCODER, VOCODER
from mdsgen.errors import ExportError
from mdsgen.export import Models
from mdsgen.export.graphs import Conditioning, DenoiserStep
from mdsgen.export.original import PyTorchOriginal
from mdsgen.export.verify import Reference, compare, run_reference
from mdsgen.parity import UNUSABLE
from mdsgen.precision import CLIP, PRECISIONS, SPECTROGRAM
from mdsgen.runtime import WindowGenerator, seeded_noise
from mdsgen.runtime.solver import plan_steps, timesteps_of
from mdsgen.sampling import Sampling
from tests.export.conftest import least, small_models

SAMPLING = Sampling(steps=4, guidance=3.0)
METHODS = dict(zip(GRAPHS, ("encode", "condition", "denoise", "decode", "vocode"), strict=True))


class PyTorchNetworks:
    """The runtime's five networks, computed by PyTorch: an export without any error."""

    def __init__(self, models: Models) -> None:
        self.models, self.geometry, self.schedule = models, models.geometry, models.schedule
        self.branches = 2
        self.plan = partial(plan_steps, schedule=models.schedule)
        self.step, self.conditioning = DenoiserStep(models.denoiser), Conditioning(models.denoiser)

    def encode(self, frames: np.ndarray) -> np.ndarray:
        return np.asarray(self.models.video_encoder(torch.from_numpy(frames)[None]))

    def condition(self, features: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.asarray(self.conditioning(torch.from_numpy(features), torch.from_numpy(timesteps)))

    @torch.no_grad()
    def denoise(self, latent: np.ndarray, modulations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        noise = self.step(torch.from_numpy(latent), torch.from_numpy(modulations)).numpy()
        return noise[:1], noise[1:]

    def denoise_conditional(self, latent: np.ndarray, modulations: np.ndarray) -> np.ndarray:
        return self.denoise(latent, modulations)[0]

    def decode(self, latent: np.ndarray) -> np.ndarray:
        return self.models.codec.decode(torch.from_numpy(latent)).contiguous().numpy()

    def vocode(self, log_mel: np.ndarray) -> np.ndarray:
        return self.models.codec.vocode(torch.from_numpy(log_mel)).numpy()


@pytest.fixture(scope="module")
def reference(models: Models, frames: np.ndarray) -> Reference:
    return run_reference(PyTorchOriginal(models), frames, SAMPLING)


@pytest.fixture
def networks(models: Models) -> PyTorchNetworks:
    return PyTorchNetworks(models)


def figures(networks: PyTorchNetworks, reference: Reference) -> dict[str, float]:
    thresholds = PRECISIONS["fp32"].thresholds
    measured = compare(networks, reference, thresholds)  # type: ignore[arg-type]
    assert [figure.graph for figure in measured] == [*GRAPHS, SPECTROGRAM, CLIP]
    assert {figure.graph: figure.threshold for figure in measured} == least("fp32")
    return {figure.graph: figure.snr_db for figure in measured}


def test_the_reference_is_the_model_s_own_way(models: Models, reference: Reference) -> None:
    timesteps = timesteps_of(plan_steps(SAMPLING, models.schedule))
    features = torch.from_numpy(reference.features)
    assert np.array_equal(reference.noise, seeded_noise(models.geometry, 0))
    assert [step for step, _, _ in reference.trajectory] == [0, 1, 3]
    assert np.array_equal(reference.trajectory[0][1], reference.noise)
    for step, latent, noise in reference.trajectory:
        t = torch.tensor([timesteps[step]], dtype=torch.float32)
        for branch, condition in enumerate((features, None)):
            expected = models.denoiser(torch.from_numpy(latent), t, condition)[0, : models.geometry.channels]
            np.testing.assert_array_equal(noise[branch], expected.numpy())
    expected = models.codec(torch.from_numpy(reference.latent)).numpy()
    np.testing.assert_allclose(reference.waveform, expected, atol=1e-6)
    assert reference.waveform.std() > 1e-3


def test_the_clip_is_sampled_as_the_bundle_says(
    models: Models, networks: PyTorchNetworks, reference: Reference, frames: np.ndarray
) -> None:
    """But for the unconditional branch, which is computed in every step."""
    sampling = SAMPLING.changed(solver="unipc-2", unconditional_every=2, guidance_interval=(200.0, 1000.0))
    other = run_reference(PyTorchOriginal(models), frames, sampling)
    both = sampling.changed(unconditional_every=1)
    assert other.sampling == both
    sampled = WindowGenerator(networks, both).denoise(other.noise, other.modulations)  # type: ignore[arg-type]
    np.testing.assert_allclose(other.latent, sampled, atol=1e-3)
    assert np.abs(other.latent - reference.latent).max() > 0.1
    assert min(figures(networks, other).values()) > 80


def test_a_perfect_export_is_near_exact(networks: PyTorchNetworks, reference: Reference) -> None:
    assert min(figures(networks, reference).values()) > 100


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_poor_network_lowers_its_own_figure_and_the_clip_s(
    networks: PyTorchNetworks, reference: Reference, graph: str
) -> None:
    def scaled(values: object) -> object:
        return tuple(1.05 * v for v in values) if isinstance(values, tuple) else 1.05 * values  # type: ignore[operator]

    _spoil(networks, graph, lambda exact, *inputs: scaled(exact(*inputs)))
    measured = figures(networks, reference)
    assert measured[graph] == pytest.approx(26.0, abs=0.1)  # 1 / 0.05
    assert measured[CLIP] < 60
    assert (measured[SPECTROGRAM] < 60) == (graph != VOCODER)
    others = [name for name in GRAPHS if name != graph]
    assert min(measured[name] for name in others) > 100


@pytest.mark.parametrize("step", [0, 1, 3])
def test_one_poor_step_is_enough(networks: PyTorchNetworks, reference: Reference, step: int) -> None:
    def denoise(exact: Callable[..., tuple[np.ndarray, ...]], latent: np.ndarray, modulations: np.ndarray) -> object:
        noise = exact(latent, modulations)
        wrong = np.array_equal(modulations, reference.modulations[step])
        return (noise[0], 1.05 * noise[1]) if wrong else noise

    _spoil(networks, DENOISER, denoise)
    assert figures(networks, reference)[DENOISER] < 40


def test_an_overflow_is_a_figure_and_not_an_exception(networks: PyTorchNetworks, reference: Reference) -> None:
    _spoil(networks, LATENT_DECODER, lambda exact, latent: np.full_like(exact(latent), np.inf))
    measured = figures(networks, reference)
    assert measured[LATENT_DECODER] == measured[SPECTROGRAM] == measured[CLIP] == UNUSABLE
    assert measured[VOCODER] > 100


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda models: models.video_encoder.project.bias, "features"),
        (lambda models: models.denoiser.blocks[0].adaLN_modulation[1].bias, "modulations"),
        (lambda models: models.denoiser.blocks[0].mlp.fc1.bias, "latent"),
        (lambda models: models.codec.vocoder.conv_post.bias, "waveform"),
    ],
    ids=[VIDEO_ENCODER, CONDITIONING, DENOISER, VOCODER],
)
def test_a_model_that_is_itself_broken_is_told_so(
    spoil: Callable[[Models], torch.Tensor], what: str, frames: np.ndarray
) -> None:
    broken = small_models()
    spoil(broken)[0] = torch.nan
    with pytest.raises(ExportError, match=f"PyTorch itself gives a {what} that is not finite"):
        run_reference(PyTorchOriginal(broken), frames, Sampling(steps=1))


def _spoil(networks: PyTorchNetworks, graph: str, change: Callable[..., object]) -> None:
    exact = getattr(networks, METHODS[graph])
    setattr(networks, METHODS[graph], lambda *inputs: change(exact, *inputs))
