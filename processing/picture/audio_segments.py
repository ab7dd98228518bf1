"""An AAC track becomes media segments cut at the picture's grid, to the nearest packet.

Belongs here: which packets make a segment, the files of one track. Does not belong here: encoding, boxes (fmp4).

The encoder's priming packet (presentation time -1024) stays: without it the first 1,024 samples decode wrongly. The
edit list takes it off again, so that `tfdt` = presentation time + 1024. A segment starts with the first packet that
starts at or after the grid, which is at most one packet (21.3 ms at 48 kHz) late; nothing drifts.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from processing.failures import ContractBroken
from processing.picture import fmp4
from processing.picture.segments import INIT_NAME, PackagedTrack, Segment, segment_name
from processing.probe.opening import open_media

SEGMENT_S = 6  # where there is no picture to follow


def grid_from(starts_s: Sequence[Fraction], end_s: Fraction, track_end_s: Fraction) -> list[Fraction]:
    """Where segments start, in seconds: 0, then the picture's starts, then every `SEGMENT_S` past the picture's end.

    `end_s` is where the picture ends (0 where there is none) and `track_end_s` where the sound does. A rest shorter
    than half a segment stays with the one before it.
    """
    grid = [Fraction(0), *(start for start in starts_s[1:] if start < track_end_s)]
    at = end_s if starts_s else Fraction(SEGMENT_S)
    while track_end_s - at >= Fraction(SEGMENT_S, 2):
        grid.append(at)
        at += SEGMENT_S
    return grid


@dataclass(frozen=True, slots=True)
class _Packet:
    pts: int
    duration: int
    data: bytes


def package_track(
    folder: Path, name: str, source: Path, starts_s: Sequence[Fraction], end_s: Fraction
) -> PackagedTrack:
    """Write init.mp4 and the segments of one AAC track into `folder`, and say what is there.

    `name` is the folder's place in the artifact; `starts_s` and `end_s` the picture's segment starts and end in
    seconds, empty and 0 without a picture. One segment is held in memory at a time. Raises `ContractBroken` for a
    track that is empty or has holes.
    """
    folder.mkdir(parents=True)
    with open_media(source) as container:
        stream = container.streams.audio[0]
        rate = stream.rate
        if stream.time_base != Fraction(1, rate):
            raise ContractBroken(f"{name}: the time base {stream.time_base} is not one over the rate {rate}")
        track_end_s = Fraction(stream.duration or 0, rate)
        packets = (
            _Packet(packet.pts, packet.duration or 0, bytes(packet))
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        )
        first = next(packets, None)
        if first is None or first.pts > 0:
            raise ContractBroken(f"{name}: the track does not start at 0")
        priming = -first.pts
        init = fmp4.init_segment(stream, rate, priming)
        (folder / INIT_NAME).write_bytes(init)
        grid = [start * rate for start in grid_from(starts_s, end_s, track_end_s)]
        segments: list[Segment] = []
        pieces: list[tuple[int, int]] = []
        for index, packed in enumerate(_cut(first, packets, grid, name)):
            header = fmp4.fragment_header(
                index + 1,
                packed[0].pts + priming,
                [fmp4.Sample(len(packet.data), packet.duration, 0, is_sync=True) for packet in packed],
            )
            data = b"".join([fmp4.SEGMENT_TYPE, header, *(packet.data for packet in packed)])
            (folder / segment_name(index)).write_bytes(data)
            start = max(packed[0].pts, 0)
            segments.append(Segment(start, packed[-1].pts + packed[-1].duration - start, len(data)))
            overhead = len(data) - sum(len(packet.data) for packet in packed)
            pieces += [(p.pts + priming, len(p.data) + (0 if at else overhead)) for at, p in enumerate(packed)]
    track = fmp4.read_track(init)
    return PackagedTrack(
        folder=name,
        timescale=rate,
        codecs=track.codecs,
        segments=tuple(segments),
        key_frames=(),
        pieces=tuple(pieces),
        samples=len(pieces),
        channels=track.channels,
    )


def _cut(first: _Packet, rest: Iterator[_Packet], grid: Sequence[Fraction], name: str) -> Iterator[list[_Packet]]:
    """Lots of packets, each lot all that start between two grid points; a lot that would be empty is left out."""
    held = [first]
    lot = 0
    for packet in rest:
        if packet.pts != held[-1].pts + held[-1].duration:
            raise ContractBroken(f"{name}: packets at {held[-1].pts} and {packet.pts} do not meet")
        here = max(bisect.bisect_right(grid, packet.pts) - 1, 0)
        if here != lot:
            yield held
            held, lot = [], here
        held.append(packet)
    yield held
