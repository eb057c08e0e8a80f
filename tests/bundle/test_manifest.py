"""A manifest survives JSON, and refuses what it does not understand by the name of the field."""

import copy
import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.bundle import GRAPHS, SCHEMA, DataFile, Graph, Manifest
from mdsgen.bundle.graph import DTYPES
from mdsgen.errors import BundleError
from mdsgen.geometry import GEOMETRIES, RELEASE
from mdsgen.parity import Parity
from mdsgen.precision import PRECISIONS
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule
from mdsgen.tensor import TensorSpec
from tests.samplings import finite, samplings

sha256s = st.text("0123456789abcdef", min_size=64, max_size=64)
words = st.text(st.characters(codec="utf-8", exclude_characters="/\\:", exclude_categories=["Cc", "Cs"]), min_size=1)
file_names = words.filter(lambda name: name not in (".", "..", "manifest.json") and len(name.encode()) <= 200)
lengths = st.integers(1, 10**6) | st.sampled_from(["steps", "batch", "?"])
specs = st.builds(
    TensorSpec, words, st.sampled_from(sorted(DTYPES)), st.lists(lengths, max_size=5).map(tuple)
)  # a scalar has no lengths
spec_lists = st.lists(specs, min_size=1, max_size=3, unique_by=lambda spec: spec.name).map(tuple)
values = st.dictionaries(
    st.text(), st.none() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
)
figures = st.builds(Parity, st.text(), st.text(), finite | st.just(math.inf), finite)
schedules = st.builds(NoiseSchedule, st.floats(1e-6, 1e-3), st.floats(2e-3, 0.5), st.integers(1000, 5000))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    files = iter(draw(st.lists(file_names, min_size=8, max_size=8, unique=True)))
    lengths = st.integers(0, 2**40)
    shared = DataFile(next(files), draw(sha256s), draw(lengths))
    graphs = {
        name: Graph(
            file=next(files),
            sha256=draw(sha256s),
            bytes=draw(lengths),
            inputs=draw(spec_lists),
            outputs=draw(spec_lists),
            data=(shared,) if draw(st.booleans()) else (),
        )
        for name in GRAPHS
    }
    return Manifest(
        geometry=draw(st.sampled_from(list(GEOMETRIES.values()))),
        graphs=graphs,
        precision=draw(st.sampled_from(list(PRECISIONS))),
        model=draw(values),
        provenance=draw(values),
        licence=draw(st.text()),
        sampling=draw(samplings),
        schedule=draw(schedules),
        parity=tuple(draw(st.lists(figures, max_size=3))),
    )


def example() -> Manifest:
    graphs = {
        name: Graph(
            file=f"{name}.onnx",
            sha256="0" * 64,
            bytes=10,
            inputs=(TensorSpec("x", "float32", ("steps", 4)),),
            outputs=(TensorSpec("y", "float32", ("steps", 4)),),
            data=(DataFile("weights.bin", "1" * 64, 20),),
        )
        for name in GRAPHS
    }
    parity = (Parity("vocoder", "waveform", 40.0, 30.0),)
    return Manifest(RELEASE, graphs, "int8", {"size": "tiny"}, {"weights": "seeded"}, "Apache-2.0", parity=parity)


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """The example as JSON values, with the value at ``path`` replaced."""
    root = copy.deepcopy(example().to_dict())
    place: Any = root
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return root


@settings(max_examples=40)
@given(manifests())
def test_a_manifest_survives_json(manifest: Manifest) -> None:
    text = json.dumps(manifest.to_dict(), allow_nan=False)
    assert Manifest.from_dict(json.loads(text)) == manifest


@settings(max_examples=200)
@given(st.data())
def test_whatever_replaces_a_value_no_other_error_than_a_refusal_comes(data: st.DataObject) -> None:
    root = example().to_dict()
    place: Any = root
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
    try:
        manifest = Manifest.from_dict(root)
    except BundleError:
        return
    assert Manifest.from_dict(manifest.to_dict()) == manifest


def test_an_exact_figure_is_null_in_json() -> None:
    figure = Parity("vocoder", "waveform", math.inf, 30.0)
    assert figure.to_dict()["snr_db"] is None
    assert figure.passed


def test_a_figure_below_its_threshold_has_not_passed() -> None:
    assert not Parity("vocoder", "waveform", 29.9, 30.0).passed


def test_another_schema_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(BundleError, match=r"schema 3 is unknown.*reads 1 and 2: export the bundle again, or update"):
        Manifest.from_dict({"schema": 3})


def test_unknown_fields_are_ignored() -> None:
    values = example().to_dict()
    values["colour"] = "blue"
    values["graphs"]["denoiser"]["colour"] = "blue"
    values["graphs"]["denoiser"]["inputs"][0]["colour"] = "blue"
    values["sampling"]["colour"] = "blue"
    values["schedule"]["colour"] = "blue"
    assert Manifest.from_dict(values) == example()


def first_schema() -> dict[str, Any]:
    """The example as the first schema wrote it."""
    values = example().to_dict()
    for name in ("sampling", "schedule", "parity"):
        del values[name]
    sampler = {"steps": 12, "guidance": 2.0, "guidance_power": 0.5, "solver": "unipc-2", "unconditional_every": 2}
    figure = {"graph": "vocoder", "what": "waveform", "decibels": None, "threshold": 30.0}
    return {**values, "schema": 1, "sampler": sampler, "quality": [figure]}


def test_the_first_schema_reads_as_before_and_means_the_release_s_noise_schedule() -> None:
    manifest = Manifest.from_dict(first_schema())
    assert manifest.schema == 1
    assert manifest.sampling == Sampling(12, 2.0, 0.5, "unipc-2", unconditional_every=2)
    assert manifest.schedule == NoiseSchedule()
    assert manifest.parity == (Parity("vocoder", "waveform", math.inf, 30.0),)


def test_what_is_read_in_the_first_schema_is_written_in_today_s() -> None:
    manifest = Manifest.from_dict(first_schema())
    assert Manifest.from_dict(manifest.to_dict()) == dataclasses.replace(manifest, schema=SCHEMA)


def test_the_first_schema_s_sampler_from_before_there_was_a_choice_is_today_s_default() -> None:
    values = {**first_schema(), "sampler": {"steps": 25, "guidance": 5.0, "guidance_power": 0.01}}
    assert Manifest.from_dict(values).sampling == Sampling()


def test_the_first_schema_s_fields_are_named_as_it_names_them() -> None:
    values = first_schema()
    values["sampler"]["steps"] = 0
    with pytest.raises(BundleError, match="'sampler': steps must be a whole number, 1 or more, not 0"):
        Manifest.from_dict(values)


def test_that_a_denoiser_goes_on_is_said_where_it_does() -> None:
    going_on = dataclasses.replace(example(), continues=True)
    assert Manifest.from_dict(going_on.to_dict()) == going_on
    assert "continues" not in example().to_dict()
    with pytest.raises(BundleError, match="'continues' must be true or false, not 1"):
        Manifest.from_dict({**example().to_dict(), "continues": 1})


@pytest.mark.parametrize("name", sorted(example().to_dict()))
def test_a_missing_field_is_named(name: str) -> None:
    values = example().to_dict()
    del values[name]
    with pytest.raises(BundleError, match=f"{name}' is missing"):
        Manifest.from_dict(values)


@pytest.mark.parametrize("name", ["file", "sha256", "bytes", "inputs", "outputs", "data"])
def test_a_field_that_a_graph_misses_is_named_with_its_place(name: str) -> None:
    values = example().to_dict()
    del values["graphs"]["denoiser"][name]
    with pytest.raises(BundleError, match=f"graphs.denoiser.{name}' is missing"):
        Manifest.from_dict(values)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph_must_be_there(name: str) -> None:
    values = example().to_dict()
    del values["graphs"][name]
    with pytest.raises(BundleError, match=f"graphs' misses {name}"):
        Manifest.from_dict(values)


@pytest.mark.parametrize(
    "file",
    ["../denoiser.onnx", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "C:a", "a\0", "a\n", "manifest.json"],
)
def test_a_file_name_that_leaves_the_bundle_is_refused(file: str) -> None:
    for place in (("graphs", "denoiser", "file"), ("graphs", "denoiser", "data", 0, "file")):
        with pytest.raises(BundleError, match="must be a plain file name inside the bundle"):
            Manifest.from_dict(changed(*place, to=file))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("precision",), "fp8", "'precision' must be one of fp32, fp16-weights, fp16, int8"),
        (("precision",), 16, "'precision' must be text"),
        (("geometry", "latent"), [8, 204], "'geometry'"),
        (("geometry", "latent"), [8, 204, 15], "'geometry'.*does not divide"),
        (("sampling",), [], "'sampling' must be an object"),
        (("sampling", "steps"), 0, "'sampling': steps must be a whole number, 1 or more, not 0"),
        (("sampling", "steps"), 1001, "'sampling': 1001 steps are more than the 1000 that the model was trained in"),
        (("sampling", "solver"), "euler", "'sampling': solver must be one of ddim, "),
        (("sampling", "guidance_interval"), [900.0], "'sampling': guidance_interval must be two numbers"),
        (("schedule",), None, "'schedule' must be an object"),
        (("schedule", "beta_end"), 2.0, "'schedule': betas must rise between 0 and 1"),
        (("schedule", "train_steps"), 10**12, "'schedule': train_steps must be a whole number from 2 to 100000"),
        (("schedule", "kind"), "cosine", "'schedule': kind must be one of linear"),
        (("graphs",), [], "'graphs' must be an object"),
        (("graphs", "denoiser"), "denoiser.onnx", "'graphs.denoiser' must be an object"),
        (("graphs", "denoiser", "sha256"), "A" * 64, "'sha256' of denoiser.onnx must be 64 lower-case hex digits"),
        (("graphs", "denoiser", "bytes"), -1, "'bytes' of denoiser.onnx must not be negative"),
        (("graphs", "denoiser", "bytes"), 1.5, "'graphs.denoiser.bytes' must be a whole number"),
        (("graphs", "denoiser", "inputs"), [], "'inputs of denoiser.onnx' must hold one or more"),
        (("graphs", "denoiser", "inputs", 0, "dtype"), "object", "unknown dtype 'object'"),
        (("graphs", "denoiser", "inputs", 0, "dtype"), "f4", "unknown dtype 'f4'"),
        (("graphs", "denoiser", "inputs", 0, "shape"), [1, 0], r"every length of x must be 1 or more.*\[1, 0\]"),
        (("graphs", "denoiser", "inputs", 0, "shape"), [True], "every length of x must be 1 or more"),
        (("graphs", "denoiser", "inputs", 0, "shape"), [None], "every length of x must be 1 or more"),
        (("graphs", "denoiser", "outputs", 0), None, r"'graphs.denoiser.outputs\[0\]' must be an object"),
        (("graphs", "denoiser", "data", 0, "bytes"), 21, "disagrees with another graph on weights.bin"),
        (("parity", 0, "snr_db"), math.nan, r"'parity\[0\]': snr_db of vocoder"),
        (("parity", 0, "threshold"), math.inf, r"'parity\[0\]': threshold of vocoder"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    path: tuple[str | int, ...], value: Any, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        Manifest.from_dict(changed(*path, to=value))


def test_a_length_of_one_is_a_length() -> None:
    manifest = Manifest.from_dict(changed("graphs", "denoiser", "inputs", 0, "shape", to=[1, 1]))
    assert manifest.graphs["denoiser"].inputs[0].shape == (1, 1)


def test_every_file_is_listed_once() -> None:
    files = [part.file for part in example().files]
    assert sorted(files) == sorted([f"{name}.onnx" for name in GRAPHS] + ["weights.bin"])
