"""What decoding a little, at the start, in the middle and at the end, says about a file.

Belongs here: bounded decoding and what only frames know: whether they decode at all, colour, interlacing, the display
matrix, the first presentation time. Does not belong here: packet times (packets) or the facts as JSON (media_info).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
import av.error
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType

from processing.probe.opening import demuxed
from processing.probe.splices import Mender, Splice

FRAMES_A_PLACE = 12  # enough for idet to tell fields from pictures; 12 pictures of 2160p decode in half a second
SOUND_FRAMES_A_PLACE = 8
PACKETS_A_PLACE = 600  # over all streams: bounds a file whose picture starts after minutes of sound
MAX_READ_ERRORS = 16


@dataclass(slots=True)
class StreamSample:
    """What decoding one stream at several places showed.

    `first_pts` is the earliest presentation time decoded from the file's start, in the stream's time base.
    `interlaced`, `top_first` and `frames` count pictures; `weave` holds idet's verdicts by name.
    """

    frames: int = 0
    errors: int = 0
    corrupt: int = 0
    first_pts: int | None = None
    matrix: bytes | None = None
    interlaced: int = 0
    top_first: int = 0
    weave: dict[str, int] = field(default_factory=dict)
    color: tuple[int, int, int, int] | None = None  # primaries, transfer, matrix, range as libavutil numbers them
    pixel_format: str | None = None
    size: tuple[int, int] | None = None
    sample_format: str | None = None
    rate_hz: int | None = None
    layout: str | None = None
    channels: int | None = None


class Sampler:
    """Decodes some frames of the named streams of an open container, place after place."""

    def __init__(self, container: InputContainer, stream_indexes: list[int], splices: Sequence[Splice] = ()) -> None:
        self.container = container
        self.splices = splices
        self.samples = {index: StreamSample() for index in stream_indexes}
        self._pictures: dict[int, list[av.VideoFrame]] = {index: [] for index in stream_indexes}

    def from_start(self) -> None:
        """Decode at the file's start, before anything else was read."""
        for index, pts in self._decode().items():
            self.samples[index].first_pts = pts

    def from_time(self, stream_index: int, pts: int) -> None:
        """Decode from `pts` of one stream on; a place that cannot be reached is left out."""
        try:
            self.container.seek(pts, stream=self.container.streams[stream_index], backward=True)
        except av.error.FFmpegError:
            return
        self._decode()

    def from_position(self, position: int) -> dict[int, int]:
        """Decode from a byte of the file on; the earliest presentation time seen of each stream that decodes there."""
        try:
            self.container.seek(position, unsupported_byte_offset=True)
        except av.error.FFmpegError:
            return {}
        return self._decode()

    def finish(self) -> dict[int, StreamSample]:
        """The findings, after the order of fields was looked for in pictures that are marked as interlaced."""
        for index, pictures in self._pictures.items():
            sample = self.samples[index]
            if pictures and (sample.interlaced or _declares_fields(self.container.streams[index])):
                sample.top_first = _count_top_first(pictures)
                sample.weave = _weave(pictures)
        self._pictures.clear()
        return self.samples

    def _decode(self) -> dict[int, int]:
        earliest: dict[int, int] = {}
        mender = Mender(self.splices)
        streams = [self.container.streams[index] for index in self.samples]
        missing = {
            stream.index: FRAMES_A_PLACE if stream.type == "video" else SOUND_FRAMES_A_PLACE for stream in streams
        }
        for packets, packet in enumerate(mender.packets(self._packets(streams))):
            index = packet.stream.index  # a flush packet's own stream_index is 0 whatever it flushes
            if missing[index] > 0:
                times = self._take(index, packet)
                missing[index] -= len(times)
                for pts in times:
                    if pts is not None:
                        earliest[index] = min(pts, earliest.get(index, pts))
            if packets >= PACKETS_A_PLACE or all(count <= 0 for count in missing.values()):
                break
        return earliest

    def _packets(self, streams: list[Any]) -> Iterator[av.Packet[Any]]:
        """Packets from here on, flush packets included; goes on after errors, a bounded number of times."""
        for _ in range(MAX_READ_ERRORS):
            try:
                yield from demuxed(self.container, streams)
            except av.error.ExitError:
                raise
            except av.error.FFmpegError:
                continue
            return

    def _take(self, index: int, packet: av.Packet[Any]) -> list[int | None]:
        """Decode a packet; the presentation times of what came out."""
        sample = self.samples[index]
        try:
            frames: list[Any] = packet.decode()
        except (av.error.FFmpegError, ValueError):  # ValueError: a picture whose format changed to an unknown one
            sample.errors += bool(packet.size)
            return []
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                self._note_picture(index, frame)
            else:
                _note_sound(sample, frame)
            sample.frames += 1
        return [getattr(frame, "pts", None) for frame in frames]

    def _note_picture(self, index: int, frame: av.VideoFrame) -> None:
        sample = self.samples[index]
        sample.corrupt += frame.is_corrupt
        sample.interlaced += frame.interlaced_frame
        if sample.size is None:
            sample.size = (frame.width, frame.height)
            sample.pixel_format = frame.format.name
            sample.color = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
            sample.matrix = _display_matrix(frame)
        self._pictures[index].append(frame)
        del self._pictures[index][: -2 * FRAMES_A_PLACE]


def _note_sound(sample: StreamSample, frame: av.AudioFrame) -> None:
    if sample.rate_hz is None:
        sample.rate_hz, sample.sample_format = frame.sample_rate, frame.format.name
        sample.layout, sample.channels = frame.layout.name, frame.layout.nb_channels


def _display_matrix(frame: av.VideoFrame) -> bytes | None:
    """The nine int32 of the frame's display matrix, native-endian; None where it has none."""
    try:
        side_data = cast("Any", frame.side_data).get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # PyAV 18.1 has no name for some kinds (views of MV-HEVC) and then shows none at all
        angle = math.radians(-frame.rotation)  # that one is counter-clockwise, and blind to mirroring
        a, b = (round(65_536 * value) for value in (math.cos(angle), math.sin(angle)))
        return struct.pack("=9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    return bytes(side_data) if side_data is not None else None


def _declares_fields(stream: Any) -> bool:
    """Whether the container or codec header says that pictures consist of fields (AVFieldOrder 2 to 5)."""
    return getattr(stream.codec_context, "field_order", 0) >= 2


def _count_top_first(pictures: list[av.VideoFrame]) -> int:
    """Pictures whose flags say that the top field comes first, as libavfilter's `select` reads them."""
    return len(_filtered(pictures, "select", "eq(interlace_type,TOPFIRST)"))


def _weave(pictures: list[av.VideoFrame]) -> dict[str, int]:
    """What idet makes of the pictures themselves: how many look tff, bff, progressive, undetermined."""
    seen = _filtered(pictures, "idet", "")
    if not seen:
        return {}
    names = ("tff", "bff", "progressive", "undetermined")
    return {name: round(float(seen[-1].metadata.get(f"lavfi.idet.multiple.{name}", 0))) for name in names}


def _filtered(pictures: list[av.VideoFrame], name: str, arguments: str) -> list[av.VideoFrame]:
    first = pictures[0]
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=first.width, height=first.height, format=first.format, time_base=first.time_base or Fraction(1, 25)
    )
    step = graph.add(name, arguments)
    sink = graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    result: list[av.VideoFrame] = []
    for picture in pictures:
        if (picture.width, picture.height, picture.format.name) != (first.width, first.height, first.format.name):
            continue
        source.push(picture)
        _drain(sink, result)
    source.push(None)
    _drain(sink, result)
    return result


def _drain(sink: Any, into: list[av.VideoFrame]) -> None:
    while True:
        try:
            into.append(sink.pull())
        except (BlockingIOError, EOFError):
            return
