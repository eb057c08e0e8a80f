"""The protocol checks what an engine is given before the engine sees it, and what has been closed stays closed."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from mdsgen.engines import DEFAULT_OPTIONS, Engine, EngineOptions
from mdsgen.errors import EngineError, TensorError
from mdsgen.tensor import TensorSpec


class Doubling(Engine):
    """Doubles its input, and remembers what reached it."""

    name = "doubling"

    def __init__(self) -> None:
        self.seen: list[str] = []
        super().__init__("twice", [TensorSpec("x", "float32", ("n", 3))], [TensorSpec("y", "float32", ("n", 3))])

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.seen.append("run")
        return {"y": feeds["x"] * 2}

    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> Callable[[], None]:
        self.seen.append("bind")

        def replay() -> None:
            np.multiply(inputs["x"], 2, out=outputs["y"])

        return replay

    def _close(self) -> None:
        self.seen.append("close")


def array(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(shape, dtype)


WRONG = [
    ({}, r"twice, inputs: expected inputs \['x'\], got \[\]: missing \['x'\]"),
    ({"x": array(2, 3), "z": array(1)}, r"unknown \['z'\]"),
    ({"x": array(2, 4)}, r"twice, inputs: expected x float32 \[n, 3\], got float32 \[2, 4\]"),
    ({"x": array(3)}, r"got float32 \[3\]"),
    ({"x": array(2, 3, dtype="float64")}, r"got float64 \[2, 3\]"),
]


@pytest.mark.parametrize(("feeds", "message"), WRONG)
def test_wrong_feeds_never_reach_the_engine(feeds: dict[str, np.ndarray], message: str) -> None:
    engine = Doubling()
    with pytest.raises(TensorError, match=message):
        engine.run(feeds)
    with pytest.raises(TensorError, match=message):
        engine.bind(feeds, {"y": array(2, 3)})
    assert engine.seen == []


def test_wrong_outputs_never_reach_the_engine() -> None:
    engine = Doubling()
    frozen = array(2, 3)
    frozen.flags.writeable = False
    for outputs, message in (
        ({}, r"twice, outputs: .*missing \['y'\]"),
        ({"y": array(2, 4)}, r"twice, outputs: expected y float32 \[n, 3\]"),
        ({"y": array(3, 2).T}, "y must be C-contiguous"),
        ({"y": frozen}, "output y must be writeable"),
    ):
        with pytest.raises(TensorError, match=message):
            engine.bind({"x": array(2, 3)}, outputs)
    assert engine.seen == []


def test_a_strided_input_cannot_be_bound() -> None:
    with pytest.raises(TensorError, match="x must be C-contiguous"):
        Doubling().bind({"x": array(2, 6)[:, ::2]}, {"y": array(2, 3)})


def test_a_closed_engine_refuses_everything_and_closes_once() -> None:
    with Doubling() as engine:
        run_bound = engine.bind({"x": array(1, 3)}, {"y": array(1, 3)})
        run_bound()
    engine.close()
    for use in (lambda: engine.run({"x": array(1, 3)}), run_bound, lambda: engine.bind({}, {})):
        with pytest.raises(EngineError, match="twice: the engine is closed"):
            use()
    assert engine.seen == ["bind", "close"]


@pytest.mark.parametrize("threads", [0, -1, 1.5, "4"])
def test_a_number_of_threads_that_is_none_is_refused(threads: object) -> None:
    with pytest.raises(EngineError, match="threads must be 1 to 1024, or None"):
        EngineOptions(threads=threads)  # type: ignore[arg-type]


def test_no_provider_is_refused() -> None:
    with pytest.raises(EngineError, match="providers must name at least one"):
        EngineOptions(providers=())


def test_the_default_is_the_processor_with_the_engines_own_threads() -> None:
    assert (DEFAULT_OPTIONS.threads, DEFAULT_OPTIONS.providers) == (None, ("CPUExecutionProvider",))
