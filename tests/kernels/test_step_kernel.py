"""The device's solver step: the reference's bits, at any length and place, and nothing written beside its arrays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mdsgen.errors import KernelError
from mdsgen.kernels import CLEAN, Level, StepCoefficients, coefficient_table, guided_step
from mdsgen.kernels.launch import StepArrays, guided_step_launch
from tests.kernels.machines import Machine

SECOND_ORDER = StepCoefficients(
    guidance=4.7, next_latent=1.3, next_noise=-0.4, next_previous=-0.2, clean_latent=2.5, clean_noise=-2.1
)
FIRST_ORDER = replace(SECOND_ORDER, next_previous=0.0)
FIRST_OF_ALL = StepCoefficients(5.0, 145.2, -145.9, 0.0, 157.2, -157.3)  # the largest coefficients there are
LIMITED = replace(SECOND_ORDER, clean_limit=1.5)
FOURTH_ORDER = replace(SECOND_ORDER, next_older=(0.3, -0.05))
WEIGHTLESS = replace(SECOND_ORDER, next_previous=0.0, next_older=(0.0, 0.0))  # as in the first step of a high order
THIRD_ORDER = replace(SECOND_ORDER, next_older=(0.3,), clean_limit=2.0)
NOISY = replace(THIRD_ORDER, known=Level(0.6, 0.8))
LENGTHS = [1, 7, 8, 513, 4 * 16 * 64]


class Loop:
    """The arrays of one diffusion loop on a machine, and the same in NumPy."""

    def __init__(self, machine: Machine, count: int, older: int = 0, offset: int = 0) -> None:
        random = np.random.default_rng(count)
        self.latent = random.standard_normal(count, np.float32)
        self.conditional, self.unconditional = random.standard_normal((2, count), np.float32)
        self.history = random.standard_normal((1 + older, count), np.float32)
        self.machine = machine
        self.held = {
            "latent": machine.hold(self.latent, offset),
            "conditional": machine.hold(self.conditional, offset),
            "unconditional": machine.hold(self.unconditional, offset),
            "clean": machine.hold(self.history, offset),
        }
        addresses = {name: held.address for name, held in self.held.items()}
        self.arrays = StepArrays(count=count, older=older, **addresses)
        self.known: np.ndarray | None = None

    def knows(self, is_known: np.ndarray, offset: int = 0) -> None:
        """From now on, what is known where ``is_known [count]`` says so."""
        clean, noise = np.random.default_rng(1).standard_normal((2, self.arrays.count), np.float32)
        self.known = np.stack([is_known.astype(np.float32), clean, noise])
        self.held["held"] = self.machine.hold(self.known, offset)
        self.arrays = replace(self.arrays, held=self.held["held"].address)

    def step(self, coefficients: StepCoefficients, **changed: int) -> None:
        rows = coefficient_table([SECOND_ORDER, coefficients])  # not the first row
        table = self.machine.hold(rows)
        self.machine.launch(guided_step_launch(replace(self.arrays, **changed), table.address, step=1))

    def read(self) -> dict[str, np.ndarray]:
        """All arrays as they are on the machine now; those of known columns only while there are such."""
        names = [name for name in self.held if name != "held" or self.known is not None]
        return {name: self.held[name].read() for name in names}

    def expected(
        self, coefficients: StepCoefficients, unconditional: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The reference's bits in every array that a step writes, and nothing new in the others."""
        latent, history = self.latent.copy(), self.history.copy()
        without = self.unconditional if unconditional is None else unconditional
        guided_step(latent, self.conditional, without, history[0], coefficients, list(history[1:]), self.known)
        arrays = {"latent": latent, "conditional": self.conditional, "unconditional": self.unconditional}
        return arrays | {"clean": history} | ({} if self.known is None else {"held": self.known})


@pytest.mark.parametrize("count", LENGTHS)
def test_equals_the_reference_to_the_bit_at_any_length(machine: Machine, count: int) -> None:
    loop = Loop(machine, count)
    loop.step(SECOND_ORDER)
    np.testing.assert_equal(loop.read(), loop.expected(SECOND_ORDER))


@pytest.mark.parametrize("c", [FIRST_ORDER, FIRST_OF_ALL, LIMITED], ids=["first order", "first of all", "limited"])
def test_equals_the_reference_with_any_coefficients(machine: Machine, c: StepCoefficients) -> None:
    loop = Loop(machine, 40)
    loop.step(c)
    np.testing.assert_equal(loop.read(), loop.expected(c))


@pytest.mark.parametrize("count", [7, 44, 64])
@pytest.mark.parametrize(
    "c", [THIRD_ORDER, FOURTH_ORDER, WEIGHTLESS], ids=["third order", "fourth order", "without weight"]
)
def test_older_estimates_are_looked_at_and_moved_on(machine: Machine, c: StepCoefficients, count: int) -> None:
    loop = Loop(machine, count, older=len(c.next_older))
    loop.step(c)
    np.testing.assert_equal(loop.read(), loop.expected(c))


@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("c", [replace(NOISY, known=CLEAN), NOISY], ids=["clean", "noisy"])
def test_what_is_known_stands_in_the_estimate_and_at_its_level_in_the_latent(
    machine: Machine, c: StepCoefficients, count: int
) -> None:
    loop = Loop(machine, count, older=1)
    is_known = np.arange(count) % 3 != 1
    loop.knows(is_known)
    assert loop.known is not None
    loop.step(c)
    np.testing.assert_equal(loop.read(), loop.expected(c))
    clean, noise = loop.known[1:, is_known]
    np.testing.assert_array_equal(loop.held["clean"].read()[0, is_known], clean)
    expected = np.float32(c.known.clean) * clean + np.float32(c.known.noise) * noise
    np.testing.assert_array_equal(loop.held["latent"].read()[is_known], expected)


def test_where_nothing_is_known_a_step_is_what_it_always_was(machine: Machine) -> None:
    loop = Loop(machine, 44, older=1)
    loop.knows(np.zeros(44, bool))
    loop.step(NOISY)
    loop.known = None
    np.testing.assert_equal(loop.read(), loop.expected(NOISY))


def test_what_is_known_hides_an_estimate_that_is_none(machine: Machine) -> None:
    loop = Loop(machine, 16, older=1)
    loop.conditional[3] = np.nan
    loop.held["conditional"] = machine.hold(loop.conditional)
    loop.knows(np.arange(16) < 8)
    loop.step(NOISY, conditional=loop.held["conditional"].address)
    np.testing.assert_equal(loop.read(), loop.expected(NOISY))
    assert np.isfinite(loop.held["latent"].read()).all()


@pytest.mark.parametrize("offset", [4, 8])
def test_what_is_known_may_start_anywhere(machine: Machine, offset: int) -> None:
    loop = Loop(machine, 40, older=1)
    loop.knows(np.arange(40) % 5 < 2, offset)
    loop.step(NOISY)
    np.testing.assert_equal(loop.read(), loop.expected(NOISY))


@pytest.mark.parametrize("offset", [4, 8])
def test_arrays_may_start_anywhere(machine: Machine, offset: int) -> None:
    loop = Loop(machine, 40, offset=offset)
    loop.step(SECOND_ORDER)
    np.testing.assert_equal(loop.read(), loop.expected(SECOND_ORDER))


def test_equals_float64_to_the_last_digits(machine: Machine) -> None:
    loop, c = Loop(machine, 256), SECOND_ORDER
    x, yes, no = (a.astype(np.float64) for a in (loop.latent, loop.conditional, loop.unconditional))
    noise = no + c.guidance * (yes - no)
    following = x * c.next_latent + noise * c.next_noise + loop.history[0] * c.next_previous
    clean = x * c.clean_latent + noise * c.clean_noise
    loop.step(c)
    for name, exact in (("latent", following), ("clean", clean[None])):
        assert np.linalg.norm(loop.held[name].read() - exact) < 1e-6 * np.linalg.norm(exact)


def test_what_has_no_weight_is_not_read(machine: Machine) -> None:
    loop = Loop(machine, 12)
    loop.held["clean"] = machine.hold(np.full((1, 12), np.nan, np.float32))
    loop.step(FIRST_ORDER, clean=loop.held["clean"].address)
    np.testing.assert_equal(loop.read(), loop.expected(FIRST_ORDER))


def test_without_an_unconditional_estimate_there_is_no_guidance(machine: Machine) -> None:
    loop = Loop(machine, 20)
    loop.step(SECOND_ORDER, unconditional=0)
    np.testing.assert_equal(loop.read(), loop.expected(SECOND_ORDER, unconditional=loop.conditional))


def test_a_table_says_what_moves_with_a_limited_estimate() -> None:
    table = coefficient_table([LIMITED, FOURTH_ORDER])
    assert table.shape == (2, 12)
    assert table.dtype == np.float32
    np.testing.assert_allclose(table[0], [4.7, 1.3, -0.4, -0.2, 0, 0, 2.5, -2.1, 1.5, 0.4 / 2.1, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(table[1, 3:6], [-0.2, 0.3, -0.05], rtol=1e-6)
    assert math.isinf(table[1, 8])
    np.testing.assert_allclose(coefficient_table([NOISY])[0, 10:], [0.6, 0.8], rtol=1e-6)


def test_more_history_than_the_kernel_has_is_refused() -> None:
    with pytest.raises(KernelError, match="2 older clean estimates at most, not 3"):
        coefficient_table([replace(SECOND_ORDER, next_older=(0.1, 0.1, 0.1))])


def test_a_step_that_cannot_be_is_refused() -> None:
    arrays = StepArrays(256, 256, 256, 256, count=8)
    with pytest.raises(KernelError, match="from 0 on, not -1"):
        guided_step_launch(arrays, 256, -1)
    with pytest.raises(KernelError, match="cannot step 0 numbers"):
        replace(arrays, count=0)
