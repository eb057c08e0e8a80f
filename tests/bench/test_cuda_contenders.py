"""The GPU's PyTorch contenders compute the published network; here on the processor, by the same code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from mdsgen.bench.contenders import Entry, Run
from mdsgen.bench.cuda_contenders import Compiled, Eager, OnDevice, moved
from mdsgen.bench.subject import Inputs, Subject
from mdsgen.bench.torch_contenders import Published
from mdsgen.errors import EngineError
from mdsgen.export.models import seeded_models
from mdsgen.export.parity import decibels
from mdsgen.geometry import DEMO, PAPER
from mdsgen.runtime.clip import SamplerSettings

PLAIN = SamplerSettings(3, 2.0, 0.01)
LOOKS_BACK = SamplerSettings(4, 2.0, 0.01, "unipc-3", clean_limit=0.5)
TRACED = partial(torch.compile, backend="eager", fullgraph=True)  # what max-autotune compiles, without its minutes
Make = Callable[[Subject, str, torch.dtype], OnDevice]
MAKERS = [Eager, partial(Compiled, compiler=TRACED)]
EVERY = pytest.mark.parametrize("make", MAKERS, ids=["torch-fp16", "torch-compile"])


@pytest.mark.parametrize(
    ("make", "dtype", "least"),
    [(MAKERS[0], torch.float32, 90), (MAKERS[0], torch.float16, 30), (MAKERS[1], torch.float32, 90)],
    ids=["torch-fp16 in fp32", "torch-fp16", "torch-compile in fp32"],
)
def test_is_the_published_network(subject: Subject, make: Make, dtype: torch.dtype, least: float) -> None:
    reference, contender, inputs = Published(subject, 1), make(subject, "cpu", dtype), Inputs(PAPER)

    def agree(run: Callable[[OnDevice | Published], Run]) -> bool:
        return decibels(run(reference)(), run(contender)()) > least

    assert agree(lambda one: one.step(inputs))
    assert agree(lambda one: one.loop(inputs, PLAIN))
    assert agree(lambda one: one.loop(inputs, LOOKS_BACK))
    assert agree(lambda one: one.clip(inputs, PLAIN))
    for closing in (reference, contender):
        closing.close()


@EVERY
def test_follows_its_inputs(subject: Subject, make: Make) -> None:
    contender, inputs = make(subject, "cpu", torch.float32), Inputs(PAPER)
    loop = contender.loop(inputs, PLAIN)
    first = loop().copy()
    inputs.latent[...] *= -1
    assert decibels(first, loop()) < 20


def test_a_copy_in_half_precision_leaves_the_original_alone(subject: Subject) -> None:
    half = moved(subject.models, "cpu", torch.float16)
    assert {parameter.dtype for parameter in half.denoiser.parameters()} == {torch.float16}
    assert {parameter.dtype for parameter in subject.models.denoiser.parameters()} == {torch.float32}


def test_the_inverse_fourier_transform_stays_in_full_precision() -> None:
    codec = moved(seeded_models(DEMO, "tiny"), "cpu", torch.float16).codec
    with torch.no_grad():
        sound = codec(torch.zeros(1, *DEMO.latent_shape, dtype=torch.float16))
    assert (sound.dtype, sound.shape) == (torch.float32, (1, DEMO.samples))


def test_precision_and_peak_are_those_of_the_data_type(subject: Subject) -> None:
    contender = Eager(subject, "cpu", torch.float16)
    assert (contender.precision, contender.data_type, contender.published) == ("fp16", "fp16", True)
    assert not Compiled(subject, "cpu").published


@pytest.mark.parametrize("name", ["torch-fp16", "torch-compile"])
def test_without_a_gpu_it_is_one_line(subject: Subject, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="finds no CUDA device here: compare torch-fused instead"):
        Entry(name).make(subject, 1)
