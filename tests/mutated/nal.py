"""H.264 and HEVC byte streams (annexes B): their NAL units, mutated.

Belongs here: units between start codes, their headers, bits of parameter sets and slice headers. Does not belong here:
the same units inside a container (boxes flips the bits of theirs).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from tests.mutated.plain import Mutator, with_bits_flipped

_START = re.compile(rb"\x00\x00\x01")
_AVC_SETS = frozenset({7, 8, 13, 15})
_HEVC_SETS = frozenset({32, 33, 34})

Units = list[bytes]


def _is_set(unit: bytes) -> bool:
    """Whether a unit may hold parameters in either of the two."""
    return bool(unit) and (unit[0] & 0x1F in _AVC_SETS or unit[0] >> 1 & 0x3F in _HEVC_SETS)


def _parameter_sets(units: Units) -> list[int]:
    return [index for index, unit in enumerate(units) if _is_set(unit)][:8] or list(range(len(units)))


def parameter_bits(units: Units, dice: Random) -> None:
    """Bits of a parameter set: profile, size, depth, reference frames, cropping, timing."""
    index = dice.choice(_parameter_sets(units))
    units[index] = with_bits_flipped(units[index], dice, 1)


def parameter_inserts(units: Units, dice: Random) -> None:
    """A parameter set with zeros in it, so that a coded number becomes huge, or cut off."""
    index = dice.choice(_parameter_sets(units))
    unit, at = units[index], dice.randrange(1, max(2, len(units[index])))
    units[index] = dice.choice((unit[:at], unit[:at] + b"\x00\x00\x03\x00\x01" + unit[at:], unit[:at] + b"\xff" * 40))


def slice_heads(units: Units, dice: Random) -> None:
    """Bits of the headers of slices."""
    for index in dice.sample(range(len(units)), min(len(units), dice.choice((1, 3, 10)))):
        units[index] = with_bits_flipped(units[index], dice, 1, 12, most=4)


def kinds(units: Units, dice: Random) -> None:
    """Units of another kind."""
    for index in dice.sample(range(len(units)), min(len(units), dice.choice((1, 3)))):
        if units[index]:
            units[index] = bytes([dice.randrange(256)]) + units[index][1:]


def missing(units: Units, dice: Random) -> None:
    """Units that are not there: a key frame, a parameter set, a stretch."""
    start = dice.randrange(len(units))
    del units[start : start + dice.choice((1, 1, 5))]


def doubled(units: Units, dice: Random) -> None:
    """Units several times over."""
    start = dice.randrange(len(units))
    units[start:start] = units[start : start + dice.choice((1, 5))] * dice.choice((1, 3, 20))


def shuffled(units: Units, dice: Random) -> None:
    """Units in another order."""
    start, length = dice.randrange(len(units)), dice.choice((3, len(units)))
    stretch = units[start : start + length]
    dice.shuffle(stretch)
    units[start : start + length] = stretch


def slice_data(units: Units, dice: Random) -> None:
    """Bits of the slices themselves."""
    index = max(range(len(units)), key=lambda each: len(units[each]))
    units[index] = with_bits_flipped(units[index], dice, 2, most=64)


def _mutator(change: Callable[[Units, Random], None]) -> Mutator:
    def mutate(data: bytes, dice: Random) -> bytes:
        units = _START.split(data)
        inside = units[1:]
        if inside:
            change(inside, dice)
        return b"\x00\x00\x01".join([units[0], *inside])

    mutate.__name__ = change.__name__
    mutate.__doc__ = change.__doc__
    return mutate


MUTATORS: tuple[Mutator, ...] = tuple(
    _mutator(change)
    for change in (
        parameter_bits, parameter_inserts, slice_heads, kinds, missing, doubled, shuffled, slice_data,
    )
)  # fmt: skip
