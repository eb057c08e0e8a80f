"""ComfyUI's node, called as ComfyUI calls it: by what its class says of itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdsgen import Pipeline
from mdsgen.errors import MdsgenError
from mdsgen.geometry import SAMPLE_RATE

torch = pytest.importorskip("torch", reason="ComfyUI's images are tensors of PyTorch")

ONE_LINE = "from mdsgen.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS\n"
FRAMES = np.random.default_rng(0).integers(0, 256, (25, 24, 32, 3), np.uint8)  # a second


@pytest.fixture
def node(tmp_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The class that ComfyUI finds in the file of one line that the documentation names."""
    monkeypatch.setenv("MDSGEN_BUNDLE", str(bundle_path))
    file = tmp_path / "mdsgen_node.py"
    file.write_text(ONE_LINE)
    spec = importlib.util.spec_from_file_location("custom_nodes.mdsgen_node", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.NODE_CLASS_MAPPINGS.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
    (found,) = module.NODE_CLASS_MAPPINGS.values()
    yield found
    found()._close()


def run(node: Any, frames: np.ndarray = FRAMES, **inputs: Any) -> dict[str, Any]:
    """The first output, where every input that is not named has the default that ComfyUI shows."""
    declared = {name: kind for group in node.INPUT_TYPES().values() for name, kind in group.items()}
    shown = {name: kind[1]["default"] for name, kind in declared.items() if len(kind) > 1}
    shown |= {name: kind[0][0] for name, kind in declared.items() if isinstance(kind[0], tuple)}
    given = {**shown, "images": torch.from_numpy(frames).float() / 255, **inputs}
    assert given.keys() == declared.keys()
    outputs = getattr(node(), node.FUNCTION)(**given)
    assert (len(outputs), node.RETURN_TYPES) == (1, ("AUDIO",))
    output: dict[str, Any] = outputs[0]
    return output


def test_images_become_audio_of_their_length(node: Any) -> None:
    audio = run(node)
    assert audio["sample_rate"] == SAMPLE_RATE
    assert audio["waveform"].shape == (1, 1, SAMPLE_RATE)
    assert audio["waveform"].dtype == torch.float32
    assert audio["waveform"].abs().max() > 0


def test_it_is_the_sound_that_the_pipeline_makes_of_the_pictures_that_are_shown(node: Any, bundle_path: Path) -> None:
    seen = FRAMES[[3, 9, 15, 21]]  # shown at an eighth of a second, and every quarter from there
    with Pipeline.open(bundle_path) as pipeline:
        expected = pipeline(seen, seed=2**64 - 1, quality="fast").audio
    audio = run(node, seed=2**64 - 1, quality="fast")
    np.testing.assert_array_equal(audio["waveform"][0, 0].numpy(), expected)


@pytest.mark.parametrize("rate", [1.0, 23.976, 60.0])
def test_the_frame_rate_decides_how_long_it_is(node: Any, rate: float) -> None:
    assert run(node, frame_rate=rate, frames=FRAMES[:7])["waveform"].shape[-1] == round(7 / rate * SAMPLE_RATE)


def test_transparency_and_half_precision_are_taken(node: Any) -> None:
    images = torch.from_numpy(np.pad(FRAMES, ((0, 0),) * 3 + ((0, 1),))).half() / 255
    assert run(node, images=images)["waveform"].dtype == torch.float32


def test_the_model_stays_open_until_it_is_to_be_unloaded(node: Any) -> None:
    run(node)
    (opened,) = node._opened.values()
    run(node)
    assert list(node._opened.values()) == [opened]
    run(node, unload=True)
    assert not node._opened


def test_faults_are_one_line(node: Any, tmp_path: Path) -> None:
    with pytest.raises(MdsgenError, match="expected a bundle"):
        run(node, bundle=str(tmp_path), unload=True)
    with pytest.raises(MdsgenError, match="frame_rate must be"):
        run(node, frame_rate=0.0)
