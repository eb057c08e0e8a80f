"""Networks are opened one at a time in a process, and a fork in between leaves the turn free."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mdsgen.engines import open_engine
from mdsgen.engines.forked import opening

AFFINE = Path(__file__).parents[1] / "fixtures" / "affine.onnx"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_who_opens_a_network_waits_for_whoever_does(engine: str) -> None:
    pytest.importorskip(engine)
    opened: list[str] = []

    def open_one() -> None:
        with open_engine(AFFINE, engine) as found:
            opened.append(found.name)

    waiting = threading.Thread(target=open_one)
    with opening:
        waiting.start()
        waiting.join(0.3)
        assert not opened
    waiting.join(20)
    assert opened == [engine]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_its_own_turn() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if opening.acquire(timeout=1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not opening.locked()
