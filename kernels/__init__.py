"""The arithmetic between the networks: NumPy references here, device kernels beside them. Imports only NumPy."""

from mdsgen.kernels.step import StepCoefficients, guided_step

__all__ = ["StepCoefficients", "guided_step"]
