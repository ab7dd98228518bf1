"""Fragmented MP4 (ISO/IEC 14496-12, CMAF ISO/IEC 23000-19), exactly as the segments of this house need it.

Belongs here: boxes read and written, the initialization segment, one fragment (moof + mdat), the codec string of a
track. Does not belong here: which packets make a segment (hls, audio_segments) or what a playlist says of it.

libavformat writes the sample description (avcC, esds); fragments are written here, because its muxer cannot cut a
fragment where it is told to and derives durations, which have to be exact over gaps and at variable frame rate.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av

TRACK_ID = 1
SEGMENT_TYPE = struct.pack(">I4s4sI4s4s", 24, b"styp", b"msdh", 0, b"msdh", b"cmfs")
_FILE_TYPE = struct.pack(">I4s4sI4s4s4s", 28, b"ftyp", b"iso6", 0, b"iso6", b"cmfc", b"mp41")
_SYNC_SAMPLE = 0x02000000  # sample_depends_on = 2: depends on no other
_OTHER_SAMPLE = 0x01010000  # sample_depends_on = 1, sample_is_non_sync_sample
_DEFAULT_BASE_IS_MOOF = 0x020000
_DEFAULT_FLAGS_PRESENT = 0x000020
_TRUN_DATA_OFFSET = 0x000001
_TRUN_FIRST_FLAGS = 0x000004
_TRUN_DURATION = 0x000100
_TRUN_SIZE = 0x000200
_TRUN_FLAGS = 0x000400
_TRUN_OFFSET = 0x000800
_VISUAL_ENTRY_BYTES = 78  # fixed part of a VisualSampleEntry, its child boxes follow
_AUDIO_ENTRY_BYTES = 28  # likewise of an AudioSampleEntry
_FIXED_PART = {  # boxes on the way to a sample entry: bytes before their first child
    **dict.fromkeys((b"moov", b"trak", b"mdia", b"minf", b"stbl"), 0),
    b"stsd": 8,
    b"avc1": _VISUAL_ENTRY_BYTES,
    b"mp4a": _AUDIO_ENTRY_BYTES,
}
_DROPPED = {b"udta", b"meta", b"edts", b"btrt"}


class BrokenBox(ValueError):
    """Bytes that are not the box structure they should be."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its four-letter type, where it starts, its size with header, and where its content starts (bytes)."""

    kind: bytes
    offset: int
    size: int
    body: int

    @property
    def end(self) -> int:
        """The byte after the box."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample in decoding order: bytes, duration and composition offset in ticks of its track, sync or not."""

    size: int
    duration: int
    composition_offset: int
    is_sync: bool


@dataclass(frozen=True, slots=True)
class Fragment:
    """A moof and its mdat as found in a segment; offsets in bytes from the segment's start, times in ticks."""

    offset: int
    size: int
    sequence: int
    decode_time: int
    data_offset: int
    samples: tuple[Sample, ...]

    @property
    def duration(self) -> int:
        """Sum of its samples' durations in ticks."""
        return sum(sample.duration for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Track:
    """What an initialization segment says of its one track.

    `media_time` is where the edit list starts presentation, in ticks of `timescale`; `width`, `height` are 0 for sound,
    `channels` and `rate_hz` 0 for pictures. `configuration` is what the decoder is told before the first sample: the
    record in avcC, or the specific configuration in esds.
    """

    timescale: int
    media_time: int
    codecs: str
    width: int
    height: int
    channels: int
    rate_hz: int
    configuration: bytes


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes of one level, in order. Raises `BrokenBox` where a size does not fit into what holds it."""
    limit = len(data) if end is None else end
    offset = start
    while offset < limit:
        if limit - offset < 8:
            raise BrokenBox(f"{limit - offset} stray bytes after the last box")
        size, kind = struct.unpack_from(">I4s", data, offset)
        body = offset + 8
        if size == 1 and limit - offset >= 16:
            (size,) = struct.unpack_from(">Q", data, offset + 8)
            body = offset + 16
        if size < body - offset or offset + size > limit:
            raise BrokenBox(f"box {kind!r} of {size} bytes does not fit into {limit - offset}")
        yield Box(kind, offset, size, body)
        offset += size


def find(data: bytes, path: str, start: int = 0, end: int | None = None) -> Box | None:
    """The first box at a path such as "moov/trak/mdia/mdhd", or None."""
    first, _, rest = path.partition("/")
    for box in boxes(data, start, end):
        if box.kind == first.encode("ascii"):
            return find(data, rest, box.body, box.end) if rest else box
    return None


def require(data: bytes, path: str, start: int = 0, end: int | None = None) -> Box:
    """Like `find`; raises `BrokenBox` when there is none."""
    box = find(data, path, start, end)
    if box is None:
        raise BrokenBox(f"there is no {path}")
    return box


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


class _Sink:
    """Collects what the muxer writes; without `seek` it is a stream to libavformat, as fragments must be."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def init_segment(template: Any, timescale: int, media_time: int) -> bytes:
    """The initialization segment (ftyp + moov) for the packets of `template`, a PyAV stream opened for reading.

    `media_time` (ticks) is what the edit list takes off every composition time: the reorder delay of pictures, the
    priming of AAC. The same stream parameters give the same bytes.
    """
    sink = _Sink()
    options = {"movflags": "+empty_moov+default_base_moof", "fflags": "+bitexact"}
    if template.type == "video":
        options["video_track_timescale"] = str(timescale)
    with av.open(sink, "w", format="mp4", options=options) as muxer:
        muxer.add_stream_from_template(template, opaque=True)
        muxer.start_encoding()
    data = bytes(sink.data)
    moov = require(data, "moov")
    return _FILE_TYPE + _with_edit(data, moov, media_time)


def _with_edit(data: bytes, box: Box, media_time: int) -> bytes:
    """`box` again with the one edit of the track, less what depends on who wrote it or on a chunk's own bit rate."""
    if box.kind == b"tkhd":
        edit = struct.pack(">IIIiI", 0, 1, 0, media_time, 0x00010000)
        return data[box.offset : box.end] + _box(b"edts", _box(b"elst", edit))
    fixed = _FIXED_PART.get(box.kind)
    if fixed is None:
        return data[box.offset : box.end]
    children = boxes(data, box.body + fixed, box.end)
    kept = (_with_edit(data, child, media_time) for child in children if child.kind not in _DROPPED)
    return _box(box.kind, data[box.body : box.body + fixed], *kept)


def fragment_header(sequence: int, decode_time: int, samples: Sequence[Sample]) -> bytes:
    """One moof and the header of its mdat; the samples' bytes follow it, in order.

    The first sample of a fragment is its only sync sample or all are: one group of pictures, or sound.
    """
    all_sync = all(sample.is_sync for sample in samples)
    flags = _TRUN_DATA_OFFSET | _TRUN_DURATION | _TRUN_SIZE
    default_flags = _SYNC_SAMPLE
    rows = [struct.pack(">II", sample.duration, sample.size) for sample in samples]
    first_flags = b""
    if not all_sync:
        flags |= _TRUN_FIRST_FLAGS
        default_flags = _OTHER_SAMPLE
        first_flags = struct.pack(">I", _SYNC_SAMPLE if samples[0].is_sync else _OTHER_SAMPLE)
    if any(sample.composition_offset for sample in samples):
        flags |= _TRUN_OFFSET
        rows = [row + struct.pack(">I", sample.composition_offset) for row, sample in zip(rows, samples, strict=True)]
    payload = sum(sample.size for sample in samples)
    track_header = _box(
        b"tfhd", struct.pack(">III", _DEFAULT_BASE_IS_MOOF | _DEFAULT_FLAGS_PRESENT, TRACK_ID, default_flags)
    )
    time = _box(b"tfdt", struct.pack(">IQ", 0x01000000, decode_time))
    sequence_header = _box(b"mfhd", struct.pack(">II", 0, sequence))

    def moof(data_offset: int) -> bytes:
        run = _box(b"trun", struct.pack(">IIi", flags, len(samples), data_offset), first_flags, *rows)
        return _box(b"moof", sequence_header, _box(b"traf", track_header, time, run))

    header_bytes = len(moof(0)) + 8
    return moof(header_bytes) + struct.pack(">I4s", 8 + payload, b"mdat")


def read_fragments(data: bytes) -> list[Fragment]:
    """Every fragment of a media segment. Raises `BrokenBox` for anything but styp, then moof and mdat in turn."""
    level = list(boxes(data))
    if not level or level[0].kind != b"styp":
        raise BrokenBox("a segment starts with styp")
    rest = level[1:]
    if not rest or len(rest) % 2:
        raise BrokenBox("a segment is pairs of moof and mdat")
    return [_fragment(data, moof, mdat) for moof, mdat in zip(rest[::2], rest[1::2], strict=True)]


def _fragment(data: bytes, moof: Box, mdat: Box) -> Fragment:
    if moof.kind != b"moof" or mdat.kind != b"mdat":
        raise BrokenBox(f"{moof.kind!r} and {mdat.kind!r} where moof and mdat belong")
    (sequence,) = struct.unpack_from(">I", data, require(data, "mfhd", moof.body, moof.end).body + 4)
    traf = require(data, "traf", moof.body, moof.end)
    header = require(data, "tfhd", traf.body, traf.end)
    header_flags, _, default_flags = struct.unpack_from(">III", data, header.body)
    if header_flags != _DEFAULT_BASE_IS_MOOF | _DEFAULT_FLAGS_PRESENT:
        raise BrokenBox(f"tfhd has flags {header_flags:#x}")
    time = require(data, "tfdt", traf.body, traf.end)
    version, decode_time = struct.unpack_from(">IQ", data, time.body)
    if version != 0x01000000:
        raise BrokenBox("tfdt is not version 1")
    run = require(data, "trun", traf.body, traf.end)
    data_offset, samples = _run(data, run, default_flags)
    payload = sum(sample.size for sample in samples)
    if moof.offset + data_offset != mdat.body or payload != mdat.end - mdat.body:
        raise BrokenBox(f"trun describes {payload} bytes at {data_offset}, mdat holds {mdat.end - mdat.body}")
    return Fragment(moof.offset, moof.size + mdat.size, sequence, decode_time, mdat.body, samples)


def _run(data: bytes, run: Box, default_flags: int) -> tuple[int, tuple[Sample, ...]]:
    flags, count, data_offset = struct.unpack_from(">IIi", data, run.body)
    needed = _TRUN_DATA_OFFSET | _TRUN_DURATION | _TRUN_SIZE
    if flags & needed != needed or flags & _TRUN_FLAGS or flags >> 24:
        raise BrokenBox(f"trun has flags {flags:#x}")
    cursor = run.body + 12
    first_flags = default_flags
    if flags & _TRUN_FIRST_FLAGS:
        (first_flags,) = struct.unpack_from(">I", data, cursor)
        cursor += 4
    row = struct.Struct(">III" if flags & _TRUN_OFFSET else ">II")
    if cursor + count * row.size != run.end:
        raise BrokenBox("trun is not as long as its samples")
    samples = []
    for index in range(count):
        duration, size, *offset = row.unpack_from(data, cursor + index * row.size)
        sample_flags = default_flags if index else first_flags
        is_sync = not sample_flags & 0x00010000
        samples.append(Sample(size, duration, offset[0] if offset else 0, is_sync))
    return data_offset, tuple(samples)


def read_track(init: bytes) -> Track:
    """What an initialization segment says of its track. Raises `BrokenBox`."""
    mdia = require(init, "moov/trak/mdia")
    mdhd = require(init, "mdhd", mdia.body, mdia.end)
    (timescale,) = struct.unpack_from(">I", init, mdhd.body + (20 if init[mdhd.body] == 1 else 12))
    elst = find(init, "moov/trak/edts/elst")
    media_time = struct.unpack_from(">i", init, elst.body + 12)[0] if elst else 0
    stsd = require(init, "minf/stbl/stsd", mdia.body, mdia.end)
    entry = next(boxes(init, stsd.body + 8, stsd.end))
    if entry.kind == b"avc1":
        width, height = struct.unpack_from(">HH", init, entry.body + 24)
        config = require(init, "avcC", entry.body + _VISUAL_ENTRY_BYTES, entry.end)
        record = bytes(init[config.body : config.end])
        return Track(timescale, media_time, f"avc1.{record[1:4].hex()}", width, height, 0, 0, record)
    if entry.kind == b"mp4a":
        (channels,) = struct.unpack_from(">H", init, entry.body + 16)
        (rate,) = struct.unpack_from(">I", init, entry.body + 24)
        codecs, specific = _aac_configuration(init, entry)
        return Track(timescale, media_time, codecs, 0, 0, channels, rate >> 16, specific)
    raise BrokenBox(f"a sample entry {entry.kind!r} is neither AVC nor AAC")


def _aac_configuration(init: bytes, entry: Box) -> tuple[str, bytes]:
    """The codecs string and the specific configuration, read from the descriptors of esds.

    RFC 6381 section 3.3: object type indication and audio object type.
    """
    esds = require(init, "esds", entry.body + _AUDIO_ENTRY_BYTES, entry.end)
    descriptors = _descriptors(init, esds.body + 4, esds.end)
    decoder, specific = descriptors.get(4, b""), descriptors.get(5, b"")
    if not decoder or not specific:
        raise BrokenBox("esds has no decoder configuration")
    object_type = specific[0] >> 3
    if object_type == 31:  # escape: six more bits (ISO/IEC 14496-3 1.6.2.1)
        object_type = 32 + (((specific[0] & 7) << 3) | (specific[1] >> 5))
    return f"mp4a.{decoder[0]:02x}.{object_type}", specific


def _descriptors(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """The descriptors of ISO/IEC 14496-1 by tag, those that hold others (3, 4) opened."""
    found: dict[int, bytes] = {}
    cursor = start
    while cursor < end:
        tag = data[cursor]
        cursor += 1
        length = 0
        while cursor < end:
            byte = data[cursor]
            cursor += 1
            length = length << 7 | byte & 0x7F
            if not byte & 0x80:
                break
        found[tag] = data[cursor : cursor + length]
        cursor += {3: 3, 4: 13}.get(tag, length)
    return found
