"""Commands in this very process, whichever version of click is installed."""

from __future__ import annotations

import inspect
from typing import Any

from click.testing import CliRunner


class Runner(CliRunner):
    """Click's own, which keeps stdout and stderr apart: before 8.2 it had to be told so."""

    def __init__(self, **options: Any) -> None:
        apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner.__init__).parameters else {}
        super().__init__(**apart, **options)
