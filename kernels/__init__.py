"""The arithmetic between the networks: NumPy references here, device kernels beside them. Imports only NumPy."""

from mdsgen.kernels.step import StepCoefficients, coefficient_table, guided_step

__all__ = ["StepCoefficients", "coefficient_table", "guided_step"]
