"""mdsgen: sound for silent video, generated on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsgen import telemetry

if TYPE_CHECKING:
    from mdsgen.runtime.pipeline import Pipeline, Sound
    from mdsgen.sampling import Sampling

telemetry.switch_off()

__version__ = "0.1.0"

__all__ = ["Pipeline", "Sampling", "Sound", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the runtime when it is asked for: ``import mdsgen`` alone stays instant."""
    if name in ("Pipeline", "Sound"):
        from mdsgen.runtime import pipeline

        return getattr(pipeline, name)
    if name == "Sampling":
        from mdsgen.sampling import Sampling

        return Sampling
    raise AttributeError(f"module 'mdsgen' has no attribute {name!r}")
