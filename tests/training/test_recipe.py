"""A recipe decides everything; what it does not say right is named by file and key."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mdsgen.errors import TrainingError
from mdsgen.geometry import DEMO, RELEASE
from mdsgen.training import recipe
from mdsgen.training.recipe import BUILT_IN, STAGES, Recipe, load_recipe, parse_recipe
from mdsgen.training.settings import Settings
from mdsgen.training.vocoding import VocoderConfig

TRAINING = {"steps": 10, "batch": 2, "learning_rate": 1e-3}


def parse(**values: Any) -> Recipe:
    return parse_recipe({"geometry": "demo"} | values, "my.toml")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_recipe_builds_every_stage(name: str) -> None:
    loaded = load_recipe(name)
    assert set(loaded.sections) == set(STAGES)
    assert loaded.scenes.scenes > 0
    for stage, section in loaded.sections.items():
        built = section.build(loaded.geometry)
        assert built.name == stage
        assert built.config == section.config


def test_the_demo_leaves_nothing_to_a_default() -> None:
    values = recipe._parse_toml((Path(recipe.__file__).parent / "recipes" / "demo.toml").read_text())
    for name, entry in STAGES.items():
        fields = {field.name for field in dataclasses.fields(entry.config_class())}
        assert set(values[name]) == fields | {"training"}, name
        assert set(values[name]["training"]) == {field.name for field in dataclasses.fields(Settings)}, name


def test_a_file_of_your_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'geometry = "release"\n[vocoder]\ndepth = 2\nresolutions = [64, 256]\n'
        "[vocoder.training]\nsteps = 10\nbatch = 2\nlearning_rate = 1e-3\nweight_decay = 0\n"
    )
    loaded = load_recipe(path)
    assert loaded.geometry == RELEASE
    section = loaded.section("vocoder")
    assert section.config == VocoderConfig(depth=2, resolutions=(64, 256))
    assert section.training == Settings(**TRAINING, weight_decay=0.0)  # type: ignore[arg-type]


def test_a_geometry_may_be_spelled_out() -> None:
    assert parse(geometry=DEMO.to_dict()).geometry == DEMO


def test_one_stage_of_it_is_a_recipe_too() -> None:
    whole = load_recipe("demo")
    alone = parse_recipe(whole.only("vocoder"), "metadata")
    assert alone.geometry == whole.geometry
    assert dict(alone.sections) == {"vocoder": whole.section("vocoder")}


def test_a_missing_section_is_named_when_it_is_needed() -> None:
    parsed = parse(vocoder={"training": TRAINING})
    with pytest.raises(TrainingError, match=r"my\.toml has no section \[denoiser\]: it has \[vocoder\]"):
        parsed.section("denoiser")
    with pytest.raises(TrainingError, match=r"my\.toml has no section \[data\]"):
        _ = parsed.scenes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocodr": {}}, r"my\.toml: vocodr is unknown: expected geometry, data, decoding, video_encoder"),
        ({"geometry": "huge"}, r"my\.toml: geometry is 'huge': expected one of paper"),
        ({"geometry": {"name": "x"}}, r"my\.toml: geometry: "),
        ({"vocoder": 3}, r"my\.toml: vocoder must be a section, not 3"),
        ({"vocoder": {"width": 3}}, r"my\.toml: vocoder has no training: expected a section \[vocoder\.training\]"),
        ({"vocoder": {"training": 3}}, r"my\.toml: vocoder\.training must be a section"),
        ({"vocoder": {"wdth": 3, "training": TRAINING}}, r"vocoder\.wdth is unknown: expected width, depth"),
        ({"vocoder": {"training": TRAINING | {"stps": 3}}}, r"vocoder\.training\.stps is unknown: expected steps"),
        ({"vocoder": {"training": {"steps": 3, "batch": 2}}}, r"vocoder\.training\.learning_rate is missing"),
        ({"vocoder": {"width": 2.5, "training": TRAINING}}, r"vocoder\.width must be a whole number, not 2\.5"),
        ({"vocoder": {"width": True, "training": TRAINING}}, r"vocoder\.width must be a whole number, not True"),
        ({"vocoder": {"resolutions": 5, "training": TRAINING}}, r"vocoder\.resolutions must be a list, not 5"),
        (
            {"vocoder": {"resolutions": ["a"], "training": TRAINING}},
            r"vocoder\.resolutions\[0\] must be a whole number",
        ),
        ({"vocoder": {"training": TRAINING | {"compile": 1}}}, r"training\.compile must be true or false, not 1"),
        ({"vocoder": {"training": TRAINING | {"ema": "much"}}}, r"training\.ema must be a number, not 'much'"),
        ({"vocoder": {"training": TRAINING | {"ema": 2}}}, r"vocoder\.training: ema must be at least 0"),
        ({"vocoder": {"training": TRAINING | {"schedule": "step"}}}, r"schedule must be 'cosine' or 'constant'"),
        ({"denoiser": {"size": 3, "training": TRAINING}}, r"denoiser\.size must be a text, not 3"),
        ({"data": {"scenes": 3}}, r"my\.toml: data\.first_seed is missing"),
        ({"vocoder": {"width": 1 << 40, "training": TRAINING}}, r"vocoder\.width must be between"),
        ({"vocoder": {"depth": 10_000, "training": TRAINING}}, r"vocoder\.depth must be at most 256"),
        ({"vocoder": {"smoothed": 10**400, "training": TRAINING}}, r"vocoder\.smoothed must be a number"),
        (
            {"vocoder": {"smoothed": float("nan"), "training": TRAINING}},
            r"vocoder\.smoothed must be between .* not nan",
        ),
        ({"vocoder": {"resolutions": [64] * 65, "training": TRAINING}}, r"resolutions must have at most 64 entries"),
        ({"vocoder": {"training": TRAINING | {"batch": 1 << 20}}}, r"batch must be at most 65536"),
        ({"vocoder": [[[[[[[[[["deep"]]]]]]]]]]}, r"vocoder must be a section, not \[\[\[\[\[\[\[\.\.\.\]"),
        ({"x\n" * 1000: 1}, r"my\.toml: (x\\n)+"),
        ({"geometry": DEMO.to_dict() | {"latent": [4, 16, 1 << 20]}}, r"geometry: too large to train"),
        ({"data": {"scenes": 0, "first_seed": 1}}, r"scenes must be at least 1"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message) as refusal:
        parse(**values)
    assert len(str(refusal.value)) < 600


def test_a_recipe_must_name_its_geometry() -> None:
    with pytest.raises(TrainingError, match="geometry is missing: expected one of"):
        parse_recipe({}, "my.toml")


def test_sizes_that_cannot_be_built_are_named() -> None:
    parsed = parse(denoiser={"size": "gigantic", "training": TRAINING})
    with pytest.raises(TrainingError, match="no denoiser can be built in geometry demo: size must be one of"):
        parsed.section("denoiser").build(parsed.geometry)


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no recipe nonsense .*: expected demo, toy or a TOML file"):
        load_recipe("nonsense")
    path = tmp_path / "broken.toml"
    path.write_text("geometry = ")
    with pytest.raises(TrainingError, match=r"broken\.toml is not a TOML file"):
        load_recipe(path)
    path.write_text("geometry = " + "[" * 100_000)
    with pytest.raises(TrainingError, match=r"broken\.toml is not a TOML file"):
        load_recipe(path)
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(TrainingError, match=r"broken\.toml is not a recipe: it has 1048577 bytes"):
        load_recipe(path)
    with pytest.raises(TrainingError, match="is not a file"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("stage", "sizes", "message"),
    [
        ("video_encoder", {"width": 10**7}, "more than 536870912 weights"),
        ("autoencoder", {"width": 10**7}, "more than 536870912 weights"),
        ("judge", {"joint": 10**8}, "more than 536870912 weights"),
        ("judge", {"width": 0}, "one of its sizes is 0"),
        ("vocoder", {"width": -3}, "negative dimension"),
        ("vocoder", {"crop": 513}, "crop must be 1 to 512"),
        ("vocoder", {"resolutions": []}, "resolutions must be windows of 4 to"),
        ("noisy_vocoder", {"crop": 513}, "crop must be 1 to 512"),
        ("noisy_vocoder", {"crop": 4}, "crop must be more than 4"),
        ("noisy_vocoder", {"windows": []}, "windows must be windows of 4 to"),
        ("noisy_vocoder", {"crop": 8, "windows": [8192]}, "windows must be windows of 4 to 4095 samples"),
        ("autoencoder", {"crop": 12}, "not a multiple of 8"),
        ("denoiser", {"mask_ratio": 7.0}, "mask ratio must be"),
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_taken(stage: str, sizes: dict[str, Any], message: str) -> None:
    parsed = parse(**{stage: sizes | {"training": TRAINING}})
    with pytest.raises(TrainingError, match=f"no {stage} can be built in geometry demo: .*{message}"):
        parsed.section(stage).build(parsed.geometry)
