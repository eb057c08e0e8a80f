"""The part of ``mdsgen-export`` that is about INT8: what it is calibrated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mdsgen.command import F, give_options
from mdsgen.export.calibration_clips import LEAST_CLIPS, CalibrationOptions
from mdsgen.media import VIDEO_SUFFIXES
from mdsgen.precision import PRECISIONS

_OPTIONS = (
    click.option(
        "--calibrate-on",
        type=click.Path(path_type=Path),
        help=f"A folder of videos that int8 is calibrated on: {', '.join(sorted(VIDEO_SUFFIXES))}.  "
        "[default: rendered scenes]",
    ),
    click.option(
        "--calibration-scenes",
        type=click.IntRange(LEAST_CLIPS),
        help=f"How many scenes instead.  [default: {CalibrationOptions.scenes}]",
    ),
    click.option("--calibration-seed", type=click.IntRange(0), help="Of scenes and noise.  [default: 0]"),
)

_FIELDS = {"calibrate_on": "videos", "calibration_scenes": "scenes", "calibration_seed": "seed"}


def calibration_options(function: F) -> F:
    """Give a command these options, in this order."""
    return give_options(function, _OPTIONS)


def take_calibration(settings: dict[str, Any]) -> CalibrationOptions | None:
    """What of a command's settings is about calibration, or None for a precision without; it is taken out of them.

    Raises a usage error where any of it is named for a precision that is not calibrated, or videos and scenes both.
    """
    taken = {option: settings.pop(option) for option in _FIELDS}
    named = {option: value for option, value in taken.items() if value is not None}
    precision = PRECISIONS[settings["precision"]]
    if named and not precision.needs_calibration:
        calibrated = ", ".join(name for name, other in PRECISIONS.items() if other.needs_calibration)
        option = "--" + next(iter(named)).replace("_", "-")
        raise click.UsageError(f"{option} is for --precision {calibrated}, not {precision.name}")
    if {"calibrate_on", "calibration_scenes"} <= named.keys():
        raise click.UsageError("--calibrate-on and --calibration-scenes exclude each other: name one")
    if not precision.needs_calibration:
        return None
    return CalibrationOptions(**{_FIELDS[option]: value for option, value in named.items()})
