"""The judge's spectrogram is the training's, without PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from mdsgen.errors import TensorError
from mdsgen.evaluation.spectrogram import log_mel
from mdsgen.geometry import DEMO, SAMPLE_RATE
from mdsgen.scenes import sample_scene


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_that_of_the_model(seed: int) -> None:
    torch = pytest.importorskip("torch")
    from mdsgen.model.mel import LogMel

    sound = sample_scene(seed, duration=DEMO.duration).sound()
    expected = LogMel(DEMO.mel)(torch.from_numpy(sound)[None])[0].numpy()
    found = log_mel(sound)
    assert (found.shape, found.dtype) == ((DEMO.mel_frames, DEMO.mel.bins), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_silence_is_black_and_a_tone_lies_where_its_frequency_is() -> None:
    assert not log_mel(np.zeros(16_000, np.float32)).any()
    low, high = (np.sin(2 * np.pi * f * np.arange(16_000) / SAMPLE_RATE).astype(np.float32) for f in (500, 2000))
    assert log_mel(low)[30].argmax() < log_mel(high)[30].argmax()


def test_a_sound_too_short_for_a_window_is_refused() -> None:
    with pytest.raises(TensorError, match="more than 512 samples"):
        log_mel(np.zeros(512, np.float32))
