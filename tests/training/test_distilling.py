"""A student learns to give its teacher's guided noise in one pass, where few-step sampling will need it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mdsgen.errors import TrainingError
from mdsgen.model.denoiser import Denoiser
from mdsgen.runtime.sampler import sample
from mdsgen.sampling import Sampling
from mdsgen.training.denoising import sample_latents
from mdsgen.training.distilling import StudentConfig, StudentStage
from mdsgen.training.recipe import load_recipe
from mdsgen.training.shards import Shards
from mdsgen.training.trained import save_trained
from tests.training.datasets import TINY
from tests.training.small_stages import SMALL_STUDENT, losses_of, small_stage, teacher, trainer

PLAIN = replace(SMALL_STUDENT, known_share=0.0)


def student(config: StudentConfig = SMALL_STUDENT) -> StudentStage:
    stage = StudentStage(TINY, config)
    stage.learn_from(teacher(), "checksum")
    return stage


def batch_of(stage: StudentStage, latents: Shards, size: int = 6) -> dict[str, Tensor]:
    return stage.draw(latents, size, np.random.default_rng(0))


def test_its_loss_falls(latents: Shards, tmp_path: Path) -> None:
    losses = losses_of(trainer("student", latents, tmp_path, steps=60, batch=4, ema=0.0))
    assert np.mean(losses[-15:]) < 0.7 * np.mean(losses[:5])


def test_it_begins_as_its_teacher() -> None:
    own, taught = student().denoiser.state_dict(), teacher().state_dict()
    assert all(torch.equal(own[name], value) for name, value in taught.items())


def test_the_teacher_is_no_part_of_what_is_trained_or_kept() -> None:
    stage, alone = student(), Denoiser(TINY, teacher().config)
    assert len(stage.state_dict()) == len(alone.state_dict())


@pytest.mark.parametrize("steps", [4, 2])
@pytest.mark.parametrize(
    ("solver", "target"), [("unipc-2", "noise"), ("ddim", "noise"), ("dpm-3m", "noise"), ("unipc-2", "velocity")]
)
def test_it_learns_from_the_latents_of_guided_sampling(latents: Shards, steps: int, solver: str, target: str) -> None:
    """Those that the runtime's own loop meets, each with the guided estimate there."""
    config = replace(PLAIN, steps=(steps,), solver=solver, target=target)
    stage = student(config)
    batch = batch_of(stage, latents, 2)
    clips = {name: batch[name] for name in ("latent", "features")}
    points = points_of(stage, batch)
    met = []

    def network(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        x, t = torch.from_numpy(latent), torch.full((2,), timestep)
        with torch.no_grad():
            both = [teacher()(x, t, seen)[:, :4].numpy() for seen in (clips["features"], None)]
        met.append((latent.copy(), timestep))
        return both[0], both[1]

    sample(network, batch["start"].numpy(), config.taught, config.schedule)
    for index, (latent, timestep) in enumerate(met):
        np.testing.assert_allclose(points.latent[:, index], latent, atol=1e-4)
        np.testing.assert_allclose(points.timestep[:, index], timestep, rtol=1e-6)
    assert len(met) == steps


def points_of(stage: StudentStage, batch: dict[str, Tensor]) -> object:
    from mdsgen.training.beginnings import Beginnings
    from mdsgen.training.teacher import Clips

    beginnings = Beginnings(batch["known"], batch["known_sigma"]) if "known" in batch else None
    clips = Clips(batch["latent"], batch["features"], beginnings)
    return stage._points(clips, batch["plan"], batch["start"], batch["timestep"], batch["noise"])


def test_half_of_what_it_learns_from_are_real_latents_at_any_timestep(latents: Shards) -> None:
    stage = student(PLAIN)
    batch = batch_of(stage, latents)
    points = points_of(stage, batch)
    for clip, plan in enumerate(batch["plan"].tolist()):
        steps = PLAIN.steps[plan]
        for index in range(steps, stage.evaluations):
            timestep, noise = batch["timestep"][clip, index], batch["noise"][clip, index]
            real = stage.objective.diffusion.add_noise(batch["latent"][clip][None], timestep[None], noise[None])
            torch.testing.assert_close(points.latent[clip, index], real[0])
            assert points.timestep[clip, index] == timestep


def test_what_it_learns_is_the_guided_noise(latents: Shards) -> None:
    stage = student(PLAIN)
    batch = batch_of(stage, latents, 2)
    points = points_of(stage, batch)
    at, features = points.timestep[:, -1], batch["features"]
    with torch.no_grad():
        yes, no = (teacher()(points.latent[:, -1], at, seen)[:, :4] for seen in (features, None))
    guidance = stage._teacher.strength(at)[:, None, None, None]
    torch.testing.assert_close(points.target[:, -1], no + guidance * (yes - no), atol=1e-5, rtol=1e-4)
    assert (guidance > 1.5).all()


def test_known_columns_stand_clean_in_all_that_it_learns_from_and_do_not_count(latents: Shards) -> None:
    stage = student(replace(SMALL_STUDENT, known_share=1.0, known_noise=0.0))
    batch = batch_of(stage, latents)
    points = points_of(stage, batch)
    for clip, columns in enumerate(batch["known"].tolist()):
        end = columns * TINY.patch
        expected = batch["latent"][clip, :, :, :end].expand(stage.evaluations, -1, -1, -1)
        torch.testing.assert_close(points.latent[clip, ..., :end], expected)
    before = stage(**batch)["loss"]
    stage._points = lambda *_: points._replace(target=wrong_where_known(points.target, batch["known"]))
    torch.testing.assert_close(stage(**batch)["loss"], before)


def wrong_where_known(target: Tensor, known: Tensor) -> Tensor:
    target = target.clone()
    for clip, columns in enumerate(known.tolist()):
        target[clip, ..., : columns * TINY.patch] = 1e3
    return target


def test_the_weighting_by_landing_counts_early_steps_more(latents: Shards) -> None:
    early = []
    for weighting in ("min_snr", "landing"):
        stage = student(replace(PLAIN, steps=(4,), weighting=weighting))
        weight = points_of(stage, batch_of(stage, latents, 2)).weight[0, :4]
        early.append(float(weight[0] / weight[3]))
    assert early[1] > 10 * early[0]


@pytest.mark.parametrize(
    ("steps", "solver", "target"),
    [(2, "unipc-2", "noise"), (4, "unipc-2", "noise"), (2, "dpm-2m", "noise"), (4, "unipc-2", "velocity")],
)
def test_with_substeps_it_learns_to_land_where_the_teacher_does(
    latents: Shards, steps: int, solver: str, target: str
) -> None:
    """Its own solver, given what it learns, goes through the latents of twice as many guided steps, to their end."""
    config = replace(PLAIN, steps=(steps,), substeps=2, solver=solver, target=target, clean_limit=1000.0)
    stage = student(config)
    batch = batch_of(stage, latents, 2)
    points = points_of(stage, batch)
    targets = iter(points.target.unbind(1))

    def learned(latent: np.ndarray, timestep: float) -> tuple[np.ndarray, np.ndarray]:
        return (next(targets).numpy(),) * 2

    taught = replace(config.taught, steps=2 * steps)
    expected = sample_latents(teacher(), batch["features"], batch["start"].numpy(), taught, config.schedule)
    found = sample(learned, batch["start"].numpy(), config.sampling, config.schedule)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    assert points.target.shape[1] == steps


def test_a_student_comes_near_to_guided_sampling_without_guidance(latents: Shards, tmp_path: Path) -> None:
    training = trainer("student", latents, tmp_path, steps=60, batch=6, learning_rate=2e-2, ema=0.5)
    training.fit()
    features = torch.from_numpy(latents.batch("features", range(8))).float()
    noise = np.random.default_rng(5).standard_normal((8, *TINY.latent_shape), dtype=np.float32)
    config, distilled = SMALL_STUDENT, training.finish()
    guided = sample_latents(teacher(), features, noise, config.taught, config.schedule)
    unguided = sample_latents(teacher(), features, noise, config.sampling, config.schedule)
    made = sample_latents(distilled, features, noise, config.sampling, config.schedule)
    assert np.square(made - guided).mean() < 0.6 * np.square(unguided - guided).mean()


def test_errors_of_velocity_count_alike_unless_they_are_weighted_by_landing(latents: Shards) -> None:
    for weighting, alike in (("min_snr", True), ("landing", False)):
        stage = student(replace(PLAIN, target="velocity", weighting=weighting))
        weight = points_of(stage, batch_of(stage, latents, 2)).weight
        assert bool((weight == 1).all()) is alike


def test_a_student_estimates_what_its_teacher_does(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="target = 'velocity', and a published denoiser estimates noise"):
        StudentStage(TINY, replace(SMALL_STUDENT, target="velocity")).take_checkpoint(tmp_path / "published.pt")
    toy, work = load_recipe("toy"), tmp_path / "denoiser"
    work.mkdir()
    save_trained(work, "denoiser", toy.section("denoiser").build(toy.geometry).network, toy, steps=1)
    config = toy.section("student").config
    with pytest.raises(TrainingError, match=r"target = 'velocity', and the denoiser in .* has 'noise'"):
        StudentStage(toy.geometry, replace(config, target="velocity")).take(tmp_path)


def test_its_target_is_part_of_what_it_is_where_there_is_a_choice() -> None:
    assert "target" not in small_stage("student").describe()
    assert StudentStage(TINY, replace(SMALL_STUDENT, target="velocity")).describe()["target"] == "velocity"


def test_another_teacher_is_another_training(latents: Shards, tmp_path: Path) -> None:
    trainer("student", latents, tmp_path).fit(until=1)
    training = trainer("student", latents, tmp_path)
    assert training.step == 1
    training.stage._taught_by = "another"
    with pytest.raises(TrainingError, match=r"teacher was .*, now is another"):
        training._resume()


def test_without_a_teacher_it_does_not_begin(latents: Shards) -> None:
    stage = StudentStage(TINY, SMALL_STUDENT)
    with pytest.raises(TrainingError, match="needs a teacher"):
        stage(**batch_of(stage, latents))


def test_a_teacher_of_another_make_is_refused() -> None:
    other = Denoiser(TINY, replace(teacher().config, depth=1, decode_layers=1))
    with pytest.raises(TrainingError, match=r"depth=1.*depth=2"):
        StudentStage(TINY, SMALL_STUDENT).learn_from(other, "checksum")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("steps", (), "different whole numbers"),
        ("steps", (4, 4), "different whole numbers"),
        ("steps", (65,), "at most 64"),
        ("solver", "euler", "solver must be one of"),
        ("guidance", 2000.0, "guidance must be"),
        ("clean_limit", 0.0, "clean_limit must be"),
        ("video", "clip", "known_share needs"),
        ("substeps", 0, "substeps must be"),
        ("substeps", 2, "one number of steps"),
    ],
)
def test_impossible_configurations_are_refused(field: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        replace(SMALL_STUDENT, **{field: value})


def test_its_sampling_is_its_teachers_without_guidance() -> None:
    config = replace(SMALL_STUDENT, steps=(4, 2))
    assert config.sampling == Sampling(4, 1.0, 0.01, "unipc-2", clean_limit=4.0)


def test_a_training_of_it_is_resumed_by_the_same_draws(latents: Shards) -> None:
    stage = small_stage("student")
    first, again = (stage.draw(latents, 4, np.random.default_rng(3)) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
