"""The first part: everything can be imported, and the GPU opened; what is not there is said with how to get it."""

from __future__ import annotations

import sys

from mdsgen.engines.cuda import Device
from mdsgen.engines.tensorrt import import_tensorrt, machine_of
from mdsgen.errors import MdsgenError


def main() -> int:
    try:
        device = Device.shared()
        print(machine_of(import_tensorrt(), device))
        graph = device.capture(lambda: None)
        graph.launch()
        device.synchronize()
        graph.free()
        print(f"{device.free_memory() >> 20} MiB of device memory free")
    except MdsgenError as error:
        print(f'{error}\nnothing else can be run: see "Needed" in docs/tensorrt.md')
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
