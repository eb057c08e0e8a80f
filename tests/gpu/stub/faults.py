"""Each call of the driver and of TensorRT fails in turn: ``python -m tests.gpu.stub.faults BUNDLE CODE [for-good]``.

Two clips each time, from opening to closing. Prints how many calls there were; ends with an error where a failure is
not one line, or where anything is left on the device afterwards.
"""

from __future__ import annotations

import atexit
import gc
import sys

import numpy as np

from mdsgen.bundle import Bundle
from mdsgen.engines import warn_once
from mdsgen.engines.cuda import Device
from mdsgen.errors import MdsgenError
from mdsgen.runtime import Networks, Timings, seeded_noise
from mdsgen.runtime.generators import Generators
from mdsgen.sampling import Sampling
from tests.gpu.stub.library import load

SETTINGS = Sampling(steps=2, guidance=3.0, guidance_power=0.01)
EVERY = 11  # in the middle, where a call is one of many like it
REFUSED = 901  # a capture, by the driver


def clips(bundle: Bundle) -> None:
    geometry = bundle.manifest.geometry
    frames = np.zeros((geometry.video_frames, geometry.frame_size, geometry.frame_size, 3), np.uint8)
    with Networks(bundle, "tensorrt") as networks:
        generators = Generators(networks)
        try:
            for _ in range(2):
                generators.of(SETTINGS)(frames, seeded_noise(geometry, 0), Timings())
        finally:
            generators.close()


def end_process() -> None:
    """What becomes of the device at the end of a process."""
    device, Device._shared = Device._shared, None
    if device is not None:
        atexit.unregister(device._finish)
        device._finish()
    warn_once.cache_clear()


def main(folder: str, code: int, for_good: bool) -> int:
    library, bundle = load(), Bundle.open(folder)
    library.stub_dry(1)
    clips(bundle)
    end_process()
    calls = int(library.stub_calls())
    names = [library.stub_call(index).decode() for index in range(calls)]
    opened = names.index("set_tensor_address")
    chosen = sorted({*range(opened), *range(opened, calls, EVERY), *range(calls - 30, calls)})
    if code == REFUSED:
        chosen = [index for index, name in enumerate(names) if "Capture" in name or "Graph" in name]
    wrong = []
    for index in chosen:
        library.stub_reset()
        library.stub_fail(index, code, int(for_good))
        said = ""
        try:
            clips(bundle)
        except MdsgenError as error:
            said = str(error)
        gc.collect()  # what an error still held
        end_process()
        left, complaints = library.stub_left().decode(), library.stub_report().decode()
        if left or complaints or "\n" in said:
            wrong.append(f"call {index}, {names[index]}: {said!r}, left {left!r}, {complaints!r}")
    print(f"{len(chosen)} of {calls} calls failed in turn, {len(wrong)} wrongly")
    print("\n".join(wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), len(sys.argv) > 3))
