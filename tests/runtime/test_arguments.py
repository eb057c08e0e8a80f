"""Whatever a caller hands over by mistake is refused in one clear line, before any work."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.errors import BundleError, EngineError, MdsgenError, MediaError, SettingsError, TensorError
from mdsgen.media import Output
from mdsgen.runtime import Progress, render
from tests.children import finished

FRAMES = np.zeros((8, 48, 64, 3), np.uint8)
HUGE = 10**400
SAMPLE = Path(__file__).parents[2] / "assets/sample.mp4"


def unwanted(_: Progress) -> None:
    raise AssertionError("work was begun")


@pytest.mark.parametrize(
    ("video", "complaint"),
    [
        (io.BytesIO(), "expected the path of a video, or frames as an array .* got _io.BytesIO"),
        ([FRAMES], "got list"),
        ((frame for frame in FRAMES), "got generator"),
        (None, "got NoneType"),
        (b"video.mp4", "got bytes"),
        ("a\0b.mp4", "with a zero byte"),
        ("", "is a folder"),
        (np.zeros(()), "outside an array of 0 frames"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_video(pipeline: Pipeline, video: Any, complaint: str) -> None:
    with pytest.raises(MediaError, match=complaint):
        pipeline(video, progress=unwanted)


@pytest.mark.parametrize(
    "frames",
    [FRAMES.astype(np.float32), FRAMES.astype(bool), FRAMES.astype(object), FRAMES[0], FRAMES[..., :1], FRAMES[:, :0]],
    ids=lambda frames: f"{frames.dtype} {frames.shape}",
)
def test_frames_of_another_dtype_or_shape(pipeline: Pipeline, frames: np.ndarray) -> None:
    with pytest.raises(TensorError, match=r"expected frames as uint8 \[frames, height, width, 3\], got"):
        pipeline(frames, progress=unwanted)


@pytest.mark.parametrize("name", ["start", "duration"])
@pytest.mark.parametrize("seconds", ["1", float("nan"), 1j, [1.0], True, HUGE], ids=lambda value: f"{value!r:.8}")
def test_seconds_that_are_no_number(pipeline: Pipeline, name: str, seconds: Any) -> None:
    with pytest.raises(MediaError, match=f"{name} must be a number of seconds, not"):
        pipeline(FRAMES, progress=unwanted, **{name: seconds})


@pytest.mark.parametrize("name", ["start", "duration"])
@pytest.mark.parametrize("seconds", ["1", float("nan"), True, HUGE], ids=lambda value: f"{value!r:.8}")
def test_seconds_of_a_file_that_are_no_number(pipeline: Pipeline, tmp_path: Path, name: str, seconds: Any) -> None:
    target = tmp_path / "sound.wav"
    with pytest.raises(MediaError, match=f"{name} must be a number of seconds, not"):
        render(pipeline, SAMPLE, target, progress=unwanted, **{name: seconds})
    assert not target.exists()


@pytest.mark.parametrize(
    "setting",
    [{name: value} for name in ("frame_rate", "block", "lookahead") for value in ("1", None, True, HUGE)]
    + [{"seed": seed} for seed in ("1", 1.5, None, True)],
    ids=lambda setting: f"{setting!r:.40}",
)
def test_settings_of_live_sound_of_another_kind(pipeline: Pipeline, setting: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(setting))} must be"):
        pipeline.live(**setting)


@pytest.mark.parametrize("mix", ["0.5", None, True, 2, float("nan")])
def test_a_mix_of_another_kind(mix: Any) -> None:
    with pytest.raises(SettingsError, match="mix must be 0 to 1, not"):
        Output(mix=mix)


@pytest.mark.parametrize(
    "setting",
    [{"seed": seed} for seed in (1.5, "x", None, True, [1], -1)]
    + [{"guidance_interval": interval} for interval in ((1.0,), 5, "ab", (1.0, float("nan")))]
    + [{"guidance": guidance} for guidance in (1e38, -1e38, float("inf"), "5")]
    + [{"steps": steps} for steps in (0, 1001, 1.5, HUGE)]
    + [{"quality": []}, {"solver": []}, {"sampling": 5}, {"progress": 5}],
    ids=lambda setting: f"{setting!r:.40}",
)
def test_settings_of_another_kind(pipeline: Pipeline, setting: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))) as caught:
        pipeline(FRAMES, **{"progress": unwanted, **setting})
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("options", "kind", "complaint"),
    [
        ({"providers": "CPUExecutionProvider"}, EngineError, "providers must be a list of names"),
        ({"providers": 5}, EngineError, "providers must be a list of names"),
        ({"providers": [5]}, EngineError, "providers must be a list of names"),
        ({"providers": []}, EngineError, "providers must be a list of names"),
        ({"providers": ["Abacus"]}, EngineError, "cannot use Abacus here"),
        ({"threads": True}, EngineError, "threads must be 1 to 1024"),
        ({"threads": 2**40}, EngineError, "threads must be 1 to 1024"),
        ({"engine": []}, EngineError, "is unknown"),
        ({"bundle": 5}, BundleError, "expected the path of a bundle, got int"),
        ({"bundle": b"x"}, BundleError, "expected the path of a bundle, got bytes"),
        ({"bundle": "a\0b"}, BundleError, "zero byte"),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_options_of_another_kind(
    bundle_path: Path, options: dict[str, Any], kind: type[MdsgenError], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint):
        Pipeline.open(**{"bundle": bundle_path, "engine": "onnxruntime", **options})


FAILING = """
import sys
from mdsgen.engines import open_engine
from mdsgen.errors import EngineError
try:
    open_engine(sys.argv[1], "onnxruntime")
except EngineError as error:
    print(error)
"""


def test_no_line_of_onnx_runtime_s_comes_before_ours(bundle_path: Path, tmp_path: Path) -> None:
    """Without its weights a graph parses, and fails later, where ONNX Runtime would log it."""
    graph = tmp_path / "vocoder.onnx"
    graph.write_bytes((bundle_path / "vocoder.onnx").read_bytes())
    child = finished([sys.executable, "-c", FAILING, str(graph)])
    assert child.stderr == ""
    assert child.stdout.startswith("vocoder: ONNX Runtime could not open it: ")
    assert len(child.stdout.splitlines()) == 1
