"""What a bundle says of itself: geometry, graphs, precision, parity figures and where its weights came from.

A bundle is untrusted input: everything read here is checked before anything else uses it, and a :class:`BundleError`
names the field. Fields that this version does not know are ignored, fields that are missing are errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from mdsgen import __version__
from mdsgen.bundle.fields import Fields
from mdsgen.bundle.graph import DataFile, Graph
from mdsgen.errors import BundleError, GeometryError
from mdsgen.geometry import Geometry
from mdsgen.parity import Parity
from mdsgen.precision import PRECISIONS

SCHEMA = 2
"""The manifest schema that this version writes."""

READABLE = (1, SCHEMA)
"""The schemas that it reads."""

VIDEO_ENCODER = "video_encoder"
CONDITIONING = "conditioning"
DENOISER = "denoiser"
LATENT_DECODER = "latent_decoder"
VOCODER = "vocoder"
GRAPHS = (VIDEO_ENCODER, CONDITIONING, DENOISER, LATENT_DECODER, VOCODER)
"""The graphs that every bundle holds, in the order in which a clip passes through them."""

MAX_STEPS = 1000
"""As many as the training schedule has."""


@dataclass(frozen=True)
class SamplerDefaults:
    """How a clip is sampled where the caller does not say otherwise."""

    steps: int = 25
    guidance: float = 5.0
    guidance_power: float = 0.01
    solver: str = "dpm-2m"
    guidance_interval: tuple[float, float] = (0.0, 1000.0)
    unconditional_every: int = 1
    clean_limit: float = math.inf

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise BundleError(f"manifest field 'sampler.steps' must be 1 to {MAX_STEPS}, not {self.steps}")
        if self.guidance_power < 0:
            raise BundleError(f"manifest field 'sampler.guidance_power' must be 0 or more, not {self.guidance_power}")
        for name in ("guidance", "guidance_power"):
            if not math.isfinite(getattr(self, name)):
                raise BundleError(f"manifest field 'sampler.{name}' must be finite, not {getattr(self, name)}")
        low, high = self.guidance_interval
        if not low <= high:
            raise BundleError(f"manifest field 'sampler.guidance_interval' must be low, high, not {low}, {high}")
        if self.unconditional_every < 1:
            raise BundleError(
                f"manifest field 'sampler.unconditional_every' must be 1 or more, not {self.unconditional_every}"
            )
        if not self.clean_limit > 0:
            raise BundleError(f"manifest field 'sampler.clean_limit' must be positive, not {self.clean_limit}")

    def to_dict(self) -> dict[str, Any]:
        values = {**vars(self), "guidance_interval": list(self.guidance_interval)}
        if math.isinf(self.clean_limit):  # JSON has no word for it
            del values["clean_limit"]
        return values

    @classmethod
    def from_dict(cls, values: object) -> SamplerDefaults:
        """The first three fields must be there; the others came later and have defaults."""
        fields = Fields(values, "sampler")
        later: dict[str, Any] = {}
        for name, kind in (("solver", str), ("unconditional_every", int), ("clean_limit", float)):
            if name in fields.values:
                later[name] = fields.take(name, kind)
        if "guidance_interval" in fields.values:
            later["guidance_interval"] = _interval(fields)
        return cls(
            fields.take("steps", int), fields.take("guidance", float), fields.take("guidance_power", float), **later
        )


@dataclass(frozen=True)
class Manifest:
    """The whole description of a bundle.

    ``model`` describes the denoiser (``size``, ``width``, ``depth``, ``heads``, ``parameters``); ``provenance`` says
    where the weights came from: file names with their SHA-256, or that they are seeded and untrained. Both are plain
    JSON objects for people; no computation depends on them.
    """

    geometry: Geometry
    graphs: dict[str, Graph]
    precision: str
    model: dict[str, Any]
    provenance: dict[str, Any]
    licence: str
    sampler: SamplerDefaults = field(default_factory=SamplerDefaults)
    parity: tuple[Parity, ...] = ()
    created_by: str = f"mdsgen {__version__}"
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _check_schema(self.schema)
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise BundleError(f"manifest field 'precision' must be one of {known}, not {self.precision!r:.80}")
        missing = [name for name in GRAPHS if name not in self.graphs]
        if missing:
            raise BundleError(f"manifest field 'graphs' misses {', '.join(missing)}")
        known_files: dict[str, DataFile] = {}
        for name, graph in self.graphs.items():
            for part in graph.files:
                if known_files.setdefault(part.file, part) != part:
                    raise BundleError(f"manifest field 'graphs.{name}' disagrees with another graph on {part.file}")

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Every file of every graph, each once."""
        return tuple(dict.fromkeys(part for graph in self.graphs.values() for part in graph.files))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; :meth:`from_dict` reads it back."""
        return {
            "schema": SCHEMA,
            "created_by": self.created_by,
            "geometry": self.geometry.to_dict(),
            "precision": self.precision,
            "model": self.model,
            "sampler": self.sampler.to_dict(),
            "graphs": {name: graph.to_dict() for name, graph in self.graphs.items()},
            "parity": [figure.to_dict() for figure in self.parity],
            "provenance": self.provenance,
            "licence": self.licence,
        }

    @classmethod
    def from_dict(cls, values: object) -> Manifest:
        """Read what :meth:`to_dict` wrote. Raises :class:`BundleError` naming the field that is missing or wrong."""
        fields = Fields(values)
        schema = fields.take("schema", int)
        _check_schema(schema)  # before a field that only another schema has is found missing
        graphs = fields.take("graphs", dict)
        return cls(
            schema=schema,
            created_by=fields.take("created_by", str),
            geometry=_geometry(fields.take("geometry", dict)),
            precision=fields.take("precision", str),
            model=fields.take("model", dict),
            sampler=SamplerDefaults.from_dict(fields.take("sampler", dict)),
            graphs={name: Graph.from_dict(graph, f"graphs.{name}") for name, graph in graphs.items()},
            parity=_parities(fields, *(("quality", "decibels") if schema == 1 else ("parity", "snr_db"))),
            provenance=fields.take("provenance", dict),
            licence=fields.take("licence", str),
        )


def _interval(fields: Fields) -> tuple[float, float]:
    """Two timesteps, the lower one first."""
    bounds = fields.take("guidance_interval", list)
    try:
        low, high = (Fields({"low": bound}).take("low", float) for bound in bounds)
    except (BundleError, ValueError):
        place = fields.place("guidance_interval")
        raise BundleError(f"manifest field {place!r} must be two numbers, not {bounds!r:.80}") from None
    return low, high


def _parities(fields: Fields, name: str, ratio: str) -> tuple[Parity, ...]:
    """The parity figures under this name; ``ratio`` is what each calls its signal-to-noise ratio."""
    return tuple(_parity(Fields(value, place), ratio) for place, value in fields.elements(name))


def _parity(fields: Fields, ratio: str) -> Parity:
    exact = fields.values.get(ratio, 0) is None
    graph, what = fields.take("graph", str), fields.take("what", str)
    snr_db, threshold = math.inf if exact else fields.take(ratio, float), fields.take("threshold", float)
    try:
        return Parity(graph, what, snr_db, threshold)
    except ValueError as error:
        raise BundleError(f"manifest field {fields.where!r}: {error}") from error


def _check_schema(schema: int) -> None:
    if schema not in READABLE:
        raise BundleError(
            f"bundle schema {schema} is unknown, this version reads {' and '.join(map(str, READABLE))}: "
            "export the bundle again, or update mdsgen"
        )


def _geometry(values: dict[str, Any]) -> Geometry:
    try:
        return Geometry.from_dict(values)
    except GeometryError as error:
        raise BundleError(f"manifest field 'geometry': {error}") from error
