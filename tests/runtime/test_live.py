"""Pictures in, sound out, without an end: gapless, bounded, and in time again whatever the camera does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mdsgen import Pipeline, Sampling
from mdsgen.errors import EngineError, SettingsError, TensorError
from mdsgen.geometry import PAPER, SAMPLE_RATE
from mdsgen.runtime.live import Live

COLUMN = PAPER.column_samples
FAST = {"sampling": Sampling(steps=2, guidance=1.0)}


def pictures(count: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


def joined(blocks: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *blocks])


@pytest.fixture
def live(pipeline: Pipeline) -> Iterator[Live]:
    with pipeline.live(frame_rate=4, **FAST) as opened:  # type: ignore[arg-type]
        yield opened


def test_a_film_in_blocks_of_a_window_is_the_film(pipeline: Pipeline) -> None:
    frames = pictures(50)
    expected = pipeline(frames, seed=3, **FAST).audio  # type: ignore[arg-type]
    with pipeline.live(frame_rate=4, block=8.192, seed=3, **FAST) as live:  # type: ignore[arg-type]
        blocks = [block for frame in frames for block in live.push(frame)]
        assert len(blocks) > 2
        np.testing.assert_array_equal(joined([*blocks, live.finish()]), expected)


def test_blocks_have_no_gaps_and_end_with_the_last_picture(live: Live) -> None:
    blocks = [block for frame in pictures(20) for block in live.push(frame)]
    assert [len(block) for block in blocks[1:]] == [2 * COLUMN] * (len(blocks) - 1)
    whole = joined([*blocks, live.finish()])
    assert whole.dtype == np.float32
    assert whole.shape == (5 * SAMPLE_RATE,)
    assert live.statistics.pictures == 20
    assert (live.statistics.fewer, live.statistics.silent) == (0, 0)


def test_sound_comes_within_the_latency_that_it_tells(live: Live) -> None:
    given, longest = 0, 0.0
    for index, frame in enumerate(pictures(40)):
        blocks = list(live.push(frame))
        if blocks:
            longest = max(longest, index / 4 - given / SAMPLE_RATE)
            given += sum(map(len, blocks))
    assert longest <= live.latency - live.statistics.longest + 1e-6
    assert live.latency < 1.5


def test_it_is_the_same_whether_pictures_bear_times_or_come_evenly(pipeline: Pipeline) -> None:
    sounds = []
    for times in ([None] * 12, [7 + index / 4 for index in range(12)]):
        with pipeline.live(frame_rate=4, **FAST) as live:  # type: ignore[arg-type]
            blocks = [b for frame, time in zip(pictures(12), times, strict=True) for b in live.push(frame, time)]
            sounds.append(joined([*blocks, live.finish()]))
    np.testing.assert_array_equal(*sounds)


def test_a_picture_that_comes_twice_changes_nothing(pipeline: Pipeline) -> None:
    frames, sounds = pictures(12), []
    for repeats in (1, 2):
        with pipeline.live(frame_rate=4, **FAST) as live:  # type: ignore[arg-type]
            blocks = [b for i in range(12) for _ in range(repeats) for b in live.push(frames[i], i / 4)]
            sounds.append(joined([*blocks, live.finish()]))
            assert live.statistics.doubled == 12 * (repeats - 1)
    np.testing.assert_array_equal(*sounds)


def test_after_missing_pictures_it_drops_work_and_not_samples_and_is_in_time_within_a_block(live: Live) -> None:
    frames = pictures(30)
    for index in range(8):
        for _ in live.push(frames[index], index / 4):
            pass
    before = live.statistics
    caught_up = joined(list(live.push(frames[8], 7.0)))
    after = live.statistics
    assert after.silent > before.silent
    assert after.fewer > before.fewer
    whole = 7.0 * SAMPLE_RATE - len(caught_up) - before.blocks * 2 * COLUMN
    assert abs(whole) <= 3 * COLUMN + SAMPLE_RATE / 2
    assert [len(block) for i in range(9, 13) for block in live.push(frames[i], 7 + (i - 8) / 4)]
    assert live.statistics.silent == after.silent


def test_a_clock_that_starts_anew_or_leaps_goes_on(live: Live) -> None:
    frames, blocks = pictures(24), []
    for index, frame in enumerate(frames):
        clock = index / 4 if index < 8 else index / 4 - 100 if index < 16 else 1e6 + index / 4
        blocks += live.push(frame, clock)
    assert live.statistics.leaps == 2
    assert len(joined([*blocks, live.finish()])) == 6 * SAMPLE_RATE


def test_memory_is_bounded_where_nobody_pulls(live: Live) -> None:
    for frame in pictures(160):
        live.push(frame)  # what it gives is not asked for
    kept = {place for view in live._views._open for place in view.frames}
    assert len(kept) < 120


def test_one_thread_pushes_and_another_pulls(pipeline: Pipeline) -> None:
    with pipeline.live(frame_rate=4, block=8.192, **FAST) as live:  # type: ignore[arg-type]
        pulled: list[np.ndarray] = []
        puller = threading.Thread(target=lambda: pulled.extend(live.pull()))
        puller.start()
        for frame in pictures(36):
            live.push(frame)
        live.end()
        puller.join(timeout=30)
        assert not puller.is_alive()
    np.testing.assert_array_equal(joined(pulled), pipeline(pictures(36), **FAST).audio)  # type: ignore[arg-type]


def test_sound_goes_on_where_the_camera_has_stalled(pipeline: Pipeline) -> None:
    with pipeline.live(frame_rate=30, block=0.256, lookahead=0, **FAST) as live:  # type: ignore[arg-type]
        live.push(pictures(1)[0])
        pulled = [len(block) for block, _ in zip(live.pull(), range(3), strict=False)]
    assert len(pulled) == 3
    assert live.statistics.pictures == 1


def test_closing_ends_a_pull_and_refuses_pictures(live: Live) -> None:
    puller = threading.Thread(target=lambda: list(live.pull()))
    puller.start()
    live.close()
    puller.join(timeout=10)
    assert not puller.is_alive()
    with pytest.raises(EngineError, match="closed"):
        live.push(pictures(1)[0])


def test_what_fails_closes_it(live: Live, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(latent: np.ndarray) -> np.ndarray:
        raise EngineError("out of memory")

    monkeypatch.setattr(pipeline._networks, "decode", broken)
    with pytest.raises(EngineError, match="out of memory"):
        joined([block for frame in pictures(8) for block in live.push(frame)])
    with pytest.raises(EngineError, match="closed"):
        live.finish()


def test_after_its_end_it_takes_no_picture(live: Live) -> None:
    blocks = [block for frame in pictures(8) for block in live.push(frame)]
    live.end()
    with pytest.raises(EngineError, match="has been ended"):
        live.push(pictures(1)[0])
    assert len(joined([*blocks, *live.pull()])) == 2 * SAMPLE_RATE
    assert live.statistics.pictures == 8


def test_without_a_picture_there_is_no_sound(live: Live) -> None:
    assert live.finish().shape == (0,)


@pytest.mark.parametrize(
    "setting",
    [{"frame_rate": 0}, {"block": 0}, {"block": float("nan")}, {"lookahead": -1}, {"seed": -1}, {"lookahead": 8}]
    + [{name: value} for name in ("frame_rate", "block", "lookahead", "seed") for value in ("x", None, True, [1])],
    ids=str,
)
def test_impossible_settings_are_refused(pipeline: Pipeline, setting: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))):
        pipeline.live(**setting)


def test_block_and_lookahead_are_whole_columns(pipeline: Pipeline) -> None:
    with pipeline.live(block=0.1, lookahead=0.3, **FAST) as live:  # type: ignore[arg-type]
        assert (live.options.block, live.options.lookahead) == (0.256, 0.512)


@pytest.mark.parametrize(
    ("picture", "time", "complaint"),
    [
        (np.zeros((4, 4), np.uint8), None, r"expected a picture as uint8 \[height, width, 3\], got uint8 \[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), None, r"got float32 \[4, 4, 3\]"),
        (None, None, "got NoneType"),
        ([[0]], None, "got list"),
        (pictures(1)[0], float("nan"), "the time of a picture must be a number of seconds, not nan"),
        (pictures(1)[0], "x", "the time of a picture must be a number of seconds, not 'x'"),
    ],
    ids=["flat", "float", "none", "list", "no time", "text as time"],
)
def test_a_picture_that_is_refused_is_left_out_and_sound_goes_on(
    pipeline: Pipeline, picture: Any, time: Any, complaint: str
) -> None:
    frames, sounds = pictures(8), []
    for refused in (False, True):
        with pipeline.live(frame_rate=4, **FAST) as live:  # type: ignore[arg-type]
            blocks = [block for frame in frames[:4] for block in live.push(frame)]
            if refused:
                with pytest.raises((TensorError, SettingsError), match=complaint):
                    live.push(picture, time)
            blocks += [block for frame in frames[4:] for block in live.push(frame)]
            sounds.append(joined([*blocks, live.finish()]))
            assert live.statistics.pictures == 8
    np.testing.assert_array_equal(*sounds)


def test_the_last_picture_stays_as_long_as_is_said(pipeline: Pipeline) -> None:
    with pipeline.live(frame_rate=30, **FAST) as live:  # type: ignore[arg-type]
        live.push(pictures(1)[0], 0.0)
        with pytest.raises(SettingsError, match="lasts must be a positive number of seconds, not 0"):
            live.finish(0)
        assert len(live.finish(0.5)) == SAMPLE_RATE // 2


def test_silence_begins_and_ends_without_a_click(pipeline: Pipeline) -> None:
    """Sound that is cut off would jump from one sample to the next as it does nowhere else."""
    with pipeline.live(frame_rate=4, **FAST) as live:  # type: ignore[arg-type]
        times = [*(i / 4 for i in range(8)), *(7 + i / 4 for i in range(8))]
        blocks = [b for frame, t in zip(pictures(16), times, strict=True) for b in live.push(frame, t)]
    steps = [abs(float(after[0]) - float(before[-1])) for before, after in pairwise(blocks)]
    assert max(steps) <= np.abs(np.diff(joined(blocks))).max()
    quiet = [block for block in blocks if not block[2000:6000].any()]
    assert len(quiet) == live.statistics.silent
