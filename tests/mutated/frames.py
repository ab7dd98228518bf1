"""FLAC, MP3 and ADTS: the headers of their frames, mutated.

Belongs here: finding frames, changing what a header says, making FLAC's checksums right again. Does not belong here:
the same codecs inside a container.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from tests.mutated.plain import Mutator, odd_number, with_bits_flipped

_MP3 = re.compile(rb"\xff[\xe2-\xfb][\x10-\xef]")
_ADTS = re.compile(rb"\xff[\xf0\xf1\xf8\xf9][\x40-\x7f]")
_FLAC = re.compile(rb"\xff[\xf8\xf9][\x10-\xff]")
_FLAC_MARK = b"fLaC"
_STREAMINFO_BYTES = 34
_FLAC_HEADER_BYTES = 5  # before the coded number, which only the longest forms of make longer than one byte here


def _heads(data: bytes, mark: re.Pattern[bytes]) -> list[int]:
    return [found.start() for found in mark.finditer(data)]


def _frame_heads(mark: re.Pattern[bytes], width: int) -> Mutator:
    """Bits of the headers of some frames: version, rate, channels, length."""

    def frame_heads(data: bytes, dice: Random) -> bytes:
        """Bits of the headers of some frames: version, rate, channels, length."""
        starts = _heads(data, mark)
        for at in dice.sample(starts, min(len(starts), dice.choice((1, 1, 5, 50)))):
            data = with_bits_flipped(data, dice, at + 1, at + width, most=4)
        return data

    return frame_heads


def _first_frame(mark: re.Pattern[bytes], width: int) -> Mutator:
    def first_frame(data: bytes, dice: Random) -> bytes:
        """Bits of the first frame, which tells what all are like; in MP3 also how many there are."""
        start = next(iter(_heads(data, mark)), 0)
        return with_bits_flipped(data, dice, start, start + dice.choice((width, 64)))

    return first_frame


def _frames_moved(mark: re.Pattern[bytes]) -> Mutator:
    def frames_moved(data: bytes, dice: Random) -> bytes:
        """Frames that are missing, come twice or in another order."""
        starts = _heads(data, mark)
        if len(starts) < 3:
            return data
        pieces = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
        at = dice.randrange(len(pieces))
        act: Callable[[], object] = dice.choice(
            (
                lambda: pieces.pop(at),
                lambda: pieces.insert(at, pieces[at]),
                lambda: pieces.insert(0, pieces.pop()),
                lambda: dice.shuffle(pieces),
                lambda: pieces.extend(pieces[at:] * 3),
            )
        )
        act()
        return data[: starts[0]] + b"".join(pieces)

    return frames_moved


def stream_info(data: bytes, dice: Random) -> bytes:
    """FLAC's STREAMINFO (RFC 9639, 8.2): block and frame sizes, rate, channels, depth, length."""
    at = data.find(_FLAC_MARK)
    return with_bits_flipped(data, dice, at + 8, at + 8 + _STREAMINFO_BYTES - 16) if at >= 0 else data


def metadata_blocks(data: bytes, dice: Random) -> bytes:
    """FLAC's metadata blocks: another kind, another length, or one that is never the last."""
    at = data.find(_FLAC_MARK) + len(_FLAC_MARK)
    starts = []
    while 4 <= at <= len(data) - 4:
        starts.append(at)
        if data[at] & 0x80:
            break
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    if not starts:
        return data
    start = dice.choice(starts)
    changed = bytearray(data)
    if dice.random() < 0.4:
        changed[start] ^= dice.choice((0x80, 1, 2, 4, 0x7F))
    else:
        length = odd_number(dice, int.from_bytes(data[start + 1 : start + 4], "big"), 3)
        changed[start + 1 : start + 4] = length.to_bytes(3, "big")
    return bytes(changed)


def checked_frame_heads(data: bytes, dice: Random) -> bytes:
    """Headers of FLAC frames that say something else under a right checksum (CRC-8, polynomial 7)."""
    starts = [at for at in _heads(data, _FLAC) if _crc8(data[at : at + _FLAC_HEADER_BYTES]) == data[at + 5 : at + 6]]
    changed = bytearray(data)
    for at in dice.sample(starts, min(len(starts), dice.choice((1, 3, 20)))):
        changed[at + 2 : at + 4] = with_bits_flipped(data[at + 2 : at + 4], dice, most=3)
        changed[at + 5 : at + 6] = _crc8(bytes(changed[at : at + _FLAC_HEADER_BYTES]))
    return bytes(changed)


def _crc8(data: bytes) -> bytes:
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 7 if register & 0x80 else register << 1) & 0xFF
    return bytes([register])


def tags(data: bytes, dice: Random) -> bytes:
    """An ID3 tag in front that claims to be longer than it is, or the one that is there with other sizes."""
    if data.startswith(b"ID3"):
        return with_bits_flipped(data, dice, 3, 64)
    size = bytes(dice.randrange(128) for _ in range(4))
    return b"ID3\4\0" + bytes([dice.choice((0, 0x10, 0x40, 0xF0))]) + size + dice.randbytes(dice.choice((0, 40))) + data


MP3: tuple[Mutator, ...] = (_frame_heads(_MP3, 4), _first_frame(_MP3, 4), _frames_moved(_MP3), tags)
ADTS: tuple[Mutator, ...] = (_frame_heads(_ADTS, 7), _first_frame(_ADTS, 7), _frames_moved(_ADTS), tags)
FLAC: tuple[Mutator, ...] = (
    _frame_heads(_FLAC, 6), _frames_moved(_FLAC), stream_info, metadata_blocks, checked_frame_heads, tags,
)  # fmt: skip
