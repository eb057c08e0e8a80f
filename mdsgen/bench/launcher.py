"""Run a command and say how long it took and how much memory it held: one JSON line on stdout.

A program of its own, started as a file without ``site``: to a process that replaces another by ``exec``, Linux counts
that one's peak, too. What is started from a small program starts small.
"""

import json
import os
import sys
import time


def main() -> None:
    """``launcher.py OUTPUT COMMAND…``: the command's stdout and stderr go to the file OUTPUT."""
    _, output, *command = sys.argv
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    start = time.monotonic()
    process = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, file, 1), (os.POSIX_SPAWN_DUP2, file, 2)],
    )
    _, status, usage = os.wait4(process, 0)
    end = time.monotonic()
    peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
    json.dump({"start": start, "end": end, "peak": peak, "status": os.waitstatus_to_exitcode(status)}, sys.stdout)


if __name__ == "__main__":
    main()
