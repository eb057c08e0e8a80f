"""The arithmetic between the networks in NumPy, device kernels beside it. Imports only NumPy."""

from mdsgen.kernels.step import StepCoefficients, coefficient_table, guided_step

__all__ = ["StepCoefficients", "coefficient_table", "guided_step"]
