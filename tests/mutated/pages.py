"""Ogg (RFC 3533): its pages, mutated, their checksums made right again so that a reader looks at what they say.

Belongs here: pages and the headers in their first packets. Does not belong here: any codec's frames.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from tests.mutated.plain import Mutator, odd_number, with_bits_flipped

_HEADER = struct.Struct("<4sBBqIIIB")
_MOST_SEGMENTS = 255


@dataclass(slots=True)
class Page:
    """One page; `lacing` are the lengths of its segments as it claims them."""

    version: int
    flags: int
    granule: int
    serial: int
    sequence: int
    lacing: bytes
    payload: bytes
    checksum: int | None = None  # None: the right one


Pages = list[Page]


def parse(data: bytes) -> tuple[Pages, bytes]:
    """The pages and what follows the last whole one."""
    found: Pages = []
    at = 0
    while at + _HEADER.size <= len(data):
        mark, version, flags, granule, serial, sequence, _, count = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size + count
        lacing = data[at + _HEADER.size : start]
        end = start + sum(lacing)
        if mark != b"OggS" or end > len(data):
            break
        found.append(Page(version, flags, granule, serial, sequence, lacing, data[start:end]))
        at = end
    return found, data[at:]


def write(found: Pages) -> bytes:
    """The bytes of pages."""
    return b"".join(map(_written, found))


def _written(page: Page) -> bytes:
    head = (b"OggS", page.version, page.flags, page.granule, page.serial, page.sequence)
    tail = page.lacing + page.payload
    bare = _HEADER.pack(*head, 0, len(page.lacing)) + tail
    checksum = _checksum(bare) if page.checksum is None else page.checksum
    return _HEADER.pack(*head, checksum, len(page.lacing)) + tail


def _table() -> list[int]:
    table = []
    for byte in range(256):
        register = byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C11DB7 if register & 0x80000000 else register << 1) & 0xFFFFFFFF
        table.append(register)
    return table


_CRC = _table()


def _checksum(data: bytes) -> int:
    register = 0
    for byte in data:
        register = (register << 8 & 0xFFFFFF00) ^ _CRC[register >> 24 ^ byte]
    return register


def granules(found: Pages, dice: Random) -> None:
    """Positions that jump, run backwards or are none."""
    for page in dice.sample(found, min(len(found), dice.choice((1, 3)))):
        page.granule = dice.choice((-1, 0, page.granule + 48_000 * 3600, -page.granule, 2**63 - 1, -(2**63)))


def flags(found: Pages, dice: Random) -> None:
    """Pages that claim to begin, end or continue something else."""
    for page in dice.sample(found, min(len(found), dice.choice((1, 3)))):
        page.flags ^= dice.choice((1, 2, 4, 7, 0x80))
        page.version = dice.choice((0, 0, 0, 1, 255))


def streams(found: Pages, dice: Random) -> None:
    """Pages of another logical stream."""
    for page in dice.sample(found, min(len(found), dice.choice((1, 3, 20)))):
        page.serial = odd_number(dice, page.serial, 4)


def sequences(found: Pages, dice: Random) -> None:
    """Pages that are out of their order by their own count."""
    for page in dice.sample(found, min(len(found), dice.choice((1, 3)))):
        page.sequence = odd_number(dice, page.sequence, 4)


def lacing(found: Pages, dice: Random) -> None:
    """Pages that cut their payload into other packets than it holds."""
    page = dice.choice(found)
    page.lacing = dice.choice(
        (b"", b"\xff" * _MOST_SEGMENTS, b"\0" * _MOST_SEGMENTS, with_bits_flipped(page.lacing, dice), page.lacing[:-1])
    )


def headers(found: Pages, dice: Random) -> None:
    """Bits of the headers of a codec, which lie in the first pages."""
    page = dice.choice(found[:3])
    page.payload = with_bits_flipped(page.payload, dice, end=dice.choice((48, None)))


def payloads(found: Pages, dice: Random) -> None:
    """Bits of the packets."""
    for page in dice.sample(found, min(len(found), dice.choice((1, 5)))):
        page.payload = with_bits_flipped(page.payload, dice, most=32)


def checksums(found: Pages, dice: Random) -> None:
    """Pages whose checksum is wrong."""
    for page in dice.sample(found, min(len(found), dice.choice((1, 5)))):
        page.checksum = dice.randrange(1 << 32)


def lost(found: Pages, dice: Random) -> None:
    """Pages that are missing."""
    start = dice.randrange(len(found))
    del found[start : start + dice.choice((1, 2, 10))]


def doubled(found: Pages, dice: Random) -> None:
    """Pages several times over, or the whole file as another link of a chain."""
    start = dice.randrange(len(found))
    stretch = dice.choice((found[start : start + 1], found[start : start + 10], found))
    again = [replace(page) for page in stretch * dice.choice((1, 1, 5))]
    found[start:start] = again


def shuffled(found: Pages, dice: Random) -> None:
    """Pages in another order."""
    start, length = dice.randrange(len(found)), dice.choice((3, len(found)))
    stretch = found[start : start + length]
    dice.shuffle(stretch)
    found[start : start + length] = stretch


def _mutator(change: Callable[[Pages, Random], None]) -> Mutator:
    def mutate(data: bytes, dice: Random) -> bytes:
        found, rest = parse(data)
        if found:
            change(found, dice)
        return write(found) + rest

    mutate.__name__ = change.__name__
    mutate.__doc__ = change.__doc__
    return mutate


MUTATORS: tuple[Mutator, ...] = tuple(
    _mutator(change)
    for change in (
        granules, flags, streams, sequences, lacing, headers, payloads, checksums, lost, doubled, shuffled,
    )
)  # fmt: skip
