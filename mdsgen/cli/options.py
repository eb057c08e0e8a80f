"""Options that several commands share, given to a command all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mdsgen.command import F
from mdsgen.engines import ENGINES
from mdsgen.engines.base import MOST_THREADS
from mdsgen.errors import SettingsError
from mdsgen.hub import HubName, is_hub_name


def finite(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """A click callback: refuses infinite numbers and what is none."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


def in_a_folder(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """A click callback: refuses a file in a folder that is not there, before any work is done for it."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"there is no folder {value.parent}")
    return value


def say_idle(names: Iterable[str], without: str) -> None:
    """Say of the options that were given on the command line that they change nothing without another one."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            click.echo(f"note: --{name} changes nothing without --{without}", err=True)


class _Place(click.Path):
    """A path of this machine, or a name ``hf://…``, which stays the text that it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not is_hub_name(value):
            return super().convert(value, param, ctx)
        try:
            return str(HubName.parse(value))
        except SettingsError as error:
            self.fail(str(error), param, ctx)


PLACE = _Place(path_type=Path)
"""What is here, or on the hub by ``hf://owner/name[/path][@revision]``."""


bundle_option = click.option(
    "--bundle",
    type=PLACE,
    help="A bundle that mdsgen-export made, or hf://owner/name[/path][@revision].  [default: $MDSGEN_BUNDLE, or the "
    "demo model]",
)


def engine_option(others: Iterable[str] = ()) -> Callable[[F], F]:
    """``--engine``, one of the engines or of ``others``."""
    return click.option(
        "--engine",
        type=click.Choice(list(dict.fromkeys([*ENGINES, *others]))),
        default="auto",
        show_default=True,
        help="What runs the networks; auto: TensorRT where the bundle has plans for this machine, else the faster of "
        "ONNX Runtime and OpenVINO, as far as they are installed.",
    )


THREADS = click.IntRange(1, MOST_THREADS)
"""How many threads an engine may be given."""

threads_option = click.option(
    "--threads", type=THREADS, help="Threads of the engine.  [default: one per physical core]"
)

bfloat16_option = click.option(
    "--bfloat16",
    is_flag=True,
    help="Compute in bfloat16: two to three times as fast and less exact, at 40 dB of the noise estimate. OpenVINO "
    "can, on x86 processors that have it, and ONNX Runtime on such Arm processors; elsewhere it changes nothing.",
)
