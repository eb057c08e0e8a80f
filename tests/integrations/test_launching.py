"""The lines of docs/gstreamer.md, run by gst-launch-1.0."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.geometry import SAMPLE_RATE
from tests.integrations.launching import (
    MUXED,
    environment,
    heard,
    lags,
    launch,
    picture_times,
    require_elements,
    sound_of,
)
from tests.media.conftest import Renderer

PAGE = (Path(__file__).parents[2] / "docs" / "gstreamer.md").read_text("utf-8")
ELEMENTS = ("mdsgen", "qtdemux", "h264parse", "avdec_h264", "videoconvert", "audioconvert", "mp4mux", "opusenc")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    variables = environment(tmp_path_factory.mktemp("gstreamer"))
    require_elements(variables, *ELEMENTS)
    return variables


def test_a_film_gets_its_sound_and_keeps_its_pictures(
    shell: dict[str, str], film: Renderer, tmp_path: Path, bundle_path: Path
) -> None:
    source, target = film("film.mp4", frames=40, rate=20), tmp_path / "sound.mp4"
    settings = f"bundle={bundle_path} engine=onnxruntime threads=1 steps=2"
    launch(MUXED, shell, film=source, target=target, settings=settings, encoder="opusenc")
    np.testing.assert_allclose(picture_times(target), picture_times(source), atol=0.001)
    sound = heard(target)
    assert len(sound) == pytest.approx(2 * SAMPLE_RATE, abs=0.02 * SAMPLE_RATE)
    with Pipeline.open(bundle_path, "onnxruntime", threads=1) as pipeline:
        found = list(lags(sound, sound_of(source, pipeline.live(frame_rate=20, steps=2)), SAMPLE_RATE // 2))
    assert len(found) == 3
    assert max(abs(lag) for lag, _ in found) <= 20
    assert min(likeness for _, likeness in found) > 0.5


def test_the_page_has_the_line_that_is_tested() -> None:
    shown = re.sub(r"[\\\s]+", " ", PAGE)
    line = re.sub(r"\s+", " ", MUXED.format(film="film.mp4", target="sound.mp4", settings="", encoder="opusenc"))
    assert f"gst-launch-1.0 {line}" in shown
