"""Known columns are held along the solver's way, and what is new goes on from them."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.geometry import Geometry
from mdsgen.kernels import add_marks
from mdsgen.marks import known_mark
from mdsgen.runtime import seeded_noise
from mdsgen.runtime.continuation import column_marks, held_columns
from mdsgen.runtime.continuous_schedule import ContinuousSchedule
from mdsgen.runtime.known import Known, moved
from mdsgen.runtime.sampler import Estimates, solve
from mdsgen.runtime.solver import plan_steps
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule
from tests.geometries import TALL, WIDE

both_axes = pytest.mark.parametrize("geometry", [WIDE, TALL], ids=lambda g: g.name)


def as_columns(latent: np.ndarray, geometry: Geometry) -> np.ndarray:
    """With time last."""
    return latent.swapaxes(-1, -2) if geometry.time_axis == 0 else latent


@both_axes
@pytest.mark.parametrize("solver", ["ddim", "dpm-2m", "dpm-3m", "unipc-2"])
def test_the_network_sees_them_as_noisy_as_the_rest_and_they_come_out_clean(geometry: Geometry, solver: str) -> None:
    """The network is asked at the solver's own times, at each of which a noised latent is known by formula."""
    sampling, schedule = Sampling(steps=6, solver=solver), NoiseSchedule()
    clean, noise = seeded_noise(geometry, 1), seeded_noise(geometry, 0)
    continuous = ContinuousSchedule(schedule)
    times = continuous.times(6)
    alphas, sigmas = continuous.alpha(times), continuous.sigma(times)
    seen = []

    def network(latent: np.ndarray, index: int) -> Estimates:
        seen.append(latent.copy())
        return np.tanh(latent), np.tanh(latent) * 0.5

    held = held_columns(Known(clean, 5, geometry), noise)
    latent = solve(noise, plan_steps(sampling, schedule), network, held=held)
    known = slice(0, 5 * geometry.patch)
    for index, found in enumerate(seen):
        expected = alphas[index] * clean + sigmas[index] * noise
        np.testing.assert_allclose(
            as_columns(found, geometry)[..., known], as_columns(expected, geometry)[..., known], rtol=1e-3, atol=1e-4
        )
    np.testing.assert_array_equal(as_columns(latent, geometry)[..., known], as_columns(clean, geometry)[..., known])


@both_axes
def test_what_is_new_depends_on_what_is_known(geometry: Geometry) -> None:
    """A network that mixes all columns carries them over; with nothing known the latent is what it always was."""
    plan, noise = plan_steps(Sampling(steps=4), NoiseSchedule()), seeded_noise(geometry, 0)

    def network(latent: np.ndarray, index: int) -> Estimates:
        mixed = latent - latent.mean()
        return mixed, mixed

    alone = solve(noise, plan, network)
    nothing = held_columns(Known(np.full_like(noise, 3.0), 0, geometry), noise)
    np.testing.assert_array_equal(solve(noise, plan, network, held=nothing), alone)
    new = slice(5 * geometry.patch, None)
    after = [
        solve(noise, plan, network, held=held_columns(Known(np.full_like(noise, level), 5, geometry), noise))
        for level in (0.0, 3.0)
    ]
    assert not np.allclose(*(as_columns(latent, geometry)[..., new] for latent in after))
    assert not np.allclose(as_columns(after[1], geometry)[..., new], as_columns(alone, geometry)[..., new])


@both_axes
def test_a_denoiser_that_was_trained_to_go_on_sees_them_clean_in_every_step(geometry: Geometry) -> None:
    clean, noise, seen = seeded_noise(geometry, 1), seeded_noise(geometry, 0), []

    def network(latent: np.ndarray, index: int) -> Estimates:
        seen.append(latent.copy())
        return np.tanh(latent), np.tanh(latent) * 0.5

    plan = plan_steps(Sampling(steps=4), NoiseSchedule(), continues=True)
    latent = solve(noise, plan, network, held=held_columns(Known(clean, 5, geometry), noise))
    known = slice(0, 5 * geometry.patch)
    assert len(seen) == 4
    for found in (*seen, latent):
        np.testing.assert_array_equal(as_columns(found, geometry)[..., known], as_columns(clean, geometry)[..., known])
    new = slice(5 * geometry.patch, None)
    np.testing.assert_array_equal(as_columns(seen[0], geometry)[..., new], as_columns(noise, geometry)[..., new])


@both_axes
def test_known_columns_are_marked_in_all_steps_and_branches(geometry: Geometry) -> None:
    rows = 8 + geometry.time_columns
    modulations = np.random.default_rng(0).standard_normal((3, 2, rows, 16), np.float32)  # [steps, branches, V, D]
    before, found = modulations, modulations.copy()
    add_marks(found, column_marks(Known(seeded_noise(geometry, 0), 3, geometry), 16))
    np.testing.assert_allclose(
        found[:, :, 8:11] - before[:, :, 8:11], np.broadcast_to(known_mark(16), (3, 2, 3, 16)), atol=1e-6
    )
    found[:, :, 8:11] = before[:, :, 8:11]
    np.testing.assert_array_equal(found, before)


@both_axes
def test_the_next_window_begins_with_what_this_one_gave_out(geometry: Geometry) -> None:
    latent = seeded_noise(geometry, 0)
    known = moved(latent, geometry, first=4, columns=6)
    assert known.columns == 6
    patch = geometry.patch
    np.testing.assert_array_equal(
        as_columns(known.latent, geometry)[..., : 6 * patch], as_columns(latent, geometry)[..., 4 * patch : 10 * patch]
    )
