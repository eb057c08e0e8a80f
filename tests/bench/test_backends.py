"""Backends have names, and all of them compute the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsgen.bench.backends import KINDS, Backend, Entry, first_bundle, parse
from mdsgen.bench.engine_backend import data_type
from mdsgen.bench.subject import Subject
from mdsgen.bench.torch_backends import torch_threads
from mdsgen.bundle import Bundle
from mdsgen.errors import EngineError, MdsgenError
from mdsgen.export.models import Models
from mdsgen.export.original import PyTorchOriginal
from mdsgen.export.verify import Reference, run_reference
from mdsgen.geometry import PAPER
from mdsgen.parity import snr_db
from mdsgen.sampling import Sampling
from tests.bench.stand_ins import new_inputs, paper_inputs

SAMPLING = Sampling(steps=3)
Make = Callable[[str], Backend]


@pytest.fixture(scope="module")
def reference(models: Models) -> Reference:
    """The plain clip, as an export is verified against it: other code, from the same noise."""
    return run_reference(PyTorchOriginal(models), paper_inputs().frames, SAMPLING)


@pytest.fixture
def make(subject: Subject) -> Iterator[Make]:
    made: list[Backend] = []

    def make(name: str) -> Backend:
        made.append(Entry(name).make(subject, threads=1))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.mark.parametrize("name", ["torch", "torch-fused", "onnxruntime", "openvino"])
class TestEveryOne:
    @pytest.fixture(autouse=True)
    def _installed(self, name: str) -> None:
        if name == "openvino":
            pytest.importorskip("openvino", reason="OpenVINO is not installed")

    def test_makes_the_plain_clip_from_the_same_noise(self, name: str, make: Make, reference: Reference) -> None:
        found = make(name).clip(paper_inputs(), reference.sampling)()
        assert snr_db(reference.waveform[0], found) > 60

    def test_has_the_same_latent_after_the_loop(self, name: str, make: Make, reference: Reference) -> None:
        inputs = paper_inputs()
        inputs.features = reference.features
        assert snr_db(reference.latent, make(name).loop(inputs, reference.sampling)()) > 60

    def test_estimates_the_noise_of_both_branches_in_a_step(self, name: str, make: Make, models: Models) -> None:
        inputs = paper_inputs()
        expected = PyTorchOriginal(models).denoiser(inputs.features, inputs.timestep)(inputs.latent, 0)
        found = make(name).step(inputs)()
        assert found.shape == (2, *PAPER.latent_shape)
        assert snr_db(expected, found) > 80

    def test_computes_anew_in_every_run(self, name: str, make: Make) -> None:
        inputs = paper_inputs()
        step = make(name).step(inputs)
        first = step().copy()
        inputs.latent[...] *= -1
        assert snr_db(first, step()) < 20


def test_inputs_are_the_same_for_everyone() -> None:
    one, other = new_inputs(), new_inputs()
    for name in ("latent", "timestep", "features", "frames"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(np.linalg.norm(one.features, axis=-1), 1, rtol=1e-6)


def test_names_become_entries_and_entries_names() -> None:
    entries = parse("torch, onnxruntime@some/bundle,openvino-bf16")
    assert entries == [Entry("torch"), Entry("onnxruntime", Path("some/bundle")), Entry("openvino-bf16")]
    assert [str(entry) for entry in entries] == ["torch", "onnxruntime@some/bundle", "openvino-bf16"]
    assert first_bundle(entries) == Path("some/bundle")
    assert first_bundle(parse("torch,auto")) is None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("torch,jax", f"'jax' cannot be compared: expected names out of {', '.join(KINDS)}"),
        ("torch,", "'' cannot be compared"),
        ("onnxruntime,torch,onnxruntime", "onnxruntime is named more than once"),
        ("torch@folder", "torch runs seeded weights, no bundle"),
        ("onnxruntime@", "name a bundle after the @"),
    ],
)
def test_names_that_mean_nothing_are_refused(names: str, reason: str) -> None:
    with pytest.raises(MdsgenError, match=reason.replace("(", r"\(")):
        parse(names)


def test_the_same_engine_runs_on_two_bundles() -> None:
    assert len(parse("onnxruntime,onnxruntime@a,onnxruntime@b")) == 3


def test_a_bundle_of_another_geometry_is_refused(bundle_path: Path) -> None:
    with Subject(None, "release", "tiny") as subject, pytest.raises(MdsgenError, match=r"paper geometry.* of release"):
        Entry("onnxruntime", bundle_path).source(subject)


def test_what_is_not_installed_says_how_to_install_it(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(EngineError, match=r"pip install 'mdsgen\[openvino\]'"):
        Entry("openvino").make(subject, 1).step(paper_inputs())
    with pytest.raises(EngineError, match="OpenVINO is not installed, or this processor"):
        Entry("openvino-bf16").make(subject, 1)


def test_without_pytorch_its_backends_say_how_to_install_it(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mdsgen.bench.torch_backends", None)
    with pytest.raises(MdsgenError, match=r"comparing torch needs PyTorch .* pip install 'mdsgen\[export\]'"):
        Entry("torch").make(subject, 1)


def test_without_pytorch_there_are_no_seeded_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mdsgen.export.models", None)
    missing = pytest.raises(MdsgenError, match=r"seeded weights need PyTorch .* pip install 'mdsgen\[export\]'")
    with Subject(None, "paper", "tiny") as subject, missing:
        subject.encode(np.zeros((32, 3, 224, 224), np.float32))


def test_pytorch_needs_seeded_weights_of_a_published_size(bundle_path: Path) -> None:
    with pytest.raises(MdsgenError, match="of size tiny, small, base, got size custom"):
        _ = Subject(Bundle.open(bundle_path)).models
    trained = Bundle.open(bundle_path)
    trained.manifest.provenance["weights"] = "of a training"
    with pytest.raises(MdsgenError, match="was not exported with --untrained"):
        _ = Subject(trained).models


@pytest.mark.parametrize(
    ("precision", "computed"), [("fp32", "fp32"), ("fp16", "fp32"), ("fp16-weights", "fp32"), ("int8", "int8")]
)
def test_products_are_measured_by_the_type_that_they_are_computed_in(precision: str, computed: str) -> None:
    assert data_type(precision, "onnxruntime", bfloat16=False) == computed


def test_a_gpu_is_not_measured_by_the_processor_s_peak() -> None:
    assert data_type("fp16", "tensorrt", bfloat16=False) == "cuda fp16"
    assert data_type("int8", "tensorrt", bfloat16=False) == "cuda int8"
    assert data_type("int8", "tensorrt", bfloat16=False, quantised=False) == "cuda tf32"


def test_the_automatic_choice_says_what_it_was(make: Make) -> None:
    backend = make("auto")
    assert backend.what.startswith("auto, fp32")
    backend.step(paper_inputs())
    assert backend.what.startswith(("onnxruntime, fp32", "openvino, fp32"))


def test_bfloat16_counts_where_the_engine_really_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for can, computed in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("mdsgen.bench.engine_backend.computes_bfloat16", lambda can=can: can)
        assert data_type("fp32", "openvino", bfloat16=True) == computed
        assert data_type("fp32", "openvino", bfloat16=False) == "fp32"


def test_pytorch_s_threads_are_those_asked_for_while_it_lasts(subject: Subject) -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    backend = Entry("torch").make(subject, before + 2)
    assert torch.get_num_threads() == before + 2
    backend.close()
    assert torch.get_num_threads() == before
