"""PyTorch's backends compute the published network: those of a GPU here on the processor, by the same code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from mdsgen.bench.backends import Entry, Run
from mdsgen.bench.subject import Subject
from mdsgen.bench.torch_backends import Eager, TorchBackend, moved
from mdsgen.bench.torch_compiled import Compiled
from mdsgen.errors import EngineError
from mdsgen.geometry import DEMO, PAPER
from mdsgen.model.istft_vocoder import IstftVocoder
from mdsgen.parity import snr_db
from mdsgen.sampling import Sampling
from tests.bench.stand_ins import paper_inputs

PLAIN = Sampling(3, 2.0, 0.01)
LOOKS_BACK = Sampling(4, 2.0, 0.01, "unipc-3", clean_limit=0.5)
TRACED = partial(torch.compile, backend="eager", fullgraph=True)  # what max-autotune compiles, without its minutes
AS_IT_IS = partial(Compiled, compiler=lambda module: module)
Make = Callable[[Subject, int, str, torch.dtype], TorchBackend]
EVERY = pytest.mark.parametrize("make", [Eager, AS_IT_IS], ids=["torch-fp16", "torch-compile"])


@EVERY
@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 90), (torch.float16, 30)], ids=["fp32", "fp16"])
def test_is_the_published_network(subject: Subject, make: Make, dtype: torch.dtype, least: float) -> None:
    reference, backend, inputs = Eager(subject, 1, "cpu", torch.float32), make(subject, 1, "cpu", dtype), paper_inputs()

    def agree(run: Callable[[TorchBackend], Run]) -> bool:
        return snr_db(run(reference)(), run(backend)()) > least

    assert agree(lambda one: one.step(inputs))
    assert agree(lambda one: one.loop(inputs, PLAIN))
    if dtype is torch.float32:  # half precision takes a processor seconds
        assert agree(lambda one: one.loop(inputs, LOOKS_BACK))
        assert agree(lambda one: one.clip(inputs, PLAIN))
    for closing in (reference, backend):
        closing.close()


def test_every_function_is_traced_as_a_whole(subject: Subject) -> None:
    inputs = paper_inputs()
    expected, traced = (
        Compiled(subject, 1, "cpu", torch.float32, compiler) for compiler in (lambda module: module, TRACED)
    )
    for of in (lambda one: one.loop(inputs, LOOKS_BACK), lambda one: one.step(inputs)):
        assert snr_db(of(expected)(), of(traced)()) > 30


@EVERY
def test_follows_its_inputs(subject: Subject, make: Make) -> None:
    backend, inputs = make(subject, 1, "cpu", torch.float32), paper_inputs()
    loop = backend.loop(inputs, PLAIN)
    first = loop().copy()
    inputs.latent[...] *= -1
    assert snr_db(first, loop()) < 20


def test_whatever_the_loop_its_functions_are_compiled_once(subject: Subject) -> None:
    compiled: list[object] = []
    backend, inputs = (
        Compiled(subject, 1, "cpu", torch.float32, lambda module: compiled.append(module) or module),
        paper_inputs(),
    )
    for settings in (PLAIN, LOOKS_BACK, PLAIN):
        backend.loop(inputs, settings)()
    assert len(compiled) == 2  # conditioning and the step
    backend.close()
    assert not any(isinstance(value, torch.nn.Module) for value in vars(backend).values())


def test_what_is_left_out_of_cuda_graphs_is_not_timed_as_one(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def skipping(module: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: torch.Tensor) -> object:
            counters["inductor"]["cudagraph_skips"] += 1
            return module(*arguments)

        return call

    for compiler, refused in (
        (skipping, pytest.raises(EngineError, match="left a part of it out of CUDA graphs")),
        (lambda module: module, nullcontext()),
    ):
        backend = Compiled(subject, 1, "cpu", torch.float32, compiler)
        monkeypatch.setattr(backend, "_captures", True)  # as on a GPU
        with refused:
            backend.loop(paper_inputs(), PLAIN)


def test_a_copy_in_half_precision_leaves_the_original_alone(subject: Subject) -> None:
    half = moved(subject.models, "cpu", torch.float16)
    assert {parameter.dtype for parameter in half.denoiser.parameters()} == {torch.float16}
    assert {parameter.dtype for parameter in subject.models.denoiser.parameters()} == {torch.float32}


def test_the_inverse_fourier_transform_stays_in_full_precision(subject: Subject) -> None:
    vocoder = IstftVocoder(DEMO.mel, width=8, depth=1)
    vocoder.geometry = PAPER  # as a codec has one
    half = moved(replace(subject.models, codec=vocoder), "cpu", torch.float16).codec
    with torch.no_grad():
        sound = half(torch.zeros(1, 8, DEMO.mel.bins, dtype=torch.float16))
    assert (sound.dtype, sound.shape) == (torch.float32, (1, 8 * DEMO.mel.hop))


def test_precision_and_peak_are_those_of_the_data_type(subject: Subject) -> None:
    backend = Eager(subject, 1, "cpu", torch.float16)
    assert (backend.precision, backend.data_type, backend.published) == ("fp16", "fp16", True)
    assert not Compiled(subject, 1, "cpu").published


@pytest.mark.parametrize("name", ["torch-fp16", "torch-compile"])
def test_without_a_gpu_it_is_one_line(subject: Subject, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="finds no CUDA device here: compare torch-fused instead"):
        Entry(name).make(subject, 1)
