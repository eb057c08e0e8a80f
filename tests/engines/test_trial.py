"""The fastest engine on this machine: tried once, said, remembered by all that could change the answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mdsgen.cache import cache_folder
from mdsgen.engines import DEFAULT_OPTIONS, Engine, EngineOptions
from mdsgen.engines.choice import PROVISIONAL_SECONDS, choices_for, deciding, forget
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
    monkeypatch.setattr("mdsgen.engines.trial.load_average", lambda: 0.0)
    monkeypatch.setattr("mdsgen.engines.trial.PAUSE", 0.0)


def test_the_faster_one_is_taken_and_said_and_kept() -> None:
    workshop = Workshop(slow=(0.01, 1.0), quick=(0.001, 1.0))
    assert workshop.fastest() == "quick"
    (line,) = workshop.said
    assert "tried the engines on affine, once on this machine: slow 1" in line
    assert "running on quick" in line
    (kept,) = cache_folder("engines").glob("*.json")
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
    (kept,) = cache_folder("engines").glob("*.json")
    for damage in ("", "{", "[]", '{"engine": "abacus"}'):
        kept.write_text(damage)
        assert workshop.fastest() == "quick"
    assert len(workshop.said) == 5


def test_where_a_choice_cannot_be_kept_it_is_the_first_engine_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MDSGEN_CACHE", str(tmp_path / "file"))
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, 1.0))
    assert workshop.fastest() == "slow"
    assert not workshop.opened
    (line,) = workshop.said
    assert "cannot be kept" in line
    assert "running on slow; set MDSGEN_CACHE" in line


@pytest.mark.parametrize(("load", "trials"), [(0.5, 1), (2.5, 2)], ids=["idle", "loaded"])
def test_a_choice_made_under_load_holds_for_an_hour(monkeypatch: pytest.MonkeyPatch, load: float, trials: int) -> None:
    monkeypatch.setattr("mdsgen.engines.trial.load_average", lambda: load)
    monkeypatch.setattr("mdsgen.engines.trial.usable_cores", lambda: 2)
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, 1.0))
    workshop.fastest()
    workshop.fastest()
    assert len(workshop.said) == 1
    assert ("for an hour" in workshop.said[0]) == (load > 2)
    now = time.time()
    monkeypatch.setattr("mdsgen.engines.choice.time.time", lambda: now + PROVISIONAL_SECONDS + 1)
    workshop.fastest()
    assert len(workshop.said) == trials


def test_what_is_forgotten_is_tried_again() -> None:
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, 1.0))
    workshop.fastest()
    workshop.fastest(options=EngineOptions(threads=1))
    workshop.fastest(GRAPH.with_name("cast.onnx"))
    assert [choice.engine for choice in choices_for(GRAPH).values()] == ["quick", "quick"]
    assert forget(GRAPH) == 2
    assert choices_for(GRAPH) == {}
    assert len(choices_for(GRAPH.with_name("cast.onnx"))) == 1
    workshop.fastest()
    assert len(workshop.said) == 4


def test_who_waits_too_long_takes_the_first_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def never(path: Path) -> Iterator[bool]:
        yield False

    monkeypatch.setattr("mdsgen.engines.trial.deciding", never)
    workshop = Workshop(slow=(0.003, 1.0), quick=(0.0, 1.0))
    assert workshop.fastest() == "slow"
    assert "another process is still trying the engines on affine: running on slow" in workshop.said[0]


def test_the_wait_for_another_process_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    with deciding(path) as first, deciding(path, seconds=0.0) as second:
        assert (first, second) == (True, False)
    with deciding(path, seconds=0.0) as later:
        assert later


PROCESS = """
import sys, time
from pathlib import Path
from mdsgen.engines import DEFAULT_OPTIONS
from mdsgen.engines.choice import PROVISIONAL_SECONDS, choices_for, deciding, forget
from mdsgen.engines.trial import fastest
from tests.engines.test_trial import Adder
import mdsgen.engines.trial as trial

class Sleeper(Adder):
    def _bind(self, inputs, outputs):
        run = super()._bind(inputs, outputs)
        return lambda: (time.sleep(self._seconds), run())

def open_with(name):
    time.sleep(0.1)
    fast = {"0": "other", "1": "one"}[sys.argv[1]]
    return Sleeper(0.001 if name == fast else 0.02, 1.0)

print("ready", flush=True)
sys.stdin.readline()
say = lambda line: print(line, file=sys.stderr)
print(fastest(("one", "other"), Path(sys.argv[2]), DEFAULT_OPTIONS, open_with, say))
"""


def test_processes_that_start_together_choose_the_same() -> None:
    """Each of the two finds another engine to be the faster one."""
    command = [sys.executable, "-c", PROCESS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen([*command, str(i), str(GRAPH)], cwd=GRAPH.parents[2], **pipes)  # type: ignore[call-overload]
        for i in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert answers[0][0] == answers[1][0] in ("one\n", "other\n"), answers
    assert sum("tried the engines" in said for _, said in answers) == 1


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
    assert not list(cache_folder("engines").glob("*.json"))
