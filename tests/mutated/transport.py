"""MPEG transport streams (ISO/IEC 13818-1): their packets, mutated.

Belongs here: packets of 188 bytes, their headers, tables with checksums made right again, times. Does not belong here:
the elementary streams inside (nal, frames).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.mutated.plain import Mutator, with_bits_flipped

PACKET_BYTES = 188
_SYNC = 0x47
_TABLES = 64  # packets at the beginning among which the tables are looked for

Packets = list[bytearray]


def packets(data: bytes) -> tuple[Packets, bytes]:
    """The packets and what is left after the last whole one."""
    whole = len(data) // PACKET_BYTES * PACKET_BYTES
    return [bytearray(data[at : at + PACKET_BYTES]) for at in range(0, whole, PACKET_BYTES)], data[whole:]


def checksum(section: bytes) -> int:
    """CRC-32/MPEG-2 (annex A)."""
    register = 0xFFFFFFFF
    for byte in section:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C11DB7 if register & 0x80000000 else register << 1) & 0xFFFFFFFF
    return register


def _some(found: Packets, dice: Random) -> Packets:
    return dice.sample(found, min(len(found), dice.choice((1, 3, 20))))


def sync(found: Packets, dice: Random) -> None:
    """Packets that do not begin as packets do."""
    for packet in _some(found, dice):
        packet[0] = dice.choice((0, 0x48, 0xFF))


def identifiers(found: Packets, dice: Random) -> None:
    """Packets of another stream."""
    known = sorted({packet[1] << 8 & 0x1F00 | packet[2] for packet in found} | {0, 1, 0x1FFF, 0x1ABC})
    for packet in _some(found, dice):
        other = dice.choice(known)
        packet[1], packet[2] = packet[1] & 0xE0 | other >> 8, other & 0xFF


def adaptation_fields(found: Packets, dice: Random) -> None:
    """Fields that claim another length, or to be there where they are not."""
    for packet in _some(found, dice):
        packet[3] = packet[3] & 0xCF | dice.choice((0x00, 0x20, 0x30))
        packet[4] = dice.choice((0, 1, 7, 182, 183, 184, 255))


def clocks(found: Packets, dice: Random) -> None:
    """Clock references that jump."""
    for packet in found:
        if packet[3] & 0x20 and packet[4] >= 7 and packet[5] & 0x10 and dice.random() < 0.5:
            packet[6:12] = dice.choice((bytes(6), b"\xff" * 6, dice.randbytes(6)))


def times(found: Packets, dice: Random) -> None:
    """Times of presentation and decoding (2.4.3.7) that jump, run backwards or are not there."""
    starts = [packet for packet in found if packet[1] & 0x40 and (at := packet.find(b"\0\0\1")) > 0 and at < 170]
    for packet in _some(starts, dice):
        at = packet.find(b"\0\0\1")
        packet[at + 7 : at + 19] = with_bits_flipped(bytes(packet[at + 7 : at + 19]), dice)


def continuity(found: Packets, dice: Random) -> None:
    """Counters that skip."""
    for packet in _some(found, dice):
        packet[3] = packet[3] & 0xF0 | dice.randrange(16)


def scrambling(found: Packets, dice: Random) -> None:
    """Packets that claim to be scrambled or broken."""
    for packet in _some(found, dice):
        packet[3] |= dice.choice((0x40, 0x80, 0xC0))
        packet[1] |= dice.choice((0, 0x80))


def tables(found: Packets, dice: Random) -> None:
    """Other bytes in a table, its checksum right again."""
    sections = [packet for packet in found[:_TABLES] if packet[1] & 0x40 and packet[4] == 0 and packet[5] in (0, 2)]
    for packet in sections[: dice.choice((1, 2))]:
        length = (packet[6] & 0x0F) << 8 | packet[7]
        end = 8 + length
        if not 13 < end <= PACKET_BYTES:
            continue
        packet[8 : end - 4] = with_bits_flipped(bytes(packet[8 : end - 4]), dice)
        packet[end - 4 : end] = checksum(bytes(packet[5 : end - 4])).to_bytes(4, "big")


def lost(found: Packets, dice: Random) -> None:
    """Packets that are missing."""
    start = dice.randrange(len(found))
    del found[start : start + dice.choice((1, 2, 10, len(found)))]


def doubled(found: Packets, dice: Random) -> None:
    """A stretch of packets several times over."""
    start = dice.randrange(len(found))
    stretch = found[start : start + dice.choice((1, 10, 100))]
    found[start:start] = [bytearray(packet) for packet in stretch * dice.choice((1, 1, 5))]


def shuffled(found: Packets, dice: Random) -> None:
    """Packets of a stretch in another order."""
    start, length = dice.randrange(len(found)), dice.choice((3, 20, len(found)))
    stretch = found[start : start + length]
    dice.shuffle(stretch)
    found[start : start + length] = stretch


def payloads(found: Packets, dice: Random) -> None:
    """Bits of what is carried."""
    for packet in _some(found, dice):
        packet[4:] = with_bits_flipped(bytes(packet[4:]), dice)


def _mutator(change: Callable[[Packets, Random], None]) -> Mutator:
    def mutate(data: bytes, dice: Random) -> bytes:
        found, rest = packets(data)
        if found:
            change(found, dice)
        return b"".join(found) + rest

    mutate.__name__ = change.__name__
    mutate.__doc__ = change.__doc__
    return mutate


MUTATORS: tuple[Mutator, ...] = tuple(
    _mutator(change)
    for change in (
        sync, identifiers, adaptation_fields, clocks, times, continuity, scrambling, tables, lost, doubled, shuffled,
        payloads,
    )
)  # fmt: skip
