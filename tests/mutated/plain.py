"""Mutations that need no knowledge of a format, and what those that have some are made of.

Belongs here: cutting, joining, repeating, flipping; odd numbers. Does not belong here: where a format keeps its
numbers (boxes, elements, riff, ...) or which mutation is for which format (formats).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

Mutator = Callable[[bytes, Random], bytes]

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEAD_BYTES = 512
MOST_FLIPS = 64
MOST_REPEATED_BYTES = 1 << 16


def odd_number(dice: Random, was: int, width: int) -> int:
    """A number of `width` bytes that is not `was`: an edge, a neighbour, one bit away, or anything."""
    limit = 1 << 8 * width
    for _ in range(20):
        found = dice.choice(
            (
                dice.choice(EDGES),
                limit - 1 - dice.choice(EDGES),
                was + dice.choice((-2, -1, 1, 2)),
                was ^ 1 << dice.randrange(8 * width),
                was * dice.choice((2, 10, 1000)),
                dice.randrange(limit),
            )
        )
        if found % limit != was:
            return found % limit
    return (was + 1) % limit


def with_number(data: bytes, at: int, width: int, dice: Random, *, little: bool = False) -> bytes:
    """`data` with the number at `at` exchanged for an odd one; as it was where there is none."""
    if at < 0 or at + width > len(data):
        return data
    order: Literal["little", "big"] = "little" if little else "big"
    number = odd_number(dice, int.from_bytes(data[at : at + width], order), width)
    return data[:at] + number.to_bytes(width, order) + data[at + width :]


def with_bits_flipped(data: bytes, dice: Random, start: int = 0, end: int | None = None, most: int = 8) -> bytes:
    """`data` with one to `most` bits flipped between `start` and `end`."""
    changed, end = bytearray(data), len(data) if end is None else min(end, len(data))
    if end <= start:
        return data
    for position in {dice.randrange(8 * start, 8 * end) for _ in range(dice.randint(1, most))}:
        changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def truncated(data: bytes, dice: Random) -> bytes:
    """Cut off anywhere, as often near the beginning as anywhere else."""
    return data[: dice.randrange(min(len(data), dice.choice((64, 4096, len(data)))))]


def beheaded(data: bytes, dice: Random) -> bytes:
    """Without a stretch behind its first bytes."""
    start = dice.randrange(4, min(len(data), 4096))
    return data[:start] + data[dice.randrange(start + 1, len(data) + 1) :]


def spliced(data: bytes, dice: Random) -> bytes:
    """Its beginning followed by something from elsewhere in it."""
    cut, on = dice.randrange(1, len(data)), dice.randrange(len(data))
    return data[:cut] + data[on:]


def repeated(data: bytes, dice: Random) -> bytes:
    """A stretch of it several times over."""
    start = dice.randrange(len(data) - 1)
    end = min(len(data), start + dice.randint(1, MOST_REPEATED_BYTES))
    return data[:end] + data[start:end] * dice.randint(1, 8) + data[end:]


def swapped(data: bytes, dice: Random) -> bytes:
    """Two neighbouring stretches in each other's place."""
    first, second, third = sorted(dice.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def blanked(data: bytes, dice: Random) -> bytes:
    """A stretch of zeros or ones, as a disk leaves it."""
    start = dice.randrange(len(data))
    end = min(len(data), start + dice.choice((4, 64, 512, 4096)))
    return data[:start] + dice.choice((b"\0", b"\xff")) * (end - start) + data[end:]


def flipped(data: bytes, dice: Random) -> bytes:
    """Random bits anywhere."""
    return with_bits_flipped(data, dice, most=MOST_FLIPS)


def head_flipped(data: bytes, dice: Random) -> bytes:
    """Random bits in the first bytes, where formats keep what they are."""
    return with_bits_flipped(data, dice, end=HEAD_BYTES)


def numbers_changed(data: bytes, dice: Random) -> bytes:
    """Some 16- or 32-bit words anywhere."""
    for _ in range(dice.randint(1, 4)):
        data = with_number(data, dice.randrange(len(data)), dice.choice((2, 4)), dice, little=dice.random() < 0.5)
    return data


def with_address(address: str) -> Mutator:
    """A mutation that writes `address` into a file, as a name of something to be opened."""

    def addressed(data: bytes, dice: Random) -> bytes:
        """An address of somewhere else in the middle of it."""
        at = dice.randrange(len(data))
        text = dice.choice(("", "concat:", "subfile,,start,0,end,0,,:", "#EXTM3U\n", "file ")) + address
        return data[:at] + text.encode() + data[at + len(text) :]

    return addressed


PLAIN: tuple[Mutator, ...] = (
    truncated, beheaded, spliced, repeated, swapped, blanked, flipped, head_flipped, numbers_changed,
)  # fmt: skip
