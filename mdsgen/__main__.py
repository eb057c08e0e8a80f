"""``python -m mdsgen``: all commands by their short names, such as ``python -m mdsgen run video.mp4``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from mdsgen.command import Group

COMMANDS = ("run", "serve", "info", "export", "train", "eval", "bench")
"""The commands in the order in which they are listed; each is also installed as ``mdsgen-NAME``."""


class _Commands(Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: Any = import_module(f"mdsgen.cli.{cmd_name}").main
        return found if isinstance(found, click.Command) else None


@click.group("python -m mdsgen", cls=_Commands)
def main() -> None:
    """Sound for silent video, generated on the device.

    Each command is also installed under a name of its own: mdsgen-run, mdsgen-info and so on.
    """


if __name__ == "__main__":
    main()
