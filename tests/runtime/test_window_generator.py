"""One window, stage by stage: the loop is the sampler's, and the stages are timed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mdsgen.bundle import Bundle
from mdsgen.errors import SettingsError
from mdsgen.geometry import PAPER
from mdsgen.runtime import Networks, Timings, WindowGenerator, sample, seeded_noise
from mdsgen.runtime.solver import plan_steps, timesteps_of
from mdsgen.sampling import Sampling

STAGES = ["video encoder", "conditioning", "denoiser", "latent decoder", "vocoder"]
SAMPLING = Sampling(steps=5, guidance=3.0)


@pytest.fixture(scope="module")
def networks(bundle_path: Path) -> Iterator[Networks]:
    with Networks(Bundle.open(bundle_path)) as opened:
        yield opened


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).random((PAPER.video_frames, 3, 224, 224), dtype=np.float32)


@pytest.fixture(scope="module")
def modulations(networks: Networks, frames: np.ndarray) -> np.ndarray:
    plan = plan_steps(SAMPLING, networks.schedule)
    return networks.condition(networks.encode(frames), timesteps_of(plan))


def test_the_loop_is_the_sampler_s(networks: Networks, modulations: np.ndarray) -> None:
    """The plain sampler, given the modulations of each step's timestep, arrives at the same latent."""
    of_timestep = {step.timestep: modulations[i] for i, step in enumerate(plan_steps(SAMPLING, networks.schedule))}
    expected = sample(
        lambda latent, timestep: networks.denoise(latent, of_timestep[timestep]),
        seeded_noise(PAPER, 3),
        SAMPLING,
        networks.schedule,
    )
    latent = WindowGenerator(networks, SAMPLING).denoise(seeded_noise(PAPER, 3), modulations)
    np.testing.assert_array_equal(latent, expected)


def test_a_window_is_its_five_stages(networks: Networks, frames: np.ndarray, modulations: np.ndarray) -> None:
    generator, noise = WindowGenerator(networks, SAMPLING), seeded_noise(PAPER, 3)
    sound = generator(frames, noise, Timings())
    expected = networks.vocode(networks.decode(generator.denoise(noise, modulations)))[0]
    np.testing.assert_array_equal(sound, expected)
    assert sound.dtype == np.float32
    assert sound.shape == (PAPER.samples,)


def test_the_noise_stays_the_caller_s(networks: Networks, modulations: np.ndarray) -> None:
    noise = seeded_noise(PAPER, 3)
    WindowGenerator(networks, SAMPLING).denoise(noise, modulations)
    np.testing.assert_array_equal(noise, seeded_noise(PAPER, 3))


def test_one_window_after_the_other_starts_afresh(networks: Networks, frames: np.ndarray) -> None:
    generator = WindowGenerator(networks, SAMPLING)
    first = generator(frames, seeded_noise(PAPER, 0), Timings())
    generator(1 - frames, seeded_noise(PAPER, 1), Timings())
    np.testing.assert_array_equal(generator(frames, seeded_noise(PAPER, 0), Timings()), first)


def test_every_step_is_reported_once_it_is_done(networks: Networks, modulations: np.ndarray) -> None:
    done: list[int] = []
    WindowGenerator(networks, SAMPLING).denoise(seeded_noise(PAPER, 0), modulations, done.append)
    assert done == [1, 2, 3, 4, 5]


def test_a_report_that_raises_stops_the_loop(networks: Networks, modulations: np.ndarray) -> None:
    done: list[int] = []

    def stop(step: int) -> None:
        done.append(step)
        if step == 2:
            raise InterruptedError

    generator = WindowGenerator(networks, SAMPLING)
    with pytest.raises(InterruptedError):
        generator.denoise(seeded_noise(PAPER, 0), modulations, stop)
    assert done == [1, 2]
    generator.denoise(seeded_noise(PAPER, 0), modulations)


def test_stages_are_timed_in_their_order_and_added_up(networks: Networks, frames: np.ndarray) -> None:
    generator, timings = WindowGenerator(networks, SAMPLING), Timings()
    generator(frames, seeded_noise(PAPER, 0), timings)
    assert list(timings.seconds) == STAGES
    assert all(seconds > 0 for seconds in timings.seconds.values())
    once = dict(timings.seconds)
    generator(frames, seeded_noise(PAPER, 0), timings)
    assert list(timings.seconds) == STAGES
    assert all(timings.seconds[stage] > once[stage] for stage in STAGES)
    assert timings.total == sum(timings.seconds.values())


def test_a_stage_that_fails_is_timed_as_well() -> None:
    timings = Timings()
    with pytest.raises(RuntimeError), timings.stage("vocoder"):
        raise RuntimeError
    assert list(timings.seconds) == ["vocoder"]


def test_more_steps_than_the_model_was_trained_in_are_refused(networks: Networks) -> None:
    with pytest.raises(SettingsError, match="steps must be a whole number from 1 to 1000, not 1001"):
        WindowGenerator(networks, Sampling(1001))
