"""How a clip is sampled: one frozen value, from a bundle's manifest to the diffusion loop.

A bundle has one, a preset changes some of it, and a caller changes the rest::

    sampling = bundle.sampling.changed(quality="fast", steps=6)

Pure data: the runtime turns it into steps (:mod:`mdsgen.runtime.solver`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict

from mdsgen.errors import SettingsError
from mdsgen.values import is_count, is_finite, is_number

if TYPE_CHECKING:
    from typing_extensions import Unpack

SOLVERS = ("ddim", "dpm-2m", "dpm-3m", "unipc-2", "unipc-3")
"""The solvers: DDIM, DPM-Solver++ of order 2 and 3, and UniPC of order 2 and 3."""

PURE_NOISE = 1000.0
"""The upper end of the scale of guidance intervals; 0 is clean. It is the same for every noise schedule, and equals the
timestep where a model is trained in 1000 steps."""

ALWAYS = (0.0, PURE_NOISE)
"""The guidance interval of the whole scale."""


MOST_GUIDANCE = 1000.0
"""No guidance is stronger, of either sign: latents overflow far above it, and are noise long before."""


class Changes(TypedDict, total=False):
    """What a caller may change of a :class:`Sampling`, for type checkers: a preset, and every field."""

    quality: str | None
    steps: int | None
    guidance: float | None
    guidance_power: float | None
    solver: str | None
    guidance_interval: tuple[float, float] | None
    unconditional_every: int | None
    clean_limit: float | None


@dataclass(frozen=True)
class Distilled:
    """That a denoiser has guidance in its weights: of which strength, and for which numbers of steps it was trained,
    the usual one first."""

    guidance: float
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        name = "distilled.guidance"
        _check(is_finite(self.guidance) and abs(self.guidance) <= MOST_GUIDANCE, name, "a number", self.guidance)
        good = isinstance(self.steps, tuple) and self.steps and all(map(is_count, self.steps))
        _check(bool(good), "distilled.steps", "whole numbers, 1 or more", self.steps)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"guidance": self.guidance, "steps": list(self.steps)}

    @classmethod
    def from_dict(cls, values: object) -> Distilled:
        """Read what :meth:`to_dict` wrote; unknown fields are ignored."""
        _check(isinstance(values, Mapping), "distilled", "an object", values)
        found: dict[str, Any] = dict(values)  # type: ignore[call-overload]
        for name in ("guidance", "steps"):
            _check(name in found, f"distilled.{name}", "there", None)
        steps = found["steps"]
        return cls(found["guidance"], tuple(steps) if isinstance(steps, list) else steps)


@dataclass(frozen=True)
class Sampling:
    """How a clip is sampled. The defaults are the release's. Raises :class:`SettingsError` for impossible values.

    ``steps`` of the ``solver`` lead from noise to latent. ``guidance`` is the strength of classifier-free guidance and
    ``guidance_power`` says how it grows from step to step; it acts inside ``guidance_interval`` alone, ends included.
    Of the steps there every ``unconditional_every``-th computes the unconditional branch. No step takes the clean
    latent to lie farther from 0 than ``clean_limit``. Where the denoiser is ``distilled`` its guidance is in its
    weights, and that of sampling can only be 1.
    """

    steps: int = 25
    guidance: float = 5.0
    guidance_power: float = 0.01
    solver: str = "dpm-2m"
    guidance_interval: tuple[float, float] = ALWAYS
    unconditional_every: int = 1
    clean_limit: float = math.inf
    distilled: Distilled | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "unconditional_every"):
            _check(is_count(getattr(self, name)), name, "a whole number, 1 or more", getattr(self, name))
        guidance = self.guidance
        _check(
            is_number(guidance) and abs(guidance) <= MOST_GUIDANCE,
            "guidance",
            f"a number from {-MOST_GUIDANCE:g} to {MOST_GUIDANCE:g}",
            guidance,
        )
        power = self.guidance_power
        _check(is_finite(power) and power >= 0, "guidance_power", "a finite number, 0 or more", power)
        _check(self.solver in SOLVERS, "solver", f"one of {', '.join(SOLVERS)}", self.solver)
        _check(
            _is_interval(self.guidance_interval),
            "guidance_interval",
            "two numbers, low and high, the lower one first",
            self.guidance_interval,
        )
        limit = self.clean_limit
        _check(is_number(limit) and limit > 0, "clean_limit", "a positive number", limit)
        if self.distilled is not None and guidance != 1.0:
            raise SettingsError(
                f"guidance {guidance:g} cannot be asked of this denoiser: it is distilled at guidance "
                f"{self.distilled.guidance:g}, which is in its weights; leave guidance out"
            )

    def changed(self, **changes: Unpack[Changes]) -> Sampling:
        """A copy, changed by the preset ``quality`` and then by the fields that are named; None changes nothing.

        Of a distilled denoiser, the guidance that it has may be asked for, and is what it gives; no other may. Raises
        :class:`SettingsError` for a preset that does not exist and for impossible values.
        """
        named: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
        quality = named.pop("quality", None)
        if quality is not None and quality not in tuple(PRESETS):
            raise SettingsError(f"quality must be one of {', '.join(PRESETS)}, not {quality!r}")
        if self.distilled is not None and named.get("guidance") == self.distilled.guidance:
            named["guidance"] = 1.0
        preset = {} if quality is None else presets_of(self.distilled)[quality]._preset()
        return replace(self, **preset | named)

    def _preset(self) -> dict[str, Any]:
        """What a preset sets."""
        return {name: getattr(self, name) for name in _PRESET_FIELDS}

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; a clean latent without a limit is null."""
        limit = None if math.isinf(self.clean_limit) else self.clean_limit
        plain = {**vars(self), "guidance_interval": list(self.guidance_interval), "clean_limit": limit}
        del plain["distilled"]
        return plain if self.distilled is None else plain | {"distilled": self.distilled.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Sampling:
        """Read what :meth:`to_dict` wrote; unknown fields are ignored.

        The first three fields must be there. The others have come to bundles later, and have defaults.
        """
        for name in ("steps", "guidance", "guidance_power"):
            if name not in values:
                raise SettingsError(f"{name} is missing")
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        if isinstance(known.get("guidance_interval"), list):
            known["guidance_interval"] = tuple(known["guidance_interval"])
        if known.get("clean_limit", 0.0) is None:
            del known["clean_limit"]
        if "distilled" in known:
            known["distilled"] = Distilled.from_dict(known["distilled"])
        return cls(**known)


def _check(good: bool, name: str, expected: str, found: object) -> None:
    if not good:
        raise SettingsError(f"{name} must be {expected}, not {found!r:.80}")


def _is_interval(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 2 or not all(map(is_number, value)):
        return False
    low, high = value
    return bool(low <= high)


PRESETS = {
    "fast": Sampling(steps=8, solver="unipc-2", unconditional_every=2),
    "balanced": Sampling(steps=12, solver="unipc-2"),
    "best": Sampling(steps=50),
}
"""The presets by name. A preset sets how much work sampling is; the strength of guidance and the limit stay the
bundle's. ``docs/sampling.md`` says what each does to the sound."""


def presets_of(distilled: Distilled | None) -> dict[str, Sampling]:
    """The presets of a denoiser: :data:`PRESETS`, or where it is distilled the fewest and the most steps that it was
    trained for."""
    if distilled is None:
        return PRESETS
    fewest, most = (Sampling(steps=of(distilled.steps), solver="unipc-2") for of in (min, max))
    return {"fast": fewest, "balanced": most, "best": most}


_PRESET_FIELDS = ("steps", "solver", "guidance_interval", "unconditional_every")
