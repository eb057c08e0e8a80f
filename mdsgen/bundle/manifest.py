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
from mdsgen.errors import BundleError, GeometryError, SettingsError
from mdsgen.geometry import Geometry
from mdsgen.parity import Parity
from mdsgen.precision import PRECISIONS
from mdsgen.sampling import Sampling
from mdsgen.schedule import NoiseSchedule

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


@dataclass(frozen=True)
class Manifest:
    """The whole description of a bundle.

    ``continues``: the denoiser was trained to go on from known columns that are given clean and marked (see
    :mod:`mdsgen.marks`). ``model`` describes it (``size``, ``width``, ``depth``, ``heads``, ``parameters``);
    ``provenance`` says where the weights came from: file names with their SHA-256, or that they are seeded and
    untrained. Both are plain JSON objects for people; no computation depends on them.
    """

    geometry: Geometry
    graphs: dict[str, Graph]
    precision: str
    model: dict[str, Any]
    provenance: dict[str, Any]
    licence: str
    sampling: Sampling = field(default_factory=Sampling)
    schedule: NoiseSchedule = field(default_factory=NoiseSchedule)
    continues: bool = False
    parity: tuple[Parity, ...] = ()
    created_by: str = f"mdsgen {__version__}"
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _check_schema(self.schema)
        if self.sampling.steps > self.schedule.train_steps:
            raise BundleError(
                f"manifest field 'sampling': {self.sampling.steps!r:.80} steps are more than the "
                f"{self.schedule.train_steps} that the model was trained in"
            )
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
            "sampling": self.sampling.to_dict(),
            "schedule": self.schedule.to_dict(),
            **({"continues": True} if self.continues else {}),
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
            sampling=_sampling(fields, "sampler" if schema == 1 else "sampling"),
            schedule=NoiseSchedule() if schema == 1 else _schedule(fields),  # schema 1 had the release's alone
            continues=fields.flag("continues"),
            graphs={name: Graph.from_dict(graph, f"graphs.{name}") for name, graph in graphs.items()},
            parity=_parities(fields, *(("quality", "decibels") if schema == 1 else ("parity", "snr_db"))),
            provenance=fields.take("provenance", dict),
            licence=fields.take("licence", str),
        )


def _sampling(fields: Fields, name: str) -> Sampling:
    try:
        return Sampling.from_dict(fields.take(name, dict))
    except SettingsError as error:
        raise BundleError(f"manifest field {name!r}: {error}") from error


def _schedule(fields: Fields) -> NoiseSchedule:
    try:
        return NoiseSchedule.from_dict(fields.take("schedule", dict))
    except SettingsError as error:
        raise BundleError(f"manifest field 'schedule': {error}") from error


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
            f"bundle schema {schema!r:.80} is unknown, this version reads {' and '.join(map(str, READABLE))}: "
            "export the bundle again, or update mdsgen"
        )


def _geometry(values: dict[str, Any]) -> Geometry:
    try:
        return Geometry.from_dict(values)
    except GeometryError as error:
        raise BundleError(f"manifest field 'geometry': {error}") from error
