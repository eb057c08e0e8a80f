"""A small, real bundle for whichever test wants to run the whole way, and videos to run it on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from mdsgen import Pipeline
from tests.media.conftest import Renderer, file_size_limit, heard, packets, sound_packets
from tests.planned import fake_gpu, planned_bundle, trt_major

# The device's part is tested without PyTorch, too: what needs it is then left out.
collect_ignore = (
    []
    if find_spec("torch")
    else ["model", "weights", "training", "export", "bench", "cli/test_export.py", "cli/test_train.py"]
)

# A machine that is busy is slow, and no fault of what is tested; pytest's own limit holds.
settings.register_profile("mdsgen", deadline=None)
settings.load_profile("mdsgen")

__all__ = [
    "bundle_path",
    "fake_gpu",
    "file_size_limit",
    "film",
    "heard",
    "packets",
    "pipeline",
    "planned_bundle",
    "sound_packets",
    "trt_major",
]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered per machine is remembered for the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDSGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> Iterator[None]:
    """A job in the background ignores Ctrl-C; where a test presses it, it is to be felt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def bundle_path() -> Path:
    """The bundle that ``tests/fixtures/make_bundle.py`` made."""
    return Path(__file__).parent / "fixtures" / "bundle"


@pytest.fixture(scope="session")
def pipeline(bundle_path: Path) -> Iterator[Pipeline]:
    """The engines of that bundle, opened once, on two threads."""
    with Pipeline.open(bundle_path, threads=2) as opened:
        yield opened


@pytest.fixture
def film(tmp_path: Path) -> Renderer:
    """Renders a video into ``tmp_path / "films"``: ``film("a.mp4", frames=8, rate=4)``."""
    folder = tmp_path / "films"
    folder.mkdir()
    return Renderer(folder)
