"""Errors that a person can act on.

Everything this project raises on purpose derives from :class:`MdsgenError`, so that a command line can turn it into one
clear line, and an embedding application can tell it from a bug. A message names what was expected, what came and what
to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 1000


class MdsgenError(Exception):
    """Base of every error that this project raises on purpose. A long message, such as of a hostile file, is cut."""

    def __str__(self) -> str:
        message = super().__str__()
        cut = f"… ({len(message)} characters)" if len(message) > _LONGEST else ""
        return message[:_LONGEST] + cut


class GeometryError(MdsgenError, ValueError):
    """A geometry whose lengths do not fit together."""


class CheckpointError(MdsgenError):
    """A weights file that is not what it should be."""


class TensorError(MdsgenError, ValueError):
    """An array whose name, dtype or shape is not the one that was declared."""


class BundleError(MdsgenError):
    """A bundle that is missing, damaged, or of another schema."""


class EngineError(MdsgenError):
    """An engine that is unknown, not installed, or failed."""


class NotFiniteError(EngineError):
    """A network that gave NaN or infinite numbers."""


class KernelError(MdsgenError):
    """A CUDA kernel that cannot be compiled, loaded or launched."""


class MediaError(MdsgenError):
    """A video or audio file that cannot be read or written."""


class ExportError(MdsgenError):
    """An export that failed or did not reach its parity thresholds."""


class HubError(MdsgenError):
    """A file of the hub that cannot be fetched, or came damaged."""


class SettingsError(MdsgenError, ValueError):
    """A setting outside of what it may be."""


class SceneError(MdsgenError, ValueError):
    """A scene that cannot be drawn: an unknown kind, or lengths that do not fit."""


class DatasetError(MdsgenError, ValueError):
    """Training data that are missing, incomplete, or not what the training needs."""


class TrainingError(MdsgenError, ValueError):
    """A training that cannot start or go on: its configuration, its checkpoint or what it computed."""


class ServerError(MdsgenError):
    """A server that cannot listen, or has nowhere to keep its films, or whose libraries are missing."""


class ClusterError(MdsgenError):
    """A cluster that cannot be reached, or whose workers are lost or not what they should be."""


class Cancelled(MdsgenError):
    """The caller's progress callback asked to stop."""


@contextmanager
def writing(path: Path, kind: type[MdsgenError]) -> Iterator[None]:
    """Within this context a disk that is full, read-only or broken raises ``kind``, naming ``path``."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or f"{error} (is the disk full?)"  # as NumPy says it
        raise kind(f"cannot write {path}: {reason}") from error
