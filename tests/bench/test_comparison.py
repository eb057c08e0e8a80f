"""An engine and PyTorch compute the same step in one run, or are not compared at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mdsgen.bench.comparison import EAGER, PUBLISHED, compare_with_torch, seeded_as, torch_threads
from mdsgen.bundle import Bundle
from mdsgen.errors import EngineError, MdsgenError
from mdsgen.export.models import Models
from mdsgen.geometry import PAPER
from mdsgen.model.audio import AudioCodec, hifigan, stable_diffusion_autoencoder
from mdsgen.model.denoiser import Denoiser, DenoiserConfig

SIZE = DenoiserConfig(width=16, depth=2, heads=2, decode_layers=1, timestep_channels=32)


@pytest.fixture(scope="module")
def models() -> Models:
    """A small denoiser with other weights than the bundle's; the other networks take no part."""
    torch.manual_seed(3)
    codec = AudioCodec(PAPER, stable_diffusion_autoencoder((8, 8, 8, 16)), hifigan(PAPER, channels=32))
    made = Models(Denoiser(PAPER, SIZE), nn.Identity(), codec)
    for parameter in made.denoiser.parameters():
        nn.init.normal_(parameter, std=0.2)
    return made


def test_three_ways_of_one_step_are_timed_against_the_published_one(models: Models) -> None:
    report = compare_with_torch(models, None, "onnxruntime", 1, repeat=3, warmup=1)
    engine = "onnxruntime fp32, one pass for both branches"
    assert list(report.measurements) == [PUBLISHED, EAGER, engine]
    medians = {name: found.median for name, found in report.measurements.items()}
    for name, figures in report.figures.items():
        assert figures["times faster"] == pytest.approx(medians[PUBLISHED] / medians[name])
        assert name == PUBLISHED or figures["dB"] > 80
    assert report.settings["threads"] == 1


def test_other_weights_are_not_compared(models: Models, bundle_path: Path) -> None:
    with pytest.raises(MdsgenError, match=r"expected at least 80 dB against PyTorch eager.*seeded weights"):
        compare_with_torch(models, Bundle.open(bundle_path), "auto", 1, repeat=1, warmup=0)


def test_a_bundle_of_no_published_size_has_no_seeded_weights(bundle_path: Path) -> None:
    with pytest.raises(MdsgenError, match="of size tiny, small, base, got size custom"):
        seeded_as(Bundle.open(bundle_path), "paper", "tiny")


def test_an_engine_that_is_not_there_says_so_and_leaves_pytorch_s_threads_alone(models: Models) -> None:
    before = torch.get_num_threads()
    with pytest.raises(EngineError, match="tensorrt"):
        compare_with_torch(models, None, "tensorrt", before + 1, repeat=1, warmup=0)
    assert torch.get_num_threads() == before


def test_threads_are_those_asked_for_while_it_lasts() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1) as threads:
        assert threads == torch.get_num_threads() == before + 1
    with torch_threads(None) as threads:
        assert threads == before
