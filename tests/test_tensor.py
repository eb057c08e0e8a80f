"""The check of arrays against what a graph declares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsgen.errors import TensorError
from mdsgen.tensor import TensorSpec, check_feeds

LATENT = TensorSpec("latent", "float32", (1, 8, "frames", 16))
TIMESTEP = TensorSpec("timestep", "float16", (1,))


def test_a_spec_reads_as_it_is_written_in_an_error() -> None:
    assert str(LATENT) == "latent float32 [1, 8, frames, 16]"


@pytest.mark.parametrize("frames", [0, 1, 204])
def test_a_named_length_may_be_any(frames: int) -> None:
    assert LATENT.admits("float32", (1, 8, frames, 16))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 8, 204, 16), np.float64),
        np.zeros((1, 8, 204, 16), np.dtype(">f4")),
        np.zeros((1, 8, 204, 15), np.float32),
        np.zeros((8, 204, 16), np.float32),
        np.zeros((1, 1, 8, 204, 16), np.float32),
        np.float32(1.0),
    ],
    ids=["float64", "big-endian", "length", "rank below", "rank above", "scalar"],
)
def test_another_dtype_or_shape_is_refused_with_both(array: np.ndarray) -> None:
    with pytest.raises(TensorError) as refusal:
        LATENT.check(array)
    assert str(refusal.value) == f"expected {LATENT}, got {array.dtype} {list(array.shape)}"


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), max_size=4), st.lists(st.integers(0, 4), max_size=4))
def test_a_fixed_shape_takes_that_shape_alone(declared: list[int], given_shape: list[int]) -> None:
    spec = TensorSpec("x", "int64", tuple(declared))
    array = np.zeros(given_shape, np.int64)
    if declared == given_shape:
        spec.check(array)
    else:
        with pytest.raises(TensorError, match="expected x int64"):
            spec.check(array)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "int64", "bool"])
def test_every_dtype_of_a_graph_is_known(dtype: str) -> None:
    assert TensorSpec("x", dtype, (2,)).admits(np.zeros(2, dtype).dtype, (2,))


def feeds() -> dict[str, np.ndarray]:
    return {"latent": np.zeros((1, 8, 4, 16), np.float32), "timestep": np.zeros(1, np.float16)}


def test_feeds_as_declared_pass_but_not_for_other_declarations() -> None:
    check_feeds([LATENT, TIMESTEP], feeds())
    with pytest.raises(TensorError, match=r"unknown \['timestep'\]"):
        check_feeds([LATENT], feeds())


def test_a_missing_and_an_unknown_input_are_both_named() -> None:
    given_feeds = feeds()
    given_feeds["step"] = given_feeds.pop("timestep")
    with pytest.raises(TensorError, match=r"missing \['timestep'\], unknown \['step'\]"):
        check_feeds([LATENT, TIMESTEP], given_feeds)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"latent": feeds()["latent"]}, r"missing \['timestep'\], unknown \[\]"),
        (feeds() | {"step": np.zeros(1)}, r"missing \[\], unknown \['step'\]"),
    ],
    ids=["missing", "unknown"],
)
def test_too_few_and_too_many_inputs_are_refused(changed: dict[str, np.ndarray], complaint: str) -> None:
    with pytest.raises(TensorError, match=complaint):
        check_feeds([LATENT, TIMESTEP], changed)


def test_one_wrong_array_among_the_feeds_is_named() -> None:
    with pytest.raises(TensorError, match=r"expected timestep float16 \[1\], got float32 \[1\]"):
        check_feeds([LATENT, TIMESTEP], feeds() | {"timestep": np.zeros(1, np.float32)})
