"""The fastest engine on this machine: tried once, said, remembered by all that could change the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from mdsgen.cache import cache_folder
from mdsgen.engines import DEFAULT_OPTIONS, Engine, EngineOptions
from mdsgen.engines.trial import fastest
from mdsgen.errors import EngineError
from mdsgen.tensor import TensorSpec

GRAPH = Path(__file__).parents[1] / "fixtures" / "affine.onnx"
SPEC = TensorSpec("x", "float32", ("branches", 3))


class Clock:
    """Stands still but for what engines take."""

    seconds = 0.0


class Adder(Engine):
    """Adds ``offset``, which takes so many seconds."""

    name = "adder"

    def __init__(self, seconds: float, offset: float) -> None:
        self._seconds, self._offset = seconds, offset
        super().__init__("graph", [SPEC], [TensorSpec("y", "float32", ("branches", 3))])

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": feeds["x"] + self._offset}

    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Callable[[], None]:
        def replay() -> None:
            Clock.seconds += self._seconds
            outputs["y"][...] = self._run(inputs)["y"]

        return replay

    def _close(self) -> None: ...


class Workshop:
    """Opens adders by name, each of so many seconds and an offset, and notes what was opened and said."""

    def __init__(self, **engines: tuple[float, float]) -> None:
        self.engines = engines
        self.opened: list[Adder] = []
        self.said: list[str] = []

    def open(self, name: str) -> Engine:
        self.opened.append(Adder(*self.engines[name]))
        return self.opened[-1]

    def fastest(self, path: Path = GRAPH, options: EngineOptions = DEFAULT_OPTIONS) -> str:
        return fastest(tuple(self.engines), path, options, self.open, self.said.append)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mdsgen.engines.trial.time.perf_counter", lambda: Clock.seconds)


def test_the_faster_one_is_taken_and_said_and_kept() -> None:
    workshop = Workshop(slow=(0.01, 1.0), quick=(0.001, 1.0))
    assert workshop.fastest() == "quick"
    (line,) = workshop.said
    assert "tried the engines on affine, once on this machine: slow 1" in line
    assert "running on quick" in line
    (kept,) = cache_folder("engines").iterdir()
    document = json.loads(kept.read_text(), parse_constant=pytest.fail)
    assert (document["engine"], list(document["figures"])) == ("quick", ["slow", "quick"])


def test_a_second_time_nothing_is_tried_or_said() -> None:
    Workshop(slow=(0.01, 1.0), quick=(0.001, 1.0)).fastest()
    again = Workshop(slow=(0.0, 1.0), quick=(0.01, 1.0))
    assert again.fastest() == "quick"
    assert (again.opened, again.said) == ([], [])


@pytest.mark.parametrize("offset", [3.0, float("nan"), float("inf")])
def test_a_faster_one_that_computes_something_else_is_not_taken(offset: float) -> None:
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, offset))
    assert workshop.fastest() == "slow"


def test_another_graph_or_other_options_are_tried_anew() -> None:
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, 1.0))
    workshop.fastest()
    workshop.fastest(GRAPH.with_name("cast.onnx"))
    workshop.fastest(options=EngineOptions(threads=1))
    assert len(workshop.said) == 3


def test_a_damaged_memory_is_no_memory() -> None:
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, 1.0))
    workshop.fastest()
    (kept,) = cache_folder("engines").iterdir()
    for damage in ("", "{", "[]", '{"engine": "abacus"}'):
        kept.write_text(damage)
        assert workshop.fastest() == "quick"
    assert len(workshop.said) == 5


def test_a_cache_that_cannot_be_written_is_said_and_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "file"))
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, 1.0))
    assert workshop.fastest() == "quick"
    assert "cannot be kept" in workshop.said[-1]


def test_engines_are_closed_and_one_that_does_not_open_is_an_error() -> None:
    workshop = Workshop(slow=(0.003, 1.0))

    def broken(name: str) -> Engine:
        if name == "broken":
            raise EngineError("not installed")
        return workshop.open(name)

    with pytest.raises(EngineError, match="not installed"):
        fastest(("slow", "broken"), GRAPH, DEFAULT_OPTIONS, broken, workshop.said.append)
    with pytest.raises(EngineError, match="closed"):
        workshop.opened[0].run({"x": np.zeros((2, 3), np.float32)})
    assert not cache_folder("engines").exists()
