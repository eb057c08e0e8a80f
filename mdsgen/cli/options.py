"""Options that several commands share, given to a command all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def give_options(function: F, options: Sequence[Callable[[Any], Any]]) -> F:
    """Give a command these click options; its help lists them in this order."""
    for option in reversed(options):
        function = option(function)
    return function
