"""Five engines behind five plain calls; a bundle whose graphs do not belong together is refused at the door."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdsgen.bundle import (
    CONDITIONING,
    DENOISER,
    GRAPHS,
    LATENT_DECODER,
    VOCODER,
    Bundle,
    Manifest,
    write_manifest,
)
from mdsgen.engines import DEFAULT_OPTIONS, Engine, EngineOptions, open_engine, warn_once
from mdsgen.errors import BundleError, EngineError, TensorError
from mdsgen.geometry import FRAME_SIZE, PAPER, RELEASE
from mdsgen.runtime import Networks, seeded_noise
from mdsgen.runtime.networks import graph_options
from tests.one_branch import with_one_branch


@pytest.fixture(scope="module")
def networks(bundle_path: Path) -> Iterator[Networks]:
    with Networks(Bundle.open(bundle_path), "onnxruntime") as opened:
        yield opened


def some_frames(seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.random((PAPER.video_frames, 3, FRAME_SIZE, FRAME_SIZE), dtype=np.float32)


def some_modulations(networks: Networks, steps: int = 2, seed: int = 0) -> np.ndarray:
    return networks.condition(networks.encode(some_frames(seed)), np.linspace(999, 500, steps, dtype=np.float32))


def test_each_network_takes_and_gives_what_the_geometry_says(networks: Networks) -> None:
    features = networks.encode(some_frames())
    assert features.shape == (1, 32, 512)
    modulations = networks.condition(features, np.array([999, 500, 1], np.float32))
    assert modulations.shape[:2] == (3, 2)
    noises = networks.denoise(seeded_noise(PAPER, 0), modulations[0])
    assert [noise.shape for noise in noises] == [(1, 4, 16, 64)] * 2
    log_mel = networks.decode(seeded_noise(PAPER, 0))
    assert log_mel.shape == (1, 512, 128)
    assert networks.vocode(log_mel).shape == (1, PAPER.samples)


def test_the_conditional_branch_comes_first(networks: Networks) -> None:
    """Two videos: only the conditional noise may differ."""
    latent = seeded_noise(PAPER, 0)
    one, other = (
        [noise.copy() for noise in networks.denoise(latent, some_modulations(networks, seed=seed)[0])]
        for seed in (0, 1)
    )
    assert not np.allclose(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_a_pass_leaves_its_inputs_alone_and_the_next_one_takes_its_place(networks: Networks) -> None:
    latent, modulations = seeded_noise(PAPER, 0), some_modulations(networks)
    latent_before, modulations_before = latent.copy(), modulations.copy()
    first, _ = networks.denoise(latent, modulations[0])
    kept = first.copy()
    second, _ = networks.denoise(latent, modulations[1])
    assert np.shares_memory(first, second)
    assert not np.array_equal(kept, second)
    np.testing.assert_array_equal(latent, latent_before)
    np.testing.assert_array_equal(modulations, modulations_before)


def test_the_conditional_branch_alone_is_the_first_of_both(networks: Networks) -> None:
    """This bundle's denoiser has a batch of two for good, as all had at first: it computes both all the same."""
    latent, modulations = seeded_noise(PAPER, 0), some_modulations(networks)[0]
    both, _ = (noise.copy() for noise in networks.denoise(latent, modulations))
    np.testing.assert_array_equal(networks.denoise_conditional(latent, modulations), both)


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    pytest.importorskip("onnx", reason="ONNX makes the bundle of one branch")
    shutil.copytree(bundle_path, tmp_path / "one")
    return tmp_path / "one"


def test_a_denoiser_of_one_branch_computes_two_one_after_the_other(networks: Networks, copied: Path) -> None:
    latent, modulations = seeded_noise(PAPER, 0), some_modulations(networks)[0]
    both = [noise.copy() for noise in networks.denoise(latent, modulations)]
    with Networks(with_one_branch(copied, DENOISER), "onnxruntime") as one:
        assert one.branches == 2
        for found, expected in zip(one.denoise(latent, modulations), both, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(one.denoise_conditional(latent, modulations), both[0], atol=1e-5)


def test_a_bundle_of_one_branch_has_no_guidance(networks: Networks, copied: Path) -> None:
    latent, features = seeded_noise(PAPER, 0), networks.encode(some_frames())
    timesteps = np.array([500], np.float32)
    expected = networks.denoise_conditional(latent, networks.condition(features, timesteps)[0]).copy()
    with Networks(with_one_branch(copied, DENOISER, CONDITIONING), "onnxruntime") as one:
        assert one.branches == 1
        (modulations,) = one.condition(features, timesteps)
        assert modulations.shape[0] == 1
        np.testing.assert_allclose(one.denoise_conditional(latent, modulations), expected, atol=1e-5)
        with pytest.raises(BundleError, match="no unconditional branch, so guidance must be 1"):
            one.denoise(latent, modulations)


def test_says_which_engine_runs(networks: Networks) -> None:
    assert (networks.engine, networks.providers) == ("onnxruntime", ("CPUExecutionProvider",))


def test_arrays_of_another_shape_are_refused(networks: Networks) -> None:
    with pytest.raises(TensorError, match=r"video_encoder, inputs: expected frames float32 \[1, 32, 3, 224, 224\]"):
        networks.encode(some_frames()[:31])


def test_closed_networks_refuse_to_run(bundle_path: Path) -> None:
    networks = Networks(Bundle.open(bundle_path))
    networks.close()
    networks.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        networks.decode(seeded_noise(PAPER, 0))


# Refusals


@pytest.fixture
def changed(bundle_path: Path, tmp_path: Path) -> Callable[[Callable[[Manifest], Manifest]], Bundle]:
    """A copy of the bundle with another manifest."""

    def change(edit: Callable[[Manifest], Manifest]) -> Bundle:
        folder = tmp_path / "changed"
        shutil.copytree(bundle_path, folder)
        write_manifest(folder, edit(Bundle.open(bundle_path).manifest))
        return Bundle.open(folder)

    return change


def swapped(manifest: Manifest) -> Manifest:
    graphs = dict(manifest.graphs)
    graphs[LATENT_DECODER], graphs[VOCODER] = graphs[VOCODER], graphs[LATENT_DECODER]
    return dataclasses.replace(manifest, graphs=graphs)


def released(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, geometry=RELEASE)


def longer(manifest: Manifest) -> Manifest:
    """A hop of 257 samples: only the waveform is of another length."""
    return dataclasses.replace(
        manifest, geometry=dataclasses.replace(PAPER, mel=dataclasses.replace(PAPER.mel, hop=257))
    )


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (swapped, r"latent_decoder does not fit its manifest: expected latent float32 .*, found log_mel float32"),
        (released, r"denoiser does not fit .* expected latent float32 \[1, 8, 204, 16\]; .* \[1, 4, 16, 64\]"),
        (longer, r"vocoder does not fit .* waveform float32 \[1, 131584\], .* waveform float32 \[1, 131072\]"),
    ],
    ids=["swapped", "geometry", "hop"],
)
def test_graphs_of_another_interface_are_refused(
    changed: Callable[[Callable[[Manifest], Manifest]], Bundle],
    edit: Callable[[Manifest], Manifest],
    complaint: str,
) -> None:
    with pytest.raises(BundleError, match=complaint):
        Networks(changed(edit))


def test_an_unknown_engine_and_a_missing_provider_are_refused(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    with pytest.raises(EngineError, match="engine 'abacus' is unknown"):
        Networks(bundle, "abacus")
    with pytest.raises(EngineError, match="cannot use NoSuchProvider here"):
        Networks(bundle, options=EngineOptions(providers=("NoSuchProvider",)))


def test_engines_that_are_open_are_closed_when_another_fails(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def failing(path: Path, *how: Any) -> Engine:
        if path.stem == DENOISER:
            raise EngineError("no memory")
        opened.append(open_engine(path, *how))
        return opened[-1]

    monkeypatch.setattr("mdsgen.runtime.networks.open_engine", failing)
    with pytest.raises(EngineError, match="no memory"):
        Networks(Bundle.open(bundle_path), "onnxruntime")
    assert len(opened) == len(GRAPHS) - 1
    for engine in opened:
        with pytest.raises(EngineError, match="closed"):
            engine.run({})


def test_graphs_are_opened_side_by_side(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(len(GRAPHS), timeout=20)

    def meet(path: Path, engine: str, options: EngineOptions) -> Engine:
        meeting.wait()
        return open_engine(path, engine, options)

    monkeypatch.setattr("mdsgen.runtime.networks.open_engine", meet)
    with Networks(Bundle.open(bundle_path), "onnxruntime") as opened:
        assert opened.engine == "onnxruntime"


def test_the_denoiser_alone_is_run_again_and_again() -> None:
    assert [name for name in GRAPHS if graph_options(name, DEFAULT_OPTIONS, PAPER).repeats] == [DENOISER]


def test_a_closed_pipeline_lets_go_of_every_session(bundle_path: Path) -> None:
    opened = Networks(Bundle.open(bundle_path), "onnxruntime")
    sessions = [weakref.ref(engine._session) for engine in opened._engines.values()]
    opened.close()
    gc.collect()
    assert [session() for session in sessions] == [None] * len(sessions)
    with pytest.raises(EngineError, match="closed"):
        opened.denoise(opened._latent, opened._modulations)
    with pytest.raises(EngineError, match="closed"):
        opened.denoise_conditional(opened._latent, opened._modulations)


def test_large_position_biases_are_not_kept_in_memory() -> None:
    assert graph_options(DENOISER, DEFAULT_OPTIONS, PAPER).fold_constants
    assert not graph_options(DENOISER, DEFAULT_OPTIONS, RELEASE).fold_constants


def test_conditioning_is_never_computed_in_bfloat16() -> None:
    asked = EngineOptions(bfloat16=True)
    reduced = {graph for graph in GRAPHS if graph_options(graph, asked, RELEASE).bfloat16}
    assert reduced == set(GRAPHS) - {CONDITIONING}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (EngineOptions(bfloat16=True), "bfloat16 changes nothing: onnxruntime does not compute in it on this machine"),
        (EngineOptions(), None),
    ],
)
def test_an_option_that_changes_nothing_is_said(
    bundle_path: Path,
    options: EngineOptions,
    line: str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mdsgen.engines.onnxruntime._has_bfloat16", lambda: False)
    warn_once.cache_clear()
    with Networks(Bundle.open(bundle_path), "onnxruntime", options):
        pass
    assert caplog.messages == ([line] if line else [])
