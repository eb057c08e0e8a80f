"""Ray: connected within a block, and what it keeps running."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from mdsgen.errors import ClusterError

LOCAL = "local"
"""The address of a cluster that is started here and ends with the block."""

ATTEMPTS = 2
"""So many times work is begun anew whose process was lost: what brings down every machine must end."""

_PATIENCE = 10.0  # seconds


@contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Within this block Ray is connected to the cluster at ``address``; ``auto`` is the one that runs here.

    Raises :class:`ClusterError` where Ray is missing or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"a cluster needs Ray ({error}): pip install 'mdsgen[cluster]'") from error
    _check_reachable(address)
    own = {"include_dashboard": False} if address == LOCAL else {}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **own)
    except Exception as error:  # whatever the network or a cluster of another version makes Ray raise
        raise _absent(address, error) from error
    ray._private.worker._worker_logs_enabled = False  # Ray would tell of lost workers on stdout, which is for results
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has put its own in place, which exits without cleaning up
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise at once where nothing listens at a host and port: Ray tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _absent(address, error) from error


def _absent(address: str, error: Exception) -> ClusterError:
    reason = " ".join(str(error).split())
    return ClusterError(f"there is no Ray cluster at {address} ({reason:.300})")
