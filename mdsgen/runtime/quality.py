"""How much work a clip's sampling is: three presets, and what a caller may set beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypedDict

from mdsgen.bundle import SamplerDefaults
from mdsgen.errors import SettingsError
from mdsgen.runtime.clip import SamplerSettings
from mdsgen.runtime.guidance import ALWAYS
from mdsgen.runtime.solver import DEFAULT_SOLVER


@dataclass(frozen=True)
class Preset:
    """What a quality sets; the strength of guidance stays the bundle's."""

    steps: int
    solver: str
    guidance_interval: tuple[float, float] = ALWAYS
    unconditional_every: int = 1


PRESETS = {
    "fast": Preset(8, "unipc-2", unconditional_every=2),
    "balanced": Preset(12, "unipc-2"),
    "best": Preset(50, DEFAULT_SOLVER),
}
"""The presets by name; ``python -m mdsgen.experiments.presets`` says what each does to a model's sound."""

QUALITIES = tuple(PRESETS)


class Sampling(TypedDict, total=False):
    """The keywords of :func:`sampler_settings`, for those that hand them on."""

    quality: str | None
    steps: int | None
    guidance: float | None
    solver: str | None
    guidance_interval: tuple[float, float] | None


def sampler_settings(
    defaults: SamplerDefaults,
    *,
    quality: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    solver: str | None = None,
    guidance_interval: tuple[float, float] | None = None,
) -> SamplerSettings:
    """A bundle's defaults, changed by a preset, changed by what is named. None leaves as it is.

    Raises :class:`SettingsError` for a quality that does not exist; other impossible values are refused by
    :meth:`SamplerSettings.solve`.
    """
    settings = SamplerSettings(**vars(defaults))
    if quality is not None:
        if quality not in PRESETS:
            raise SettingsError(f"quality must be one of {', '.join(QUALITIES)}, not {quality!r}")
        settings = replace(settings, **vars(PRESETS[quality]))
    named: dict[str, Any] = {
        "steps": steps,
        "guidance": guidance,
        "solver": solver,
        "guidance_interval": guidance_interval,
    }
    return replace(settings, **{name: value for name, value in named.items() if value is not None})
