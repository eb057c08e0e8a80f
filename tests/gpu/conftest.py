"""The bundle of the check, its networks, and a clip that is captured."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from mdsgen.bundle import Bundle
from mdsgen.engines.cuda import Device
from mdsgen.errors import MdsgenError
from mdsgen.geometry import Geometry
from mdsgen.runtime import Networks, Timings, seeded_noise
from mdsgen.runtime.device_window import DeviceWindow
from mdsgen.runtime.generators import Generators
from mdsgen.sampling import Sampling
from tests.gpu import BUNDLE, there_is_no

SETTINGS = Sampling(steps=25, guidance=5.0, guidance_power=0.01)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """That of $MDSGEN_GPU_BUNDLE, with plans; ``python -m tests.gpu`` makes one."""
    try:
        Device.shared()
    except MdsgenError as error:
        there_is_no(error)
    if BUNDLE not in os.environ:
        pytest.skip(f"{BUNDLE} names no bundle with plans: python -m tests.gpu makes one")
    return Bundle.open(os.environ[BUNDLE])


@pytest.fixture(scope="module")
def networks(bundle: Bundle) -> Iterator[Networks]:
    with Networks(bundle, "tensorrt") as opened:
        yield opened


@pytest.fixture(scope="module")
def generators(networks: Networks) -> Iterator[Generators]:
    made = Generators(networks)
    yield made
    made.close()


@pytest.fixture
def clip(generators: Generators, networks: Networks) -> DeviceWindow:
    """Captured."""
    return captured(generators, networks, SETTINGS)


def captured(generators: Generators, networks: Networks, settings: Sampling) -> DeviceWindow:
    """A clip that is one launch, with these settings."""
    generators.of(settings)(frames_of(networks.geometry), seeded_noise(networks.geometry, 0), Timings())
    made = generators.clip(networks.device_engines, settings.steps)
    assert made.replay.replays, "capture was refused: see the warning"
    return made


def frames_of(geometry: Geometry, seed: int = 0) -> np.ndarray:
    """Noise as pictures."""
    shape = (geometry.video_frames, geometry.frame_size, geometry.frame_size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
