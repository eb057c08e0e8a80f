"""The device's marks: the reference's bits, in the last rows of every matrix and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdsgen.errors import KernelError
from mdsgen.kernels import add_marks
from mdsgen.kernels.launch import MarkArrays, add_marks_launch
from tests.kernels.machines import Machine


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 46, 16), (3, 33, 7), (8, 76, 192)], ids=str)
def test_equals_the_reference_to_the_bit(machine: Machine, shape: tuple[int, int, int]) -> None:
    matrices, rows, width = shape
    columns = min(rows, 32)
    random = np.random.default_rng(rows)
    modulations = random.standard_normal(shape, np.float32)  # [matrices, rows, width]
    marks = random.standard_normal((columns, width), np.float32)
    marks[columns // 2 :] = 0.0
    held, added = machine.hold(modulations), machine.hold(marks)
    machine.launch(add_marks_launch(MarkArrays(held.address, added.address, matrices, rows, columns, width)))
    expected = modulations.copy()
    add_marks(expected, marks)
    np.testing.assert_array_equal(held.read(), expected)
    np.testing.assert_array_equal(expected[:, : rows - columns], modulations[:, : rows - columns])
    np.testing.assert_array_equal(added.read(), marks)


@pytest.mark.parametrize(
    "wrong", [{"columns": 47}, {"columns": 0}, {"width": 0}, {"matrices": 0}, {"matrices": 65_536}]
)
def test_marks_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    arrays = MarkArrays(256, 256, matrices=6, rows=46, columns=32, width=16)
    with pytest.raises(KernelError, match="cannot mark"):
        replace(arrays, **wrong)
