"""What the packets of a file say without decoding any: times, key frames, sizes, holes, damage.

Belongs here: one pass over all packets into columns of integers, and what follows from those columns alone. Does not
belong here: opening (opening), decoding (samples), or choosing which streams are used (media_info). Columns are
arrays, never objects: an hour at 60 frames a second is 216,000 packets and must stay below 10 MB.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import compress
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer

from processing.chunks.grid import NO_TIME
from processing.probe import adts
from processing.probe.opening import demuxed
from processing.probe.splices import FORMATS, Splice, Watch, lay_out, mended

MAX_READ_ERRORS = 64  # a demuxer that cannot find its way back is not asked for ever
STANDARD_RATES = tuple(
    [Fraction(rate) for rate in (1, 2, 5, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)]
    + [Fraction(rate * 1000, 1001) for rate in (15, 24, 30, 48, 60, 120)]
)
DECLARED_SNAP = 0.00002  # 29.97 written for 30000/1001, but not 29.99
SNAP = 0.002  # a measured rate this close to a standard one is that one: 1/1000 between 30 and 30000/1001, twice that
REGULAR_SHARE = 0.8  # frames that keep the common interval, above which that interval names the rate
OPENING_PACKETS = 1000  # of a piece, in which there is a key frame if there is any; samples look at 600
LEADING_PICTURES = 32  # looked at after a key frame for ones that are presented before it; codecs allow 16
UNKNOWN_RATE = Fraction(25)  # of elementary streams that say nothing


@dataclass(slots=True)
class Track:
    """The packets of one stream, in file order, in the stream's own time base.

    `pts` and `dts` hold `NO_TIME` where the container gave none. Packets to be decoded but not shown (before an edit
    list's start) leave their key frames only. `skip_end` is the number of samples the last packet asks to drop.
    Where the clock may start again (splices), `position`, `key_position` and `corrupt_position` say at which byte the
    packets of the other columns and the damaged ones lie; elsewhere, and once it is known not to, they are empty.
    """

    pts: array[int] = field(default_factory=lambda: array("q"))
    duration: array[int] = field(default_factory=lambda: array("q"))
    key_pts: array[int] = field(default_factory=lambda: array("q"))
    key_dts: array[int] = field(default_factory=lambda: array("q"))
    position: array[int] = field(default_factory=lambda: array("q"))
    key_position: array[int] = field(default_factory=lambda: array("q"))
    corrupt_position: array[int] = field(default_factory=lambda: array("q"))
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

    def add(self, packet: av.Packet[Any], *, sound: bool, codec: str = "", position: int | None = None) -> None:
        """Take one packet into the columns; `position` only where places are to be kept."""
        pts = NO_TIME if packet.pts is None else packet.pts
        self.bytes += packet.size
        self.corrupt += packet.is_corrupt
        if packet.is_keyframe and not sound:
            self.key_pts.append(pts)
            self.key_dts.append(NO_TIME if packet.dts is None else packet.dts)
        if position is not None:
            self._place(packet, position, key=packet.is_keyframe and not sound)
        if packet.is_discard or (codec in _HIDDEN_FRAMES and _HIDDEN_FRAMES[codec](memoryview(packet))):
            return
        self.pts.append(pts)
        self.duration.append(packet.duration or 0)
        if sound:
            self.skip_end = _skipped_at_end(packet)

    def _place(self, packet: av.Packet[Any], position: int, *, key: bool) -> None:
        """Keep where a packet lies. Formats that need it know no packets that are not shown."""
        self.position.append(position)
        if key:
            self.key_position.append(position)
        if packet.is_corrupt:
            self.corrupt_position.append(position)

    def forget_places(self) -> None:
        """Empty the columns of places, a third of a track's memory."""
        self.position, self.key_position, self.corrupt_position = array("q"), array("q"), array("q")

    def mend(self, found: Sequence[Splice], *, picture: bool) -> None:
        """Put the pieces' times onto the clock that runs through, and take back marks that only say where it broke."""
        self.pts = mended(self.pts, self.position, found)
        self.key_pts = mended(self.key_pts, self.key_position, found)
        self.key_dts = mended(self.key_dts, self.key_position, found)
        if picture:
            spans = [(splice.doubted, splice.position) for splice in found]
            self.corrupt -= sum(any(low <= at < high for low, high in spans) for at in self.corrupt_position)

    def begins_whole(self, position: int) -> bool:
        """Whether the picture's piece at `position` begins with a key frame that comes first in presentation too."""
        at = bisect_left(self.position, position)
        opening = self.pts[at : at + LEADING_PICTURES]
        return not opening or (opening[0] in self.key_pts and opening[0] == min(opening))

    def hide(self, position: int, before: int) -> None:
        """Leave out the packets from byte `position` on that are presented before `before`: they do not decode."""
        begin = bisect_left(self.position, position)
        opening = slice(begin, begin + OPENING_PACKETS)
        shown = [pts >= before for pts in self.pts[opening]]
        for column in (self.pts, self.duration, self.position):
            column[opening] = array("q", compress(column[opening], shown))


@dataclass(slots=True)
class Scan:
    """All tracks by stream index; `read_errors` counts what the demuxer stumbled over.

    Where there are `splices`, the tracks' times are on the clock that runs through. `clock_starts` is how often the
    clock seems to start again, also where that is not followed.
    """

    tracks: dict[int, Track] = field(default_factory=dict)
    read_errors: int = 0
    splices: tuple[Splice, ...] = ()
    clock_starts: int = 0


def scan_packets(container: InputContainer) -> Scan:
    """Read every packet of the video, audio and subtitle streams once. Goes on after errors, a bounded number."""
    wanted = [stream for stream in container.streams if stream.type in ("video", "audio", "subtitle")]
    sounding = {stream.index for stream in wanted if stream.type == "audio"}
    codecs = {stream.index: _codec(stream) for stream in wanted if stream.type == "video"}
    scan = Scan(tracks={stream.index: Track() for stream in wanted})
    if not wanted:
        return scan
    watch = Watch() if container.format.name in FORMATS else None
    while scan.read_errors < MAX_READ_ERRORS:
        try:
            for packet in adts.timed(demuxed(container, wanted), container.format.name):
                if packet.size or packet.dts is not None:
                    index = packet.stream_index
                    sound, codec = index in sounding, codecs.get(index, "")
                    place = watch.see(packet, counts=sound or index in codecs) if watch else None
                    scan.tracks[index].add(packet, sound=sound, codec=codec, position=place)
            break
        except av.error.ExitError:
            raise
        except av.error.FFmpegError:
            scan.read_errors += 1
    if watch is not None:
        _mend(scan, watch, pictures=list(codecs), sounds=sorted(sounding))
    return scan


def _mend(scan: Scan, watch: Watch, *, pictures: Sequence[int], sounds: Sequence[int]) -> None:
    main = max(pictures, key=lambda index: scan.tracks[index].shown, default=None)
    picture = scan.tracks[main] if main is not None and scan.tracks[main].shown else None
    heard = [scan.tracks[index] for index in sounds if scan.tracks[index].shown]
    joints = watch.joints()
    scan.splices, scan.clock_starts = lay_out(joints, picture, heard), len(joints)
    for index, track in scan.tracks.items():
        if scan.splices:
            track.mend(scan.splices, picture=index in pictures)
        else:
            track.forget_places()


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
    if first_shown is not None and times[-1] >= first_shown:
        times = times[times >= first_shown]
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
