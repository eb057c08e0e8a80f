"""Datasets to train on, made once; and one thread, because two only wait for each other with networks this small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mdsgen.training.shards import Shards
from tests.threads import one_thread
from tests.training.datasets import write_clips, write_decoded, write_latents


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Eight clips in two shards."""
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Eight clips as the denoiser sees them."""
    return write_latents(tmp_path_factory.mktemp("latents"))


@pytest.fixture(scope="session")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Eight clips with spectrograms as a finished model decodes them."""
    return write_decoded(tmp_path_factory.mktemp("decoded"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield
