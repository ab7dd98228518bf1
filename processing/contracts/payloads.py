"""What a stream carries, packet by packet: packaging moves it to other boxes, and must change neither byte nor time.

Belongs here: the packets of files that were packaged, and the comparison. Does not belong here: reading what was made
of them (proxy, cmaf), which each contract does on its one way through the file.

Samples are the same bytes in a chunk, a proxy and a segment: all three hold AVC with length prefixes and parameter sets
in avcC, and AAC without ADTS headers. Times are those of presentation, edit lists applied, so that priming is before 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from processing.manifest import hash_file
from processing.probe.opening import open_media
from processing.timeline import to_ticks
from processing.work import Input


@dataclass(slots=True)
class Carried:
    """The packets of one stream in decoding order: a hash over all payloads, each one's time in ticks.

    `configurations` are what decoders are told before the first packet, of all files the packets lie in.
    """

    timescale: int
    configurations: set[bytes] = field(default_factory=set)
    ticks: list[int] = field(default_factory=list)
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, payload: memoryview, ticks: int) -> None:
        """The next packet. Its length is hashed too, so that packets joined or split are other packets."""
        self._hash.update(payload.nbytes.to_bytes(4, "big"))
        self._hash.update(payload)
        self.ticks.append(ticks)

    @property
    def digest(self) -> str:
        """sha256 (hex) over lengths and payloads."""
        return str(self._hash.hexdigest())

    def other_bytes(self, due: Carried) -> str:
        """How the payloads differ from those that are due, or an empty text."""
        if len(self.ticks) != len(due.ticks):
            return f"{len(self.ticks)} packets of {len(due.ticks)}"
        if self.configurations != due.configurations:
            return "decoders are told something else"
        return "" if self.digest == due.digest else f"other bytes in {len(due.ticks)} packets"

    def other_times(self, due: Carried) -> str:
        """How the times differ from those that are due by more than a tick of rounding, or an empty text."""
        moved = [
            (number, at, then)
            for number, (at, then) in enumerate(zip(self.ticks, due.ticks, strict=False))
            if abs(at - then) > 1
        ]
        if not moved:
            return ""
        number, at, then = moved[0]
        return f"{len(moved)} packets moved, the first is number {number}: at {at}, not {then} of 1/{self.timescale} s"


def carried_by(paths: Iterable[Path], timescale: int) -> Carried:
    """The packets of files that follow each other, of the one stream in each. Demuxes only.

    Raises WorkFailure for a file that cannot be opened, ValueError for one that does not have exactly one stream.
    """
    carried = Carried(timescale)
    for path in paths:
        with open_media(path) as container:
            (stream,) = container.streams
            carried.configurations.add(configuration(stream))
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None:
                    carried.add(memoryview(packet), ticks_of(packet, timescale))
    return carried


def other_than_published(item: Input, path: str) -> str:
    """Which file of an input has other bytes than it was judged with, or an empty text."""
    entry = next((entry for entry in item.files if entry.path == path), None)
    if entry is not None and hash_file(item.path(path))[1] == entry.sha256:
        return ""
    return f"{item.name}: {path} has other bytes than were published"


def configuration(stream: Any) -> bytes:
    """What the decoder of a stream is told before the first packet."""
    return bytes(stream.codec_context.extradata or b"")


def ticks_of(packet: Any, timescale: int) -> int:
    """When a packet is presented, in ticks of `timescale`."""
    base: Fraction = packet.time_base
    if base.numerator * timescale == base.denominator:  # nearly always, and rationals are slow
        return int(packet.pts)
    return to_ticks(packet.pts * base, timescale)
