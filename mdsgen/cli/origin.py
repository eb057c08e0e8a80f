"""What a result was made by: enough to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mdsgen import __version__
from mdsgen.conditions import version_of
from mdsgen.sampling import Sampling

if TYPE_CHECKING:
    from mdsgen.runtime import Pipeline


def origin(pipeline: Pipeline, sampling: Sampling, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The bundle and its checksum, the engine and its version, the sampling, and what else was ``asked`` for."""
    bundle = pipeline.bundle
    return {
        "mdsgen": __version__,
        "bundle": str(bundle.folder),
        "bundle_sha256": bundle.sha256,
        "precision": bundle.manifest.precision,
        "engine": pipeline.engine,
        "engine_version": version_of(pipeline.engine),
        "providers": list(pipeline.providers),
        "sampling": sampling.to_dict(),
        **asked,
    }
