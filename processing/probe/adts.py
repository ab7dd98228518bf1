"""The clock of a raw AAC stream (ADTS), whose packets have no timestamps and may change their rate on the way.

Belongs here: how long a packet lasts by its own header, and the times that follow. Does not belong here: other raw
formats (libavformat's MP3 and AC-3 parsers count each packet at its own rate; for AAC it keeps that of the first).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

FORMAT = "aac"  # libavformat's name of raw ADTS
FRAME = 1024  # samples of a raw data block at the header's rate; HE-AAC doubles both (ISO/IEC 14496-3, 4.5.1.1)
HEADER_BYTES = 7
RATES_HZ = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)


def length_s(header: bytes | memoryview) -> Fraction | None:
    """How long the packet lasts that begins with these bytes, in seconds; None where they are no ADTS header.

    ISO/IEC 14496-3, 1.A.2.2: sync word, index of the sampling rate, number of raw data blocks less one.
    """
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    index = header[2] >> 2 & 0x0F
    return Fraction(FRAME * (1 + (header[6] & 0x03)), RATES_HZ[index]) if index < len(RATES_HZ) else None


def timed(packets: Iterable[av.Packet[Any]], format_name: str) -> Iterator[av.Packet[Any]]:
    """The packets, of a raw AAC stream with times that follow from their lengths; other formats' as they are.

    Joined pieces of 48 and 22.05 kHz would otherwise overlap by half of the second: 1.1 of 4.1 s were lost.
    """
    if format_name != FORMAT:
        yield from packets
        return
    late = 0  # ticks by which the counted times have fallen behind
    for packet in packets:
        lasts_s = length_s(memoryview(packet)[:HEADER_BYTES]) if packet.size else None
        if packet.pts is not None and packet.dts is not None:
            packet.pts, packet.dts = packet.pts + late, packet.dts + late
        if lasts_s is not None and packet.duration and packet.time_base:
            lasts = round(lasts_s / packet.time_base)
            late += lasts - packet.duration
            packet.duration = lasts
        yield packet
