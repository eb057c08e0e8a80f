"""The part of ``mdsgen-export`` that is about INT8: what it is calibrated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mdsgen.cli.options import F, give_options
from mdsgen.media import VIDEO_SUFFIXES

_OPTIONS = (
    click.option(
        "--calibrate-on",
        type=click.Path(path_type=Path),
        help=f"A folder of videos that int8 is calibrated on: {', '.join(sorted(VIDEO_SUFFIXES))}.  "
        "[default: rendered scenes]",
    ),
    click.option("--calibration-scenes", type=click.IntRange(1), help="How many scenes instead.  [default: 8]"),
    click.option("--calibration-seed", type=click.IntRange(0), help="Of scenes and noise.  [default: 0]"),
)

_NAMES = ("calibrate_on", "calibration_scenes", "calibration_seed")


def calibration_options(function: F) -> F:
    """Give a command these options, in this order."""
    return give_options(function, _OPTIONS)


def take_calibration(settings: dict[str, Any]) -> dict[str, Any] | None:
    """What of a command's settings is about calibration, or None for a precision without; it is taken out of them.

    Raises a usage error where any of it is named for a precision that is not calibrated, or videos and scenes both.
    """
    taken = {name: settings.pop(name) for name in _NAMES}
    named = ["--" + name.replace("_", "-") for name, value in taken.items() if value is not None]
    if named and settings["precision"] != "int8":
        raise click.UsageError(f"{named[0]} is for --precision int8, not {settings['precision']}")
    if taken["calibrate_on"] is not None and taken["calibration_scenes"] is not None:
        raise click.UsageError("--calibrate-on and --calibration-scenes exclude each other: name one")
    return taken if settings["precision"] == "int8" else None


def calibration_arguments(taken: dict[str, Any], geometry: Any) -> dict[str, Any]:
    """What ``convert_bundle`` is told of it, for bundles of this geometry."""
    from mdsgen.export.calibration import CLIPS, scene_clips, video_clips

    folder, scenes, seed = (taken[name] for name in _NAMES)
    clips = video_clips(geometry, folder) if folder else scene_clips(geometry, scenes or CLIPS, seed or 0)
    return {"calibration": clips, "seed": seed or 0}
