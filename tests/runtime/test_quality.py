"""A bundle's defaults, a preset and what a caller names: the nearest one counts."""

from __future__ import annotations

import inspect

import pytest

from mdsgen import Pipeline
from mdsgen.bundle import SamplerDefaults
from mdsgen.errors import SettingsError
from mdsgen.runtime import PRESETS, QUALITIES, SamplerSettings, Sampling, sampler_settings

DEFAULTS = SamplerDefaults(30, 4.0, 0.5, "unipc-3", (100.0, 800.0), 2)


def test_alone_the_bundle_decides() -> None:
    assert sampler_settings(DEFAULTS) == SamplerSettings(30, 4.0, 0.5, "unipc-3", (100.0, 800.0), 2)


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_quality_leaves_the_strength_of_guidance_to_the_bundle(quality: str) -> None:
    settings, preset = sampler_settings(DEFAULTS, quality=quality), PRESETS[quality]
    assert (settings.guidance, settings.guidance_power) == (4.0, 0.5)
    assert {name: getattr(settings, name) for name in vars(preset)} == vars(preset)
    assert settings.solve()


def test_what_is_named_goes_before_the_quality() -> None:
    settings = sampler_settings(
        DEFAULTS, quality="best", steps=3, guidance=2.0, solver="ddim", guidance_interval=(0.0, 500.0)
    )
    assert (settings.steps, settings.guidance, settings.solver) == (3, 2.0, "ddim")
    assert settings.guidance_interval == (0.0, 500.0)
    assert settings.unconditional_every == PRESETS["best"].unconditional_every


def test_a_better_quality_is_more_work() -> None:
    passes = [sampler_settings(DEFAULTS, quality=quality).passes for quality in ("fast", "balanced", "best")]
    assert passes == sorted(set(passes))


def test_an_unknown_quality_is_refused() -> None:
    with pytest.raises(SettingsError, match="quality must be one of fast, balanced, best, not 'finest'"):
        sampler_settings(DEFAULTS, quality="finest")


def test_what_is_handed_on_is_what_is_taken(pipeline: Pipeline) -> None:
    assert set(Sampling.__annotations__) == inspect.signature(sampler_settings).parameters.keys() - {"defaults"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'stpes'"):
        pipeline.stream("video.mp4", stpes=3)  # type: ignore[call-arg]


def test_a_pipeline_takes_a_quality(pipeline: Pipeline) -> None:
    import numpy as np

    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    steps: set[int] = set()

    def count(progress: object) -> None:
        steps.add(progress.steps)  # type: ignore[attr-defined]

    named = pipeline(frames, quality="fast", progress=count)  # type: ignore[arg-type]
    assert steps == {PRESETS["fast"].steps}
    preset = PRESETS["fast"]
    assert not np.array_equal(named.audio, pipeline(frames, quality="fast", solver="ddim").audio)
    assert not np.array_equal(named.audio, pipeline(frames, steps=preset.steps, solver="ddim").audio)
