"""A recipe: one TOML file that decides everything about the training of one model, and nothing else does.

It names the geometry, says which scenes are rendered, and has one section per stage: the stage's own configuration, and
how it is trained under ``training``. Two recipes come with the package, ``demo`` and ``toy``.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from mdsgen.errors import GeometryError, TrainingError
from mdsgen.geometry import GEOMETRIES, Geometry
from mdsgen.training.settings import Settings

if TYPE_CHECKING:
    from mdsgen.training.stage import Stage

BUILT_IN = ("demo", "toy")
"""The recipes that come with the package."""

LARGEST_NETWORK = 1 << 29
"""Numbers in a stage that is trained from nothing, at most: 2 GB of them, four times the paper's largest."""
_RECIPE_BYTES = 1 << 20
_MOST_TOKENS, _MOST_SECONDS, _MOST_CHANNELS = 4096, 600, 1024  # of a geometry; the release's has 816 tokens
_LONGEST_LIST, _LARGEST, _DEEPEST = 64, 1 << 31, 256  # list, whole number, and number called depth in a section
_shown = reprlib.Repr()


@dataclass(frozen=True)
class StageEntry:
    """Where a stage is written, which of the datasets it learns from, and what it is, in one line."""

    module: str
    stage: str
    config: str
    dataset: Literal["clips", "latents", "decoded"]
    summary: str
    verb: str | None = None
    """The command that trains it, where that is not called like the stage."""
    from_checkpoint: bool = False
    """Whether it can begin with published weights."""

    def config_class(self) -> type[Any]:
        """The dataclass of the stage's section."""
        found: type[Any] = getattr(import_module(self.module), self.config)
        return found

    def stage_class(self) -> type[Stage]:
        """The stage itself, made from a geometry and that dataclass."""
        found: type[Stage] = getattr(import_module(self.module), self.stage)
        return found


STAGES = {
    "video_encoder": StageEntry(
        "mdsgen.training.contrast", "VideoEncoderStage", "VideoEncoderConfig", "clips", "pictures to features"
    ),
    "autoencoder": StageEntry(
        "mdsgen.training.autoencoding",
        "AutoencoderStage",
        "AutoencoderConfig",
        "clips",
        "spectrogram to latent and back",
    ),
    "vocoder": StageEntry(
        "mdsgen.training.vocoding", "VocoderStage", "VocoderConfig", "clips", "spectrogram to waveform"
    ),
    "judge": StageEntry(
        "mdsgen.training.judging", "JudgeStage", "JudgingConfig", "clips", "whether sound and picture belong together"
    ),
    "denoiser": StageEntry(
        "mdsgen.training.denoising", "DenoiserStage", "DenoiserStageConfig", "latents", "features to latent"
    ),
    "student": StageEntry(
        "mdsgen.training.distilling",
        "StudentStage",
        "StudentConfig",
        "latents",
        "the denoiser again, without guidance and in few evaluations",
        verb="distil",
        from_checkpoint=True,
    ),
    "noisy_vocoder": StageEntry(
        "mdsgen.training.noisy_vocoding",
        "NoisyVocoderStage",
        "NoisyVocoderConfig",
        "decoded",
        "the vocoder again, with noise that does not buzz",
    ),
}
"""Every stage by the name of its section. One more entry is one more stage, in recipes and on the command line."""


@dataclass(frozen=True)
class Scenes:
    """The scenes to render: how many, from which seed on."""

    scenes: int
    first_seed: int

    def __post_init__(self) -> None:
        if self.scenes < 1 or self.first_seed < 0:
            raise TrainingError(f"scenes must be at least 1 and first_seed at least 0, not {vars(self)}")


@dataclass(frozen=True)
class Decoding:
    """How many clips are decoded, the first of the dataset, and how the denoiser samples their latents."""

    clips: int
    steps: int = 12
    guidance: float = 2.0
    clean_limit: float = 4.0

    def __post_init__(self) -> None:
        if self.clips < 1 or self.steps < 1:
            raise TrainingError(f"clips and steps must be at least 1, not {self.clips} and {self.steps}")
        if not (math.isfinite(self.guidance) and self.clean_limit > 0):
            raise TrainingError(
                f"guidance must be finite and clean_limit positive, not {self.guidance} and {self.clean_limit}"
            )


@dataclass(frozen=True)
class Section:
    """One stage of a recipe."""

    name: str
    config: Any
    training: Settings

    def build(self, geometry: Geometry, most: int = LARGEST_NETWORK) -> Stage:
        """The stage, its network with fresh weights.

        Raises :class:`TrainingError` for impossible sizes, and before memory is taken for more numbers than ``most``.
        """
        from mdsgen.training.sizes import at_most

        try:
            with at_most(most):
                return STAGES[self.name].stage_class()(geometry, self.config)
        except Exception as error:  # whatever nonsensical sizes make PyTorch raise
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise TrainingError(f"no {self.name} can be built in geometry {geometry.name}: {reason}") from error


@dataclass(frozen=True)
class Recipe:
    """What a recipe says. ``source`` is the file's name, for messages."""

    source: str
    geometry: Geometry
    data: Scenes | None
    sections: Mapping[str, Section]
    decoding: Decoding | None = None

    def section(self, stage: str) -> Section:
        """The section of a stage. Raises :class:`TrainingError` where there is none."""
        try:
            return self.sections[stage]
        except KeyError:
            there = ", ".join(f"[{name}]" for name in self.sections) or "no stage at all"
            raise TrainingError(f"{self.source} has no section [{stage}]: it has {there}") from None

    @property
    def scenes(self) -> Scenes:
        """What to render. Raises :class:`TrainingError` where the recipe does not say."""
        if self.data is None:
            raise TrainingError(
                f"{self.source} has no section [data]: say scenes and first_seed, or name a folder of videos"
            )
        return self.data

    @property
    def decoded(self) -> Decoding:
        """What to decode. Raises :class:`TrainingError` where the recipe does not say."""
        if self.decoding is None:
            raise TrainingError(f"{self.source} has no section [decoding]: say clips, and how they are sampled")
        return self.decoding

    def only(self, stage: str) -> dict[str, Any]:
        """Geometry and one section as plain values, which :func:`parse_recipe` reads."""
        section = self.section(stage)
        table = dataclasses.asdict(section.config) | {"training": dataclasses.asdict(section.training)}
        return {"geometry": self.geometry.to_dict(), stage: table}


def load_recipe(name: str | Path) -> Recipe:
    """A built-in recipe by its name, or one of your own by its file. Raises :class:`TrainingError`."""
    built_in = str(name) in BUILT_IN
    path = files("mdsgen.training") / "recipes" / f"{name}.toml" if built_in else Path(name)
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise TrainingError(f"{name} is not a file: expected {', '.join(BUILT_IN)} or a TOML file")
        if isinstance(path, Path) and path.exists() and path.stat().st_size > _RECIPE_BYTES:
            raise TrainingError(f"{name} is not a recipe: it has {path.stat().st_size} bytes")
        values = _parse_toml(path.read_text("utf-8"))
    except OSError as error:
        known = ", ".join(BUILT_IN)
        raise TrainingError(f"no recipe {name} ({error.strerror}): expected {known} or a TOML file") from error
    except TrainingError:
        raise
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{name} is not a TOML file: {str(error)[:160]}") from error
    return parse_recipe(values, f"{name}.toml" if built_in else str(name))


def _parse_toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def parse_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from plain values. Raises :class:`TrainingError` naming ``source``, the key and what is expected."""
    known = ("geometry", "data", "decoding", *STAGES)
    if unknown := [key for key in values if key not in known]:
        raise TrainingError(f"{source}: {_name(unknown[0])} is unknown: expected {', '.join(known)}")
    data = _read(Scenes, values["data"], f"{source}: data") if "data" in values else None
    decoding = _read(Decoding, values["decoding"], f"{source}: decoding") if "decoding" in values else None
    sections = {name: _section(name, values[name], f"{source}: {name}") for name in STAGES if name in values}
    return Recipe(source, _geometry(values.get("geometry"), source), data, sections, decoding)


def _geometry(value: object, source: str) -> Geometry:
    """By name, or spelled out as :meth:`Geometry.to_dict` does."""
    if isinstance(value, str) and value in GEOMETRIES:
        return GEOMETRIES[value]
    if isinstance(value, dict):
        try:
            geometry = Geometry.from_dict(value)
        except (GeometryError, OverflowError) as error:
            raise TrainingError(f"{source}: geometry: {str(error)[:300]}") from error
        if (
            geometry.tokens > _MOST_TOKENS
            or geometry.duration > _MOST_SECONDS
            or max(geometry.channels, geometry.compression, geometry.mel.bins) > _MOST_CHANNELS
        ):
            raise TrainingError(
                f"{source}: geometry: too large to train: at most {_MOST_TOKENS} tokens, {_MOST_SECONDS} s, and "
                f"{_MOST_CHANNELS} channels, bins and times of compression"
            )
        return geometry
    found = "is missing" if value is None else f"is {_shown.repr(value)}"
    raise TrainingError(f"{source}: geometry {found}: expected one of {', '.join(GEOMETRIES)}, or a table")


def _section(name: str, table: object, where: str) -> Section:
    if not isinstance(table, dict):
        raise TrainingError(f"{where} must be a section, not {_shown.repr(table)}")
    if "training" not in table:
        raise TrainingError(f"{where} has no training: expected a section [{name}.training]")
    own = {key: value for key, value in table.items() if key != "training"}
    training = _read(Settings, table["training"], f"{where}.training")
    return Section(name, _read(STAGES[name].config_class(), own, where), training)


T = TypeVar("T")


def _read(kind: type[T], table: object, where: str) -> T:
    """A dataclass of plain values from a table, every key and type checked."""
    if not isinstance(table, dict):
        raise TrainingError(f"{where} must be a section, not {_shown.repr(table)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := [key for key in table if key not in fields]:
        raise TrainingError(f"{where}.{_name(unknown[0])} is unknown: expected {', '.join(fields)}")
    needed = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    if missing := [name for name in needed if name not in table]:
        raise TrainingError(f"{where}.{missing[0]} is missing")
    types = get_type_hints(kind)
    values = {name: _value(types[name], value, f"{where}.{name}") for name, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise TrainingError(f"{where}: {error}") from error


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _value(kind: Any, value: object, where: str) -> Any:
    """``value`` as a field of type ``kind``: one of the plain types, a choice, or a list of one plain type."""
    if get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise TrainingError(f"{where} must be a list, not {_shown.repr(value)}")
        if len(value) > _LONGEST_LIST:
            raise TrainingError(f"{where} must have at most {_LONGEST_LIST} entries, not {len(value)}")
        return tuple(_value(get_args(kind)[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise TrainingError(f"{where} must be {' or '.join(map(repr, get_args(kind)))}, not {_shown.repr(value)}")
        return value
    if kind is float and type(value) is int and -_LARGEST <= value <= _LARGEST:
        return float(value)
    if type(value) is not kind:  # a bool is an int, but not here
        raise TrainingError(f"{where} must be {_KINDS[kind]}, not {_shown.repr(value)}")
    if isinstance(value, (int, float)) and not -_LARGEST <= value <= _LARGEST:  # NaN too
        raise TrainingError(f"{where} must be between -{_LARGEST} and {_LARGEST}, not {_shown.repr(value)}")
    if where.endswith(".depth") and isinstance(value, int) and value > _DEEPEST:
        raise TrainingError(f"{where} must be at most {_DEEPEST}, not {value}")
    return value


def _name(key: object) -> str:
    """A key that is not known, short and on one line."""
    return ascii(key)[1:-1][:80]
