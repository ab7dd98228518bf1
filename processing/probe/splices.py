"""Files joined end to end, whose clock starts again inside: where the pieces begin and where they belong in time.

Belongs here: noticing that a clock starts again, the place of each piece on one clock that runs through, and `Mender`,
through which everything that reads packets gets them on that clock. Does not belong here: reading (packets, samples,
chunks/decode, sound/decode) or what a file is (media_info). Nobody behind these readers knows of pieces.

`cat a.ts b.ts > joined.ts` is such a file. Only MPEG's two stream formats may do this (ISO/IEC 13818-1, 2.4.3.5: a
discontinuity of the time base); after it no packet counts on the old clock any more, in any track, so that one
position in the file parts two pieces.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import av
import numpy as np
import numpy.typing as npt

from processing.chunks.grid import NO_TIME
from processing.timeline import MPEG_TIMESCALE

FORMATS = frozenset({"mpegts", "mpeg"})
FALL = MPEG_TIMESCALE // 2  # decoding times are written in order; what a muxer may get wrong is a few frames
STEADY = 3  # packets that must agree on either side of a fall, or one damaged timestamp would make two pieces
GOES_ON = (-MPEG_TIMESCALE // 10, MPEG_TIMESCALE // 2)  # a track that moves by this over a place saw no other clock
CLOCK = 1 << 33  # ticks after which MPEG's clock begins anew: 26.5 hours
HALF_CLOCK = CLOCK // 2
BEFORE_FIRST = 3600 * MPEG_TIMESCALE  # how much earlier than a piece's first packet another one of it may be
# Sound is cut where pieces overlap by less than this, else the later piece waits. Encoders fill the last frame up and
# start one early: two frames are 43 ms of AAC at 48 kHz and 93 ms of HE-AAC. A second of speech is nobody's to drop.
MOST_OVERLAP = MPEG_TIMESCALE // 10
MOST_PIECES = 500  # every recipe of such a source holds them all, and each may cost a look of 0.1 s at 1080p
DOUBTED_PACKETS = 64  # looked at for the last two PES packets of a piece; one holds a picture, rarely several
ENTRY_KEYS_BACK = 2  # see `entry_positions`

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Splice:
    """The beginning of a piece: packets from byte `position` on belong to it, until the next one begins.

    What the file calls `source_time` is `time` on the clock that runs through, and all others of the piece keep their
    distance from it (ticks of 1/90000 s). Pictures from byte `doubted` up to `position` may be marked as damaged for
    the only reason that the counters of transport packets start again too.
    """

    position: int
    source_time: int
    time: int
    doubted: int

    def placed(self, times: Any) -> Any:
        """Times of the piece (an integer or an array) on the clock that runs through.

        libavformat adds 2^33 to what is more than a minute below the file's first time; that is taken back.
        """
        return (times - self.source_time + BEFORE_FIRST) % CLOCK - BEFORE_FIRST + self.time

    def to_json(self) -> dict[str, int]:
        return {
            "position": self.position,
            "source_time": self.source_time,
            "time": self.time,
            "timescale": MPEG_TIMESCALE,
            "doubted": self.doubted,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Splice:
        return cls(*(int(value[name]) for name in ("position", "source_time", "time", "doubted")))


def splice_facts(splices: Sequence[Splice]) -> dict[str, Any]:
    """What media_info says of pieces: nothing where there is only one, else `splices`, in order of `position`."""
    return {"splices": [splice.to_json() for splice in splices]} if splices else {}


def splices_in(facts: Mapping[str, Any]) -> tuple[Splice, ...]:
    """The splices in media_info's facts or in a task's parameters; nearly always none."""
    return tuple(map(Splice.from_json, facts.get("splices") or ()))


class Watch:
    """Follows the clock of every track while the packets of a file pass by, in file order; 3 µs a packet."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Followed] = {}

    def see(self, packet: av.Packet[Any], *, counts: bool) -> int:
        """Take one packet and return where it lies; one that shares a PES packet lies where that one does.

        Tracks that do not count (subtitles come seldom and their times are odd) are no evidence.
        """
        track = self._tracks.get(packet.stream_index)
        if track is None:
            track = self._tracks[packet.stream_index] = _Followed()
        position, dts = packet.pos, packet.dts
        if position is not None:
            track.position = position
        if counts and dts is not None:
            track.follow(dts)
        return track.position

    def joints(self) -> list[int]:
        """The fewest byte positions that explain every fall, in order.

        A fall says only that the joint lies between two packets of its track. From the end backwards, so that a track
        that was silent for a whole piece is taken to come back with the last piece it may belong to.
        """
        falls = sorted((fall for track in self._tracks.values() for fall in track.falls), reverse=True)
        found: list[int] = []
        latest_before: int | None = None
        for before, at in falls:
            if latest_before is None or at <= latest_before:
                latest_before = before
                found.append(at)
            else:
                found[-1] = min(found[-1], at)
        return found[::-1]


@dataclass(slots=True)
class _Followed:
    """One track: where it is, its last decoding times with their places, and the pairs of places it fell between."""

    position: int = 0
    falls: list[tuple[int, int]] = field(default_factory=list)
    _recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=2 * STEADY))

    def follow(self, dts: int) -> None:
        recent = self._recent
        if recent:
            last = recent[-1][0]
            if not -HALF_CLOCK <= dts - last < HALF_CLOCK:
                dts = last + (dts - last + HALF_CLOCK) % CLOCK - HALF_CLOCK
        recent.append((dts, self.position))
        if len(recent) < 2 * STEADY or recent[STEADY - 1][0] - recent[STEADY][0] <= FALL:
            return
        before, after = list(recent)[:STEADY], list(recent)[STEADY:]
        if min(before)[0] - max(after)[0] > FALL and before[-1][1] < after[0][1]:
            self.falls.append((before[-1][1], after[0][1]))


class Column(Protocol):
    """The packets of a track in file order: presentation times and lengths in ticks, and where each lies."""

    pts: array[int]
    duration: array[int]
    position: array[int]


def lay_out(joints: Sequence[int], picture: Column | None, sounds: Sequence[Column]) -> tuple[Splice, ...]:
    """Where the pieces that begin at `joints` belong in time. Joints over which a track simply goes on are none.

    A piece's first picture follows the last one before it; where that would drop sound, or where one of the two has
    no picture, it begins when all of what came before has ended. One shift for all tracks keeps them in sync. Beyond
    `MOST_PIECES` a file is left as it is.
    """
    tracks = [*([picture] if picture is not None else []), *sounds]
    kept = [joint for joint in joints if not any(_goes_on(track, joint) for track in tracks)]
    if not 0 < len(kept) < MOST_PIECES:
        return ()
    references = [_first_time(tracks, begin, end) for begin, end in zip(kept, [*kept[1:], None], strict=True)]
    usable = [(joint, first) for joint, first in zip(kept, references, strict=True) if first is not None]
    places = [joint for joint, _ in usable]
    firsts: list[int | None] = [None, *(first for _, first in usable)]
    pictures = _extents(picture, places, firsts, sound=False) if picture is not None else [None] * len(firsts)
    heard = [_extents(sound, places, firsts, sound=True) for sound in sounds]
    shifts = follow_on(pictures, heard)
    return tuple(
        Splice(joint, first, first + shift, _doubted(picture, joint))
        for (joint, first), shift in zip(usable, shifts[1:], strict=True)
    )


Extent = tuple[int, int] | None  # a track's start and end within a piece, on the piece's own clock


def follow_on(pictures: Sequence[Extent], sounds: Sequence[Sequence[Extent]]) -> list[int]:
    """For each piece what to add to its times (ticks), the first piece keeping its own. Extents are one a piece."""
    ends = [track[0][1] if track[0] else None for track in (pictures, *sounds)]  # on the clock that runs through
    shifts = [0]
    for piece in range(1, len(pictures)):
        extents = [track[piece] for track in (pictures, *sounds)]
        starts = [extent[0] for extent in extents if extent]
        both = [(end, extent[0]) for end, extent in zip(ends, extents, strict=True) if end is not None and extent]
        picture = pictures[piece]
        if picture and pictures[piece - 1] and ends[0] is not None:
            shift = ends[0] - picture[0]
            overlap = max(end - start - shift for end, start in both)
            shift += overlap if overlap > MOST_OVERLAP else 0
        else:
            shift = max((end for end in ends if end is not None), default=0) - min(starts, default=0)
        shifts.append(shift)
        for number, extent in enumerate(extents):
            end = ends[number]
            if extent:
                ends[number] = extent[1] + shift if end is None else max(end, extent[1] + shift)
    return shifts


def _goes_on(track: Column, joint: int) -> bool:
    """Whether a track's times run on over `joint` as if nothing were there."""
    at = _index(track, joint)
    if not 0 < at < len(track.pts) or NO_TIME in (track.pts[at - 1], track.pts[at]):
        return False
    return GOES_ON[0] < track.pts[at] - track.pts[at - 1] < GOES_ON[1]


def _index(track: Column, position: int) -> int:
    return int(np.searchsorted(np.frombuffer(track.position, np.int64), position)) if track.position else 0


def _first_time(tracks: Sequence[Column], begin: int, end: int | None) -> int | None:
    """The first time of a piece, of its picture where there is one."""
    for track in tracks:
        stop = len(track.pts) if end is None else _index(track, end)
        for at in range(_index(track, begin), stop):
            if track.pts[at] != NO_TIME:
                return track.pts[at]
    return None


def _extents(
    track: Column, joints: Sequence[int], firsts: Sequence[int | None], *, sound: bool
) -> list[tuple[int, int] | None]:
    bounds = [0, *(_index(track, joint) for joint in joints), len(track.pts)]
    return [
        _extent(track.pts[begin:end], track.duration[begin:end], first, sound=sound)
        for begin, end, first in zip(bounds[:-1], bounds[1:], firsts, strict=True)
    ]


def _extent(pts: array[int], duration: array[int], first: int | None, *, sound: bool) -> tuple[int, int] | None:
    """Start and end. The last picture lasts as long as most do: a demuxer only guesses the length of each."""
    times, lengths = np.array(pts, np.int64), np.array(duration, np.int64)
    known = times != NO_TIME
    if not known.any():
        return None
    times, lengths = times[known], lengths[known]
    if first is not None:
        times = Splice(0, first, first, 0).placed(times)
    last = int(np.argmax(times))
    if sound:
        return int(times.min()), int((times + lengths).max())
    intervals = np.diff(np.unique(times))
    length = int(np.median(intervals)) if len(intervals) else int(lengths[last])
    return int(times.min()), int(times[last]) + length


def _doubted(picture: Column | None, joint: int) -> int:
    """Where the last but one PES packet of the picture before `joint` lies.

    libavformat marks what it has in hand when a counter breaks, which is the last one; its parser hands the mark to
    the picture before.
    """
    if picture is None:
        return joint
    at = _index(picture, joint)
    places = sorted(set(picture.position[max(0, at - DOUBTED_PACKETS) : at]))
    return places[-2:][0] if places else joint


def mended(times: array[int], positions: array[int], splices: Sequence[Splice]) -> array[int]:
    """A column of times in file order on the clock that runs through; `NO_TIME` stays."""
    column = np.array(times, np.int64)
    bounds = [*np.searchsorted(positions, [splice.position for splice in splices]), len(column)]
    for splice, begin, end in zip(splices, bounds[:-1], bounds[1:], strict=True):
        piece = column[begin:end]
        piece[:] = np.where(piece == NO_TIME, NO_TIME, splice.placed(piece))
    return array("q", column.tolist())


def entry_positions(key_positions: Sequence[int]) -> Times:
    """For each key frame the byte from which to read so that it and the pictures around it come out right.

    Times repeat in such a file, so a reader must go by bytes. In a program stream a PES packet may begin in the middle
    of a picture: what is read first is then half a picture with the next one's time, and libavformat guesses the times
    after it wrongly until a PES packet brings one (measured: five pictures 60 ms early). From the second key frame
    before, all of that has passed; 0, the file's start, where there is none. It costs nothing that can be seen: of a
    chunk of 6 s at 1080p with a key frame every 2 s, 1.1 s of 19 CPU-s are decoding.
    """
    column = np.asarray(key_positions, np.int64)
    places = np.unique(column)
    before = np.searchsorted(places, column) - ENTRY_KEYS_BACK
    return np.where(before >= 0, places[np.maximum(before, 0)], 0)


class Mender:
    """Puts the packets of one reader onto the clock that runs through, piece after piece, wherever it begins."""

    def __init__(self, splices: Sequence[Splice]) -> None:
        self._splices = splices
        self._positions = [splice.position for splice in splices]
        self._pieces: dict[int, int] = {}  # by stream, the number of the piece it is in
        self._places: dict[int, int] = {}  # by stream, the position of its last packet that has one

    def packets(self, packets: Iterable[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """The same packets with their times mended, and at every joint an empty one for the decoder to give back what

        it holds. After that the decoder is reset: the piece was coded without knowing of the one before, and pictures
        that refer to what was cut away would be shown as smears.
        """
        if not self._splices:
            yield from packets
            return
        for packet in packets:
            stream = packet.stream
            if packet.pos is not None:
                here = bisect_right(self._positions, packet.pos)
                if here > self._pieces.get(stream.index, here):
                    yield _empty(stream)
                    stream.codec_context.flush_buffers()
                self._pieces[stream.index], self._places[stream.index] = here, packet.pos
            self._mend(packet, self._pieces.get(stream.index, 0))
            yield packet

    def _mend(self, packet: av.Packet[Any], piece: int) -> None:
        if piece:
            splice = self._splices[piece - 1]
            packet.pts = None if packet.pts is None else splice.placed(packet.pts)
            packet.dts = None if packet.dts is None else splice.placed(packet.dts)
        if packet.is_corrupt and packet.stream.type == "video" and piece < len(self._splices):
            packet.is_corrupt = self._places.get(packet.stream.index, 0) < self._splices[piece].doubted


def _empty(stream: Any) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet()
    packet.stream = stream
    packet.time_base = stream.time_base
    return packet
