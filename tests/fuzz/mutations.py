"""Ways to damage a file: what bad disks, cut copies and hostile hands do."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Mutation = Callable[[bytearray, Random], None]

EDGES = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers at which code that reads lengths goes wrong."""


def flip_bits(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def flip_in_front(data: bytearray, random: Random) -> None:
    """Headers stand at the beginning, as a rule."""
    data[random.randrange(min(len(data), 1024))] ^= 1 << random.randrange(8)


def flip_at_the_end(data: bytearray, random: Random) -> None:
    """The index of many files stands there."""
    data[-1 - random.randrange(min(len(data), 2048))] ^= 1 << random.randrange(8)


def cut(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def cut_front(data: bytearray, random: Random) -> None:
    del data[: random.randrange(1, max(2, len(data) // 2))]


def _part(data: bytearray, random: Random) -> slice:
    length = min(len(data), random.choice((1, 4, 16, 188, 512, 4096)))
    first = random.randrange(len(data) - length + 1)
    return slice(first, first + length)


def take_out(data: bytearray, random: Random) -> None:
    if len(data) > 8192:
        del data[_part(data, random)]


def double(data: bytearray, random: Random) -> None:
    part = _part(data, random)
    data[part] = data[part] * 2


def blank(data: bytearray, random: Random) -> None:
    part = _part(data, random)
    data[part] = bytes([random.choice((0, 0xFF))]) * (part.stop - part.start)


def noise(data: bytearray, random: Random) -> None:
    part = _part(data, random)
    data[part] = random.randbytes(part.stop - part.start)


def swap(data: bytearray, random: Random) -> None:
    one = _part(data, random)
    length = one.stop - one.start
    first = random.randrange(len(data) - length + 1)
    data[one], data[first : first + length] = data[first : first + length], data[one]


def number(data: bytearray, random: Random) -> None:
    """A number of one, two, four or eight bytes becomes one at an edge."""
    width = random.choice((1, 2, 4, 4, 8))
    first = random.randrange(max(1, len(data) - width))
    value = random.choice(EDGES) & ((1 << 8 * width) - 1)
    data[first : first + width] = value.to_bytes(width, random.choice(("big", "little")))


def twice(data: bytearray, random: Random) -> None:
    """Joined to itself, as ``cat`` does."""
    data += bytes(data)


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits,
    flip_in_front,
    flip_at_the_end,
    cut,
    cut_front,
    take_out,
    double,
    blank,
    noise,
    swap,
    number,
    number,
    twice,
)


def mutated(data: bytes, random: Random, more: tuple[Mutation, ...] = ()) -> bytes:
    """``data`` after one to three of :data:`MUTATIONS` or ``more``, one to three."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(MUTATIONS + more)(out, random)
        if not out:
            break
    return bytes(out)
