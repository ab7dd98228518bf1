"""What the packets of a file say without decoding any: times, key frames, sizes, holes, damage.

Belongs here: one pass over all packets into columns of integers, and what follows from those columns alone. Does not
belong here: opening (opening), decoding (samples), or choosing which streams are used (media_info). Columns are
arrays, never objects: an hour at 60 frames a second is 216,000 packets and must stay below 10 MB.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer

from processing.chunks.grid import NO_TIME
from processing.probe import adts

MAX_READ_ERRORS = 64  # a demuxer that cannot find its way back is not asked for ever
STANDARD_RATES = tuple(
    [Fraction(rate) for rate in (1, 2, 5, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)]
    + [Fraction(rate * 1000, 1001) for rate in (15, 24, 30, 48, 60, 120)]
)
DECLARED_SNAP = 0.00002  # 29.97 written for 30000/1001, but not 29.99
SNAP = 0.002  # a measured rate this close to a standard one is that one: 1/1000 between 30 and 30000/1001, twice that
REGULAR_SHARE = 0.8  # frames that keep the common interval, above which that interval names the rate
UNKNOWN_RATE = Fraction(25)  # of elementary streams that say nothing


@dataclass(slots=True)
class Track:
    """The packets of one stream, in file order, in the stream's own time base.

    `pts` and `dts` hold `NO_TIME` where the container gave none. Packets to be decoded but not shown (before an edit
    list's start) leave their key frames only. `skip_end` is the number of samples the last packet asks to drop.
    """

    pts: array[int] = field(default_factory=lambda: array("q"))
    duration: array[int] = field(default_factory=lambda: array("q"))
    key_pts: array[int] = field(default_factory=lambda: array("q"))
    key_dts: array[int] = field(default_factory=lambda: array("q"))
    corrupt: int = 0
    bytes: int = 0
    skip_end: int = 0

    @property
    def shown(self) -> int:
        """Packets that are presented."""
        return len(self.pts)

    @property
    def timed(self) -> bool:
        """Whether the container gives presentation times at all."""
        return any(pts != NO_TIME for pts in self.pts[:64])

    def add(self, packet: av.Packet[Any], *, sound: bool, codec: str = "") -> None:
        """Take one packet into the columns."""
        pts = NO_TIME if packet.pts is None else packet.pts
        self.bytes += packet.size
        self.corrupt += packet.is_corrupt
        if packet.is_keyframe and not sound:
            self.key_pts.append(pts)
            self.key_dts.append(NO_TIME if packet.dts is None else packet.dts)
        if packet.is_discard or (codec in _HIDDEN_FRAMES and _HIDDEN_FRAMES[codec](memoryview(packet))):
            return
        self.pts.append(pts)
        self.duration.append(packet.duration or 0)
        if sound:
            self.skip_end = _skipped_at_end(packet)


@dataclass(slots=True)
class Scan:
    """All tracks by stream index; `read_errors` counts what the demuxer stumbled over."""

    tracks: dict[int, Track] = field(default_factory=dict)
    read_errors: int = 0


def scan_packets(container: InputContainer) -> Scan:
    """Read every packet of the video, audio and subtitle streams once. Goes on after errors, a bounded number."""
    wanted = [stream for stream in container.streams if stream.type in ("video", "audio", "subtitle")]
    sounding = {stream.index for stream in wanted if stream.type == "audio"}
    codecs = {stream.index: _codec(stream) for stream in wanted if stream.type == "video"}
    scan = Scan(tracks={stream.index: Track() for stream in wanted})
    if not wanted:
        return scan
    while scan.read_errors < MAX_READ_ERRORS:
        try:
            for packet in adts.timed(container.demux(wanted), container.format.name):
                if packet.size or packet.dts is not None:
                    index = packet.stream_index
                    scan.tracks[index].add(packet, sound=index in sounding, codec=codecs.get(index, ""))
            break
        except av.error.ExitError:
            raise
        except av.error.FFmpegError:
            scan.read_errors += 1
    return scan


def _codec(stream: Any) -> str:
    context = getattr(stream, "codec_context", None)
    return str(context.codec.canonical_name) if context is not None else ""


def _hidden_vp8(data: memoryview) -> bool:
    """A frame that is only referred to (show_frame = 0; RFC 6386, section 9.1)."""
    return len(data) > 0 and not data[0] & 0x10


def _hidden_vp9(data: memoryview) -> bool:
    """A packet of one hidden frame (show_frame = 0; VP9 bitstream specification 6.2 and annex B)."""
    if not len(data) or data[-1] & 0xE0 == 0xC0:  # a superframe shows its last frame
        return False
    profile_3 = data[0] & 0x30 == 0x30
    bits = data[0] << 1 if profile_3 else data[0]
    shows_existing, shows = bits & 0x08, bits & 0x02
    return not shows_existing and not shows


_HIDDEN_FRAMES = {"vp8": _hidden_vp8, "vp9": _hidden_vp9}


def _skipped_at_end(packet: av.Packet[Any]) -> int:
    """Samples to drop from this packet's end (AV_PKT_DATA_SKIP_SAMPLES: two little-endian uint32 first)."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    data = bytes(packet.get_sidedata("skip_samples"))
    return int(struct.unpack_from("<I", data, 4)[0]) if len(data) >= 8 else 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Presentation of a video stream, in its own time base.

    `times` are sorted, `end` is the last frame's time plus its length. `counted` says that the container had no
    times and frames were counted instead.
    """

    times: array[int]
    end: int
    rate: Fraction
    constant: bool
    longest_gap: int
    counted: bool


def measure(
    track: Track,
    time_base: Fraction,
    declared_rate: Fraction | None,
    first_shown: int | None,
    declared_end: int | None = None,
) -> Timing:
    """The timing of a video track.

    `declared_rate` is the container's or codec's frame rate, if it has one; `first_shown` the time of the first
    picture that really decodes, before which nothing is presented; `declared_end` where the container says that the
    track ends (ticks of `time_base`). Raises ValueError when there is no packet.
    """
    if not track.pts:
        raise ValueError("a track without packets has no timing")
    if not track.timed:
        return _counted(track, time_base, declared_rate)
    known = np.frombuffer(track.pts, np.int64)
    times = np.unique(known[known != NO_TIME])
    if first_shown is not None:
        times = times[times >= first_shown]
    if not len(times):
        raise ValueError("no packet is presented after the first picture that decodes")
    intervals = np.diff(times)
    rate, constant = _rate(intervals, time_base, declared_rate)
    final = int(times[-1])
    end = final + _last_duration(track, times, intervals, max(1, round(1 / rate / time_base)), declared_end)
    if declared_end is not None and final < declared_end < end:
        end = declared_end  # an edit list that ends inside the last picture
    gap = int(intervals.max()) if len(intervals) else 0
    return Timing(array("q", times.tolist()), end, rate, constant, gap, counted=False)


def _counted(track: Track, time_base: Fraction, declared_rate: Fraction | None) -> Timing:
    rate = declared_rate if sensible(declared_rate) else UNKNOWN_RATE
    assert rate is not None
    step = 1 / rate / time_base
    times = array("q", (round(number * step) for number in range(track.shown)))
    return Timing(times, round(track.shown * step), rate, constant=True, longest_gap=round(step), counted=True)


def sensible(rate: Fraction | None) -> bool:
    """Whether a frame rate can be one: some containers give their clock (1000, 90000) instead."""
    return rate is not None and Fraction(1, 1000) <= rate <= 300


def _rate(intervals: Any, time_base: Fraction, declared: Fraction | None) -> tuple[Fraction, bool]:
    """Nominal frames a second, and whether frames keep it."""
    if not len(intervals):
        return (declared if declared is not None and sensible(declared) else UNKNOWN_RATE), True
    if declared is not None and _explains(declared, intervals, time_base):
        return snapped(declared, DECLARED_SNAP), True
    common = float(np.median(intervals))
    tolerance = min(2.0, common / 4)  # ticks: rounding to a coarse clock moves both ends of an interval by one
    regular = np.abs(intervals - common) <= tolerance
    constant = bool(regular.all())
    kept = intervals[regular] if regular.mean() >= REGULAR_SHARE else intervals
    measured = 1 / (Fraction(int(kept.sum()), len(kept)) * time_base)
    if declared is not None and sensible(declared) and abs(measured / declared - 1) <= SNAP:
        return snapped(declared, DECLARED_SNAP), constant
    return snapped(measured, SNAP), constant


def _explains(declared: Fraction, intervals: Any, time_base: Fraction) -> bool:
    """Whether every picture is where a declared rate, rounded to the clock, puts it: 600 a second on one of 1 ms."""
    if not Fraction(1, 1000) <= declared <= 1 / time_base:
        return False
    step = 1 / (declared * time_base)
    due = np.arange(1, len(intervals) + 1) * float(step)
    return bool((np.abs(np.cumsum(intervals) - due) < 1.0).all())


def snapped(rate: Fraction, tolerance: float) -> Fraction:
    """The standard rate within `tolerance` (relative) of `rate`, else `rate` in small numbers."""
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(rate / nearest - 1) <= tolerance else rate.limit_denominator(90_000)


def _last_duration(track: Track, times: Any, intervals: Any, nominal: int, declared_end: int | None) -> int:
    """How long the last picture stays: what its packet says where packets can be trusted, else a common interval.

    FLV says 1 ms for every picture and Matroska often nothing: packets are trusted where at least half of them are
    as long as the interval that follows. A lone picture without a length stays until the track's declared end.
    """
    said = track.duration[_last_position(track, int(times[-1]))]
    if not len(intervals):
        rest = declared_end - int(times[-1]) if declared_end is not None else 0
        return next((length for length in (said, rest) if length > 0), nominal)
    return said if said > 0 and _durations_fit(track, times, intervals) else int(np.median(intervals))


def _durations_fit(track: Track, times: Any, intervals: Any) -> bool:
    pts, durations = np.frombuffer(track.pts, np.int64), np.frombuffer(track.duration, np.int64)
    positions = np.searchsorted(times[:-1], pts)
    inside = positions < len(intervals)
    inside[inside] = times[positions[inside]] == pts[inside]
    fits = np.abs(durations[inside] - intervals[positions[inside]]) <= 1
    return bool(fits.mean() >= 0.5) if len(fits) else False


def _last_position(track: Track, time: int) -> int:
    for position in range(track.shown - 1, -1, -1):
        if track.pts[position] == time:
            return position
    raise ValueError("the last time belongs to no packet")


def packets_end(track: Track) -> int:
    """The latest end of any packet with a time, in the track's time base; 0 without any."""
    return max(
        (pts + length for pts, length in zip(track.pts, track.duration, strict=True) if pts != NO_TIME), default=0
    )


def sound_end(track: Track, time_base: Fraction, rate_hz: int) -> Fraction | None:
    """The end of an audio track in seconds of its own clock, less the samples it asks to drop; None without times."""
    if not track.timed:
        return None
    return packets_end(track) * time_base - Fraction(track.skip_end, rate_hz)
