"""ComfyUI's node: a batch of images and their frame rate in, audio out.

In ComfyUI's folder ``custom_nodes`` a file of one line shows it:
``from mdsgen.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS``.
"""

from __future__ import annotations

import math
import threading
from typing import Any, ClassVar

from mdsgen.errors import SettingsError
from mdsgen.geometry import FRAME_RATE
from mdsgen.runtime import Pipeline
from mdsgen.sampling import PRESETS

OF_BUNDLE = "bundle"
"""The quality that a bundle has by itself."""


class SoundForVideo:
    """Gives images their sound. All nodes share one open bundle, until one of them is asked to unload it."""

    CATEGORY, FUNCTION = "audio", "generate"
    RETURN_TYPES, RETURN_NAMES = ("AUDIO",), ("audio",)
    DESCRIPTION = "The sound of a silent video, 16 kHz mono."

    _lock = threading.Lock()
    _opened: ClassVar[dict[str, Pipeline]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """What ComfyUI shows, and checks."""
        return {
            "required": {
                "images": ("IMAGE",),
                "frame_rate": ("FLOAT", {"default": 25.0, "min": 0.01, "max": 1000.0, "step": 0.001}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1}),
                "quality": ((OF_BUNDLE, *PRESETS),),
            },
            "optional": {
                "bundle": ("STRING", {"default": "", "tooltip": "Folder of a bundle; empty is the demo model."}),
                "unload": ("BOOLEAN", {"default": False, "tooltip": "Free the model's memory afterwards."}),
            },
        }

    def generate(
        self, images: Any, frame_rate: float, seed: int, quality: str, bundle: str = "", unload: bool = False
    ) -> tuple[dict[str, Any]]:
        """``images`` is a tensor ``[N, H, W, 3]`` in 0..1; the waveform is one ``[1, 1, samples]``, float32."""
        if not (math.isfinite(frame_rate) and frame_rate > 0):
            raise SettingsError(f"frame_rate must be a positive number, not {frame_rate!r}")
        shown = images[_indices(len(images), frame_rate), ..., :3]  # [T, H, W, 3]
        frames = (shown.clamp(0, 1) * 255).round().byte().cpu().numpy()
        with self._lock:
            try:
                pipeline = self._open(bundle)
                chosen = None if quality == OF_BUNDLE else quality
                sound = pipeline(frames, seed=seed, duration=len(images) / frame_rate, quality=chosen)
            finally:
                if unload:
                    self._close()
        waveform = images[:0].float().cpu().new_tensor(sound.audio)[None, None]  # [1, 1, samples]
        return ({"waveform": waveform, "sample_rate": sound.sample_rate},)

    def _open(self, bundle: str) -> Pipeline:
        if bundle not in self._opened:
            self._close()
            self._opened[bundle] = Pipeline.open(bundle or None)
        return self._opened[bundle]

    def _close(self) -> None:
        while self._opened:
            self._opened.popitem()[1].close()


def _indices(count: int, frame_rate: float) -> list[int]:
    """Which of the images the model sees: of each quarter of a second the one that is shown in its middle."""
    slots = math.ceil(count * FRAME_RATE / frame_rate)
    return [min(count - 1, math.ceil((slot + 0.5) * frame_rate / FRAME_RATE) - 1) for slot in range(slots)]


NODE_CLASS_MAPPINGS = {"MDSGenSoundForVideo": SoundForVideo}
NODE_DISPLAY_NAME_MAPPINGS = {"MDSGenSoundForVideo": "Sound for video (MDSGen)"}
