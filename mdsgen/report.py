"""How long work tells whoever started it what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]
"""Takes one line about what is being done, or how far it is."""
