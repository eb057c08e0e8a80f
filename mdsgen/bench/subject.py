"""What is measured and compared: one model, as the graphs of a bundle and, where its weights are seeded, in PyTorch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdsgen.bundle import GRAPHS, VIDEO_ENCODER, Bundle, Graph
from mdsgen.engines import open_engine
from mdsgen.errors import ExportError, MdsgenError
from mdsgen.geometry import FRAME_SIZE, Geometry, geometry
from mdsgen.media import prepare_frames
from mdsgen.runtime.sampler import seeded_noise
from mdsgen.sampling import Sampling
from mdsgen.scenes import sample_scene
from mdsgen.schedule import NoiseSchedule

if TYPE_CHECKING:
    from mdsgen.export.exporter import PyTorchSource
    from mdsgen.export.models import Models

_TIMESTEP = 500.0
_SCENE = 204  # two balls of different materials


class Subject:
    """A bundle, or without one the seeded model of a geometry and size, whose graphs are traced when asked for.

    A context manager: traced graphs lie in a temporary folder until it is left.
    """

    def __init__(self, bundle: Bundle | None, geometry_name: str = "release", size: str = "base") -> None:
        self._bundle = bundle
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._traced: dict[str, Graph] = {}
        if bundle is None:
            self.geometry, self.size, self.precision = geometry(geometry_name), size, "fp32"
        else:
            manifest = bundle.manifest
            self.geometry, self.precision = manifest.geometry, manifest.precision
            self.size = str(manifest.model.get("size", "unknown"))

    @property
    def name(self) -> str:
        """Where the graphs are from."""
        return str(self._bundle.folder) if self._bundle else "seeded weights"

    @property
    def sampling(self) -> Sampling:
        """How its clips are sampled."""
        return self._bundle.sampling if self._bundle else Sampling()

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule that it was trained with."""
        return self._bundle.manifest.schedule if self._bundle else self.models.schedule

    @cached_property
    def models(self) -> Models:
        """In PyTorch. Raises :class:`MdsgenError` for a bundle whose weights were not seeded, but trained, and where
        PyTorch is not installed."""
        try:
            from mdsgen.export.models import seeded_models
            from mdsgen.model.denoiser import SIZES
        except ImportError as error:
            raise ExportError(f"seeded weights need PyTorch ({error}): pip install 'mdsgen[export]'") from error
        if self._bundle and not str(self._bundle.manifest.provenance.get("weights")).startswith("seeded"):
            raise MdsgenError(
                f"{self.name} was not exported with --untrained: PyTorch is compared on seeded weights; "
                "leave the bundle out to compare on those, or leave out torch"
            )
        if self.size not in SIZES:
            raise MdsgenError(f"expected a model of size {', '.join(SIZES)}, got size {self.size}")
        return seeded_models(self.geometry, self.size)

    def path(self, graph: str) -> Path:
        """The file of a graph."""
        if self._bundle:
            return self._bundle.path(graph)
        if graph not in self._traced:
            self._trace(graph)
        return self._traced_in / self._traced[graph].file

    @cached_property
    def bundle(self) -> Bundle:
        """All graphs of it; of the seeded model, without a manifest on disk."""
        if self._bundle:
            return self._bundle
        for graph in GRAPHS:
            self.path(graph)
        return Bundle(self._traced_in, self._source.describe(self._traced, "fp32"))

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """``frames [F, 3, 224, 224]`` -> features ``[1, F, 512]``, in FP32: the same ones for every backend."""
        if self._bundle:
            with open_engine(self._bundle.path(VIDEO_ENCODER), "onnxruntime") as engine:
                return engine.run({"frames": frames[None]})["features"]
        encoder = self.models.video_encoder  # says where PyTorch is missing
        import torch

        with torch.no_grad():
            features: np.ndarray = encoder(torch.from_numpy(frames[None])).numpy()
        return features

    @cached_property
    def _source(self) -> PyTorchSource:
        """What its graphs are traced from."""
        try:
            from mdsgen.export.exporter import PyTorchSource
        except ImportError as error:
            raise ExportError(
                f"tracing graphs needs PyTorch and ONNX ({error}): pip install 'mdsgen[export]'"
            ) from error
        return PyTorchSource(self.models, self.sampling)

    def _trace(self, graph: str) -> None:
        make = dict(self._source.graphs())[graph]  # says what is not installed
        from mdsgen.export.onnx_graph import save

        self._traced[graph] = save(make(), graph, self._traced_in)

    @property
    def _traced_in(self) -> Path:
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="mdsgen-")
        return Path(self._folder.name)

    def close(self) -> None:
        """Remove what was traced. Closing twice is harmless."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Inputs:
    """What every backend gets: one clip of a rendered scene, and one step of it.

    ``pictures`` uint8 ``[F, 224, 224, 3]`` are what the runtime takes, ``frames [F, 3, 224, 224]`` the same, prepared,
    and ``features [1, F, 512]`` what ``encode`` makes of those: INT8 is calibrated on such, and on nothing else.
    ``latent [1, C, H, W]`` is also the noise that a clip begins with; ``timestep [1]``.
    """

    def __init__(self, geometry: Geometry, encode: Callable[[np.ndarray], np.ndarray]) -> None:
        scene = sample_scene(_SCENE, "bounce")
        self.pictures = scene.frames(FRAME_SIZE, geometry.video_frames)
        self.frames = prepare_frames(self.pictures)
        self.features = encode(self.frames)
        self.latent = seeded_noise(geometry, 0)
        self.timestep = np.array([_TIMESTEP], np.float32)
