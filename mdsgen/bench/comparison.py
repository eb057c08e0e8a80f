"""The guided denoiser step: an engine against PyTorch, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mdsgen.bench.measure import interleave
from mdsgen.bench.published import published, two_passes
from mdsgen.bench.report import Report
from mdsgen.bundle import CONDITIONING, DENOISER, Bundle
from mdsgen.engines import EngineOptions, open_engine
from mdsgen.errors import MdsgenError
from mdsgen.export.exporter import networks_of
from mdsgen.export.models import Models, seeded_models
from mdsgen.export.onnx_graph import save, trace
from mdsgen.export.parity import THRESHOLDS, decibels
from mdsgen.geometry import FEATURE_CHANNELS, Geometry, geometry
from mdsgen.model.denoiser import SIZES, Denoiser
from mdsgen.runtime.networks import denoiser_options

PUBLISHED = "PyTorch eager, two passes as published"
EAGER = "PyTorch eager, two passes, fused attention"

_TIMESTEP = 500.0


@dataclass(frozen=True)
class Inputs:
    """One step of a seeded clip: ``latent [1, C, H, W]``, ``timestep [1]``, ``features [1, F, 512]``."""

    latent: np.ndarray
    timestep: np.ndarray
    features: np.ndarray

    @classmethod
    def seeded(cls, geometry: Geometry) -> Inputs:
        random = np.random.default_rng(0)
        features = random.standard_normal((1, geometry.video_frames, FEATURE_CHANNELS), dtype=np.float32)
        features /= np.linalg.norm(features, axis=-1, keepdims=True)  # as the video encoder leaves them
        latent = random.standard_normal((1, *geometry.latent_shape), dtype=np.float32)
        return cls(latent, np.array([_TIMESTEP], np.float32), features)


def seeded_as(bundle: Bundle | None, geometry_name: str, size: str) -> Models:
    """The seeded models that ``bundle`` was exported from, or without one those of the geometry and size."""
    if bundle is None:
        return seeded_models(geometry(geometry_name), size)
    size = str(bundle.manifest.model.get("size"))
    if size not in SIZES:
        raise MdsgenError(f"expected a bundle of seeded weights, of size {', '.join(SIZES)}, got size {size}")
    return seeded_models(bundle.manifest.geometry, size)


def compare_with_torch(
    models: Models, bundle: Bundle | None, engine: str, threads: int | None, *, repeat: int, warmup: int
) -> Report:
    """Time one guided step of ``models``: as published, in PyTorch as it is here, and through the engine.

    The engine runs the graphs of ``bundle``, which must hold the same weights; without one, graphs made for it. Both
    sides compute on ``threads`` threads, None is PyTorch's own choice. Raises :class:`MdsgenError` where what they
    compute differs, before anything is timed.
    """
    inputs = Inputs.seeded(models.geometry)
    precision = bundle.manifest.precision if bundle else "fp32"
    with ExitStack() as stack:
        threads = stack.enter_context(torch_threads(threads))
        paths = _graphs(bundle) if bundle else _export(models, stack.enter_context(_temporary_folder()))
        name, step = stack.enter_context(_engine_step(paths, engine, EngineOptions(threads), models.geometry, inputs))
        runs = {
            PUBLISHED: _torch_step(published(models.denoiser), inputs),
            EAGER: _torch_step(models.denoiser, inputs),
            f"{name} {precision}, one pass for both branches": step,
        }
        agreement = _check_agreement(runs, THRESHOLDS[precision][DENOISER])
        measured = interleave(runs, repeat, warmup)
    base = measured[PUBLISHED].median
    settings = {
        "threads": threads,
        "geometry": models.geometry.name,
        "model": models.describe()["size"],
        "warm-up": warmup,
    }
    figures = {name: {"times faster": base / found.median, "dB": agreement[name]} for name, found in measured.items()}
    del figures[PUBLISHED]["dB"]  # it is the reference
    return Report("guided denoiser step", settings, measured, figures)


@contextmanager
def torch_threads(threads: int | None) -> Iterator[int]:
    """PyTorch on so many threads while the context is open; None leaves it as it is. Gives the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mdsgen-") as folder:
        yield Path(folder)


def _graphs(bundle: Bundle) -> dict[str, Path]:
    return {name: bundle.path(name) for name in (CONDITIONING, DENOISER)}


def _export(models: Models, folder: Path) -> dict[str, Path]:
    """Just the two graphs that a step needs."""
    wanted = (network for network in networks_of(models) if network.name in (CONDITIONING, DENOISER))
    return {network.name: folder / save(trace(network), network.name, folder).file for network in wanted}


def _torch_step(denoiser: Denoiser, inputs: Inputs) -> Callable[[], np.ndarray]:
    latent, timestep, features = map(torch.from_numpy, (inputs.latent, inputs.timestep, inputs.features))
    return lambda: two_passes(denoiser, latent, timestep, features).numpy()


@contextmanager
def _engine_step(
    paths: dict[str, Path], engine: str, options: EngineOptions, geometry: Geometry, inputs: Inputs
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """The engine's name and its step, opened and bound as the runtime does it: the modulations are computed before."""
    with open_engine(paths[CONDITIONING], engine, options) as conditioning:
        feeds = {"features": inputs.features, "timesteps": inputs.timestep}
        modulations = conditioning.run(feeds)["modulations"][0]  # [2, M, D]
    with open_engine(paths[DENOISER], engine, denoiser_options(options, geometry)) as denoiser:
        noise = np.zeros((2, *inputs.latent.shape[1:]), np.float32)
        run = denoiser.bind({"latent": inputs.latent, "modulations": modulations}, {"noise": noise})

        def step() -> np.ndarray:
            run()
            return noise

        yield denoiser.name, step


def _check_agreement(runs: dict[str, Callable[[], np.ndarray]], least: float) -> dict[str, float]:
    """Decibels of every run's noise against the published one's; below ``least`` they are not the same network."""
    reference = runs[PUBLISHED]()
    found = {name: decibels(reference, run()) for name, run in runs.items()}
    differing = [f"{name} {figure:.1f} dB" for name, figure in found.items() if figure < least]
    if differing:
        raise MdsgenError(
            f"expected at least {least:g} dB against {PUBLISHED}, got {', '.join(differing)}: "
            "a bundle is compared with seeded weights, export it with --untrained"
        )
    return found
