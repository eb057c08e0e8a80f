"""One stretch of pictures: films wait for their sound, cameras do not, and both can be left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.errors import EngineError
from mdsgen.geometry import SAMPLE_RATE
from mdsgen.integrations.stretch import Stretch

RATE = 10
PICTURES = np.random.default_rng(0).integers(0, 256, (30, 37, 48, 3), np.uint8)


class Heard:
    """Takes the blocks of a stretch, ``most`` of them at most, and its faults."""

    def __init__(self, most: int = 1000) -> None:
        self.most, self.blocks, self.first = most, list[np.ndarray](), list[int]()
        self.faults: list[Exception] = []
        self.changed = threading.Event()

    def give(self, block: np.ndarray, sample: int) -> bool:
        self.blocks.append(block)
        self.first.append(sample)
        self.changed.set()
        return len(self.blocks) < self.most

    def fail(self, error: Exception) -> None:
        self.faults.append(error)
        self.changed.set()

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate(self.blocks)


@pytest.fixture
def stretch(pipeline: Pipeline) -> Callable[..., Stretch]:
    """Opens a stretch that somebody hears."""

    def opened(heard: Heard, *, camera: bool, **settings: Any) -> Stretch:
        live = pipeline.live(frame_rate=RATE, steps=2, **settings)
        return Stretch(live, heard.give, heard.fail, camera=camera)

    return opened


@pytest.mark.parametrize("camera", [False, True])
def test_all_sound_is_given_block_by_block(stretch: Callable[..., Stretch], camera: bool) -> None:
    heard = Heard()
    going = stretch(heard, camera=camera)
    for index, picture in enumerate(PICTURES[:15]):
        going.push(picture, 3 + index / RATE)
    going.drain()
    assert len(heard.sound) == 1.5 * SAMPLE_RATE
    assert heard.first == [0, *np.cumsum([len(block) for block in heard.blocks])[:-1]]
    assert not heard.faults


@pytest.mark.parametrize("block", [4, 60])
def test_a_picture_that_stands_for_long_costs_no_evaluations(stretch: Callable[..., Stretch], block: float) -> None:
    sparse, dense = Heard(), Heard()
    slides, film = (stretch(heard, camera=False, block=block, lookahead=0) for heard in (sparse, dense))
    for index in range(150):
        film.push(PICTURES[0], index / RATE)
    slides.push(PICTURES[0], 0)
    for going in (film, slides):
        going.push(PICTURES[1], 15)
        going.drain()
    np.testing.assert_array_equal(sparse.sound, dense.sound)
    assert (slides.live.statistics.silent, slides.live.statistics.fewer) == (0, 0)


@pytest.mark.parametrize("camera", [False, True])
def test_who_wants_no_more_gets_no_more(stretch: Callable[..., Stretch], camera: bool) -> None:
    heard = Heard(most=1)
    going = stretch(heard, camera=camera, block=0.128, lookahead=0)
    with suppress(EngineError):  # it is closed already
        for index, picture in enumerate(PICTURES[:8]):
            going.push(picture, index / RATE)
    assert heard.changed.wait(30)
    going.drain()
    assert going.is_left
    assert len(heard.blocks) == 1


@pytest.mark.parametrize("camera", [False, True])
def test_one_that_is_left_ends_at_once(stretch: Callable[..., Stretch], camera: bool) -> None:
    heard = Heard()
    going = stretch(heard, camera=camera)
    going.push(PICTURES[0], 0)
    going.leave()
    going.drain()
    assert not heard.blocks
    with pytest.raises(EngineError, match="closed"):
        going.push(PICTURES[1], 1)


def test_what_stops_a_camera_is_told(
    stretch: Callable[..., Stretch], pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(latent: np.ndarray) -> np.ndarray:
        raise EngineError("out of memory")

    monkeypatch.setattr(pipeline._networks, "decode", broken)
    heard = Heard()
    going = stretch(heard, camera=True, block=0.128, lookahead=0)
    with suppress(EngineError):  # it is closed already
        for index, picture in enumerate(PICTURES[:3]):
            going.push(picture, index / RATE)
    assert heard.changed.wait(30)
    going.drain()
    assert [str(fault) for fault in heard.faults] == ["out of memory"]
