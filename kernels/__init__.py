"""The arithmetic between the networks in NumPy, device kernels beside it. Imports only NumPy."""

from mdsgen.kernels.marks import add_marks
from mdsgen.kernels.step import CLEAN, Level, StepCoefficients, coefficient_table, guided_step, hold

__all__ = ["CLEAN", "Level", "StepCoefficients", "add_marks", "coefficient_table", "guided_step", "hold"]
