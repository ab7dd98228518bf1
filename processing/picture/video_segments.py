"""Encoded chunks of a rung become its media segments, one segment a chunk, every time exact.

Belongs here: decode times written anew, groups of pictures as fragments, the files of one rung. Does not belong here:
boxes (fmp4), encoding, playlists.

Presentation times are the source's. Decode times are the sorted presentation times less one constant S for the whole
source: x264's own overlap from chunk to chunk when the frame rate varies. With an edit list of S and `tfdt` = decode
time + S, `tfdt` of a segment is its presentation time, nothing is negative, and holes stay holes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from processing.failures import ContractBroken
from processing.picture import fmp4
from processing.picture.segments import INIT_NAME, KeyFrame, PackagedTrack, Segment, segment_name
from processing.probe.opening import open_media


@dataclass(frozen=True, slots=True)
class _Packet:
    pts: int
    is_key: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class ChunkScan:
    """What the first reading of a chunk keeps: first presentation time, frames, reorder delay, where the keys are."""

    path: Path
    start: int
    frames: int
    last: int
    reorder_delay: int
    keys: tuple[int, ...]


def scan_chunk(path: Path) -> ChunkScan | None:
    """Read the packet times of one chunk; None for a chunk without pictures. Raises `ContractBroken`."""
    times: list[int] = []
    keys: list[int] = []
    for packet in _packets(path):
        if not times and not packet.is_key:
            raise ContractBroken(f"{path.parent.name}: a chunk does not start with a key frame")
        times.append(packet.pts)
        if packet.is_key:
            keys.append(packet.pts)
    if not times:
        return None
    in_order = sorted(times)
    delay = max(at - pts for at, pts in zip(in_order, times, strict=True))
    return ChunkScan(path, in_order[0], len(times), in_order[-1], delay, tuple(keys))


def require_aligned(rungs: Mapping[int, Sequence[ChunkScan]]) -> None:
    """Raise `ContractBroken` unless every rung has the same chunks with the same frames and key frames."""
    first, *others = rungs.values()
    grid = [(scan.start, scan.last, scan.frames, scan.keys) for scan in first]
    for height, scans in zip(list(rungs)[1:], others, strict=True):
        if [(scan.start, scan.last, scan.frames, scan.keys) for scan in scans] != grid:
            raise ContractBroken(f"the chunks of rung {height} do not line up with those of rung {next(iter(rungs))}")


def package_rung(
    folder: Path, name: str, scans: Sequence[ChunkScan], *, timescale: int, end: int, reorder_delay: int
) -> PackagedTrack:
    """Write init.mp4 and one segment a chunk into `folder`, and say what is there.

    `name` is the folder's place in the artifact. `end` (ticks) is where the last frame's time ends; `reorder_delay`
    the constant S, the same for all rungs. One chunk is held in memory at a time. Raises `ContractBroken` when the
    chunks were encoded with different parameters.
    """
    folder.mkdir(parents=True)
    ends = [scan.start for scan in scans[1:]] + [max(end, scans[-1].last + 1)]
    init = b""
    segments: list[Segment] = []
    key_frames: list[KeyFrame] = []
    pieces: list[tuple[int, int]] = []
    sequence = 1
    for index, (scan, chunk_end) in enumerate(zip(scans, ends, strict=True)):
        chunk_init = _init_of(scan.path, timescale, reorder_delay)
        if init and chunk_init != init:
            raise ContractBroken(f"{name}: chunk {index} was encoded with other parameters than chunk 0")
        init = chunk_init
        with (folder / segment_name(index)).open("wb") as file:
            size = file.write(fmp4.SEGMENT_TYPE)
            for group, samples, start in _groups(scan.path, chunk_end, reorder_delay):
                header = fmp4.fragment_header(sequence, start, samples)
                sequence += 1
                key_frames.append(
                    KeyFrame(index, size, len(header) + samples[0].size, start, sum(s.duration for s in samples))
                )
                at, extra = start, len(header)
                for sample in samples:
                    pieces.append((at, sample.size + extra))
                    at, extra = at + sample.duration, 0
                size += file.write(header)
                size += sum(file.write(packet.data) for packet in group)
        segments.append(Segment(scan.start, chunk_end - scan.start, size))
    (folder / INIT_NAME).write_bytes(init)
    track = fmp4.read_track(init)
    return PackagedTrack(
        folder=name,
        timescale=track.timescale,
        codecs=track.codecs,
        segments=tuple(segments),
        key_frames=tuple(key_frames),
        pieces=tuple(pieces),
        samples=sum(scan.frames for scan in scans),
        width=track.width,
        height=track.height,
    )


def _packets(path: Path) -> Iterator[_Packet]:
    with open_media(path) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and packet.pts is not None:
                yield _Packet(packet.pts, packet.is_keyframe, bytes(packet))


def _init_of(path: Path, timescale: int, reorder_delay: int) -> bytes:
    with open_media(path) as container:
        stream = container.streams.video[0]
        if stream.time_base is None or stream.time_base.denominator != timescale * stream.time_base.numerator:
            raise ContractBroken(f"a chunk has the time base {stream.time_base}, not 1/{timescale}")
        return fmp4.init_segment(stream, timescale, reorder_delay)


def _groups(path: Path, end: int, reorder_delay: int) -> Iterator[tuple[list[_Packet], list[fmp4.Sample], int]]:
    """The closed groups of pictures of a chunk: packets, their samples, and the group's start in ticks."""
    packets = list(_packets(path))
    times = sorted(packet.pts for packet in packets)
    decode_times = [*times, end]
    keys = [index for index, packet in enumerate(packets) if packet.is_key]
    for first, last in zip(keys, [*keys[1:], len(packets)], strict=True):
        samples = [
            fmp4.Sample(
                size=len(packets[index].data),
                duration=decode_times[index + 1] - decode_times[index],
                composition_offset=packets[index].pts - decode_times[index] + reorder_delay,
                is_sync=index == first,
            )
            for index in range(first, last)
        ]
        yield packets[first:last], samples, decode_times[first]
