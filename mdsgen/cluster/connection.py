"""Ray: connected within a block, and what it keeps running."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from mdsgen.errors import ClusterError

LOCAL = "local"
"""The address of a cluster that is started here and ends with the block."""


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
    own = {"include_dashboard": False} if address == LOCAL else {}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **own)
    except Exception as error:  # whatever the network or a cluster of another version makes Ray raise
        reason = " ".join(str(error).split())
        raise ClusterError(f"there is no Ray cluster at {address} ({reason:.300})") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has put its own in place, which exits without cleaning up
    try:
        yield ray
    finally:
        ray.shutdown()
