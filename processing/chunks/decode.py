"""Every frame of one chunk of a source, exactly once, in order, on the output timeline.

Belongs here: seeking, decoding past the chunk's end, times and durations, and going on after damage. Does not belong
here: where chunks lie (chunks/grid), what is taken from the frames (taps) or how a file is opened (probe/opening).

A frame belongs to the chunk whose span holds its presentation time, wherever its packet lies: leading pictures of an
open GOP come after the next chunk's key frame in the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from processing.failures import BadInput
from processing.probe.opening import demuxed
from processing.probe.splices import Mender, Splice
from processing.timeline import Span, from_rational, to_ticks

SEEK_EARLIER_S = (0, 1, 5, 30)  # tried in turn until a frame at or before the span's start appears
SEEK_BY_DTS = frozenset(
    {"mpegts"}
)  # its seek by pts lands on the next key frame; by dts, and a second earlier, is right
DECODING_TIMES = frozenset({"avi"})
REORDERING = frozenset({"h264", "hevc"})  # of MPEG-4 part 2 libavformat works the times out from the bit stream
MAX_READ_ERRORS = 64  # in one chunk; a demuxer that cannot find its way back would otherwise spin until the wall clock
UNKNOWN_FRAME_S = Fraction(1, 25)


class Place(Enum):
    """Where a frame lies relative to the span that was asked for."""

    LEAD_IN = "lead_in"
    INSIDE = "inside"
    LEAD_OUT = "lead_out"


@dataclass(frozen=True, slots=True)
class Timed:
    """A decoded frame with its presentation time and duration in ticks of the span's timescale.

    Frames outside the span have a duration of at least one tick and no promise about it.
    """

    frame: av.VideoFrame
    ticks: int
    duration: int
    place: Place


@dataclass(slots=True)
class Damage:
    """What went wrong while a span was decoded; `gaps` are spans without a picture of their own, in ticks."""

    decode_errors: int = 0
    corrupt_frames: int = 0
    gaps: list[dict[str, int]] = field(default_factory=list)


class ChunkReader:
    """Decodes one span of an opened source.

    `video`, `origin` and `splices` are as media_info gives them, `chunk` one entry of `video["chunks"]`. One pass over
    `frames` per instance; `damage` is complete when it has ended.
    """

    def __init__(
        self,
        container: InputContainer,
        video: Mapping[str, Any],
        origin: Fraction,
        chunk: Mapping[str, Any],
        *,
        lead_in: int = 0,
        lead_out: int = 0,
        splices: Sequence[Splice] = (),
    ) -> None:
        self.span = Span(int(chunk["start"]), int(chunk["end"]), int(video["timescale"]))
        self.damage = Damage()
        self._container = container
        self._stream = _video_stream(container, int(video["stream_index"]))
        self._seek = chunk.get("seek") or {}
        self._lead_in = lead_in
        self._lead_out = lead_out
        self._splices = splices
        rate = from_rational(video["frame_rate"]) if video.get("frame_rate") else Fraction(0)
        self._nominal_s = 1 / rate if rate > 0 else UNKNOWN_FRAME_S
        self._nominal = max(1, to_ticks(self._nominal_s, self.span.timescale))
        self._clock = _Clock(
            self._stream.time_base or Fraction(1, 90_000), origin, self.span.timescale, self._nominal_s
        )
        self._moved = False

    def frames(self) -> Iterator[Timed]:
        """The wanted lead-in frames (fewer at the file's start), all frames of the span, the wanted lead-out frames.

        A frame lasts until the next one, the last until the span's end. A span without any frame of its own holds
        the nearest picture for its whole length and reports itself as a gap. Raises BadInput when there is no
        picture to hold either.
        """
        before: deque[_Instant] = deque(maxlen=max(1, self._lead_in))
        current: _Instant | None = None  # inside the span; how long it lasts is known when the next one is there
        ended = False
        after = 0
        for instant in self._from_before_the_span():
            if instant.ticks < self.span.start:
                before.append(instant)
            elif instant.ticks < self.span.end:
                if current is None:
                    yield from self._lead_ins(before)
                    self._note_gap(self.span.start, instant.ticks)
                else:
                    yield self._lasting(current, instant.ticks)
                current = instant
            else:
                if not ended:
                    ended = True
                    yield self._last(current, before, instant)
                if after == self._lead_out:
                    return
                after += 1
                yield Timed(instant.frame, instant.ticks, self._nominal, Place.LEAD_OUT)
        if not ended:
            yield self._last(current, before, None)

    def _lead_ins(self, before: deque[_Instant]) -> Iterator[Timed]:
        for instant in list(before)[len(before) - min(self._lead_in, len(before)) :]:
            yield Timed(instant.frame, instant.ticks, self._nominal, Place.LEAD_IN)

    def _lasting(self, instant: _Instant, until: int) -> Timed:
        self._note_gap(instant.ticks + self._nominal, until)
        return Timed(instant.frame, instant.ticks, until - instant.ticks, Place.INSIDE)

    def _last(self, current: _Instant | None, before: deque[_Instant], after: _Instant | None) -> Timed:
        """The span's last frame, or the picture that is held where it has none."""
        if current is not None:
            return self._lasting(current, self.span.end)
        held = before[-1] if before else after
        if held is None:
            start_s, end_s = (float(Fraction(tick, self.span.timescale)) for tick in (self.span.start, self.span.end))
            raise BadInput(
                f"no picture could be decoded between {start_s:.1f} s and {end_s:.1f} s",
                cure="send the file again from the original",
            )
        self.damage.gaps.append(self.span.to_json())
        return Timed(held.frame, self.span.start, self.span.duration, Place.INSIDE)

    def _note_gap(self, start: int, end: int) -> None:
        """Remember [start, end) as missing when decoding has failed in this chunk; long frames alone are no damage.

        A decoder reorders, so the failure shows up some packets before the hole it leaves.
        """
        if self.damage.decode_errors and end - start > self._nominal // 2:
            self.damage.gaps.append({"start": start, "end": end, "timescale": self.span.timescale})

    def _from_before_the_span(self) -> Iterator[_Instant]:
        """Frames in order from the last seek target that yields one early enough to trust."""
        targets = [*self._seek_targets()]
        for number, target in enumerate(targets):
            found = self._decoded_from(target)
            head: list[_Instant] = []
            for instant in found:
                head.append(instant)
                early = sum(1 for each in head if each.ticks < self.span.start)
                if early >= max(1, self._lead_in) or instant.ticks >= self.span.start:
                    break
            good = bool(head) and (
                sum(1 for each in head if each.ticks < self.span.start) >= self._lead_in
                and head[0].ticks <= self.span.start
            )
            if good or number == len(targets) - 1:
                yield from head
                yield from found
                return
            self.damage = Damage()

    def _seek_targets(self) -> Iterator[int | None]:
        """Stream ticks to seek to, most promising first; None is the file's start, without seeking.

        Where times repeat, bytes of the file instead: one, chosen so that it does (splices.entry_positions).
        """
        if self._splices:
            if self.span.start > 0 and self._seek.get("position"):
                yield int(self._seek["position"])
            yield None
            return
        by_dts = any(name in SEEK_BY_DTS for name in self._container.format.name.split(","))
        names = ("dts", "pts") if by_dts else ("pts", "dts")
        wanted = next((int(self._seek[name]) for name in names if self._seek.get(name) is not None), None)
        if wanted is None or self.span.start == 0:
            yield None
            return
        one_second = to_ticks(1 / self._clock.time_base, 1)
        for earlier_s in SEEK_EARLIER_S[1 if by_dts else 0 :]:
            yield wanted - earlier_s * one_second - (1 if self._lead_in else 0)
        yield None

    def _decoded_from(self, target: int | None) -> Iterator[_Instant]:
        if not self._go_to(target):
            return
        clock = self._clock.started()
        mender = Mender(self._splices)
        presented = _in_decoding_order() if self._times_are_of_decoding else None
        for packet in mender.packets(self._packets()):
            for frame in self._decode(packet):
                if frame.is_corrupt:
                    self.damage.corrupt_frames += 1
                yield _Instant(clock.ticks(presented(frame) if presented else frame.pts), frame)

    @property
    def _times_are_of_decoding(self) -> bool:
        """Whether the container has no times of presentation and libavformat makes them up: AVI numbers packets."""
        names = self._container.format.name.split(",")
        return bool(DECODING_TIMES & set(names)) and self._stream.codec_context.name in REORDERING

    def _go_to(self, target: int | None) -> bool:
        """Whether reading can go on at one of `_seek_targets`."""
        moved, self._moved = self._moved, True
        if target is None:
            if moved:
                self._container.seek(0, backward=True, any_frame=False, unsupported_byte_offset=bool(self._splices))
            return True
        try:
            if self._splices:
                self._container.seek(target, unsupported_byte_offset=True)
            else:
                self._container.seek(target, stream=self._stream, backward=True)
        except av.error.FFmpegError:
            return False
        return True

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        """Packets up to the end, which is a flush packet; read errors are counted and passed over."""
        for _ in range(MAX_READ_ERRORS):
            try:
                yield from demuxed(self._container, self._stream)
            except av.error.ExitError:
                raise
            except av.error.FFmpegError:
                self.damage.decode_errors += 1
            else:
                return

    def _decode(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        if packet.is_corrupt:
            self.damage.decode_errors += 1
        try:
            return packet.decode()
        except av.error.FFmpegError:
            self.damage.decode_errors += 1
            return []


def _in_decoding_order() -> Callable[[av.VideoFrame], int | None]:
    """A function from decoded frames, in their order, to times: the first one's own, then as many packets later.

    Decoders put frames into order; the times that libavformat made up for their packets stay with each, out of order.
    """
    first: tuple[int, int] | None = None

    def presented(frame: av.VideoFrame) -> int | None:
        nonlocal first
        if first is None and frame.pts is not None and frame.dts is not None:
            first = (frame.pts, frame.dts)
            return frame.pts
        return None if first is None or frame.dts is None else first[0] + frame.dts - first[1]

    return presented


@dataclass(frozen=True, slots=True)
class _Instant:
    ticks: int
    frame: av.VideoFrame


@dataclass(slots=True)
class _Clock:
    """Presentation times on the output timeline.

    A frame without a time comes one nominal frame after the one before; one that does not come after its
    predecessor comes a tick after it, so that times always rise.
    """

    time_base: Fraction
    origin: Fraction
    timescale: int
    nominal_s: Fraction
    _untimed: int = 0
    _anchor: Fraction = Fraction(0)
    _last: int | None = None

    def started(self) -> _Clock:
        """The same clock before its first frame."""
        return _Clock(self.time_base, self.origin, self.timescale, self.nominal_s)

    def ticks(self, pts: int | None) -> int:
        if pts is None:
            moment = self._anchor + self._untimed * self.nominal_s
        else:
            moment = pts * self.time_base - self.origin
            self._anchor, self._untimed = moment, 0
        self._untimed += 1
        ticks = to_ticks(moment, self.timescale)
        if self._last is not None and ticks <= self._last:
            ticks = self._last + 1
        self._last = ticks
        return ticks


def _video_stream(container: InputContainer, index: int) -> VideoStream:
    stream = container.streams[index]
    if not isinstance(stream, VideoStream):
        raise BadInput(f"stream {index} holds no moving pictures", cure="probe the file again")
    stream.codec_context.thread_count = 1  # frame threads would hold frames back and use more than one core
    return stream
