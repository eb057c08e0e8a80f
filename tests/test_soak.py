"""A slice of the soak that ``python -m tests.soak`` is, and that it would see a leak."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests import soak

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")


@pytest.fixture
def held() -> Iterator[list[object]]:
    """What a leak keeps."""
    kept: list[object] = []
    yield kept
    for thing in kept:
        if isinstance(thing, int):
            os.close(thing)


def test_clips_and_pipelines_leave_nothing() -> None:
    assert soak.clips(20).is_flat
    assert soak.opens(4).is_flat


def test_a_shared_pipeline_gives_every_thread_its_own_clips() -> None:
    assert soak.wrong_clips(threads=8, each=2) == 0


def test_a_leak_of_memory_is_seen(held: list[object]) -> None:
    assert not soak.repeated(lambda: held.append(b"x" * 1_000_000), 20).is_flat


def test_a_leak_of_open_files_is_seen(held: list[object]) -> None:
    assert not soak.repeated(lambda: held.append(os.open(os.devnull, os.O_RDONLY)), 3).is_flat
