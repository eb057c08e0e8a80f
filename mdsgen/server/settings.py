"""Where the server listens, who may ask it, and how much."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address

from mdsgen.errors import SettingsError

LOOPBACK = "127.0.0.1"
SHORTEST_TOKEN = 8


@dataclass(frozen=True)
class Limits:
    """What a request may ask: ``bytes`` and ``seconds`` of film, and ``steps``; ``waiting`` is how many may wait."""

    bytes: int = 512 * 2**20
    seconds: float = 600.0
    steps: int = 100
    waiting: int = 8


@dataclass(frozen=True)
class ServerSettings:
    """``host`` and ``port`` to listen on (0: any that is free), the ``token`` that requests must carry, the limits.

    Raises :class:`SettingsError` where others could ask without a token.
    """

    host: str = LOOPBACK
    port: int = 8080
    token: str | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise SettingsError(f"{self.host} can be reached from elsewhere: give a --token, or listen on {LOOPBACK}")
        if self.token is not None and not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", self.token):
            raise SettingsError(f"a token must be {SHORTEST_TOKEN} or more printable ASCII characters without spaces")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, as only this machine can ask it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
