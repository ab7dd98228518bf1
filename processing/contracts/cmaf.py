"""What must hold of one packaged track: its boxes agree with each other, and every segment decodes from its start.

Belongs here: reading an init segment and its media segments back, from the files alone, and decoding them through
libavformat, which knows nothing of how they were written. Does not belong here: playlists and the DASH manifest (hls).

Of pictures the key frames are decoded: all others are, byte for byte, packets that decoded when their chunk was judged
(chunks), which is for the contract of the whole to find out (hls).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from processing.contracts.payloads import Carried
from processing.failures import WorkFailure
from processing.picture import fmp4
from processing.probe.opening import decode_strictly, open_media

Thumb = npt.NDArray[np.uint8]
THUMB_SIZE = (32, 18)  # enough to tell one picture from another, nothing to hold: 576 bytes
BLACK_BELOW = 20  # of 255 in the brightest cell of a thumbnail; limited-range black is 16
SAME_WITHIN = 0.1  # mean difference of luma below which two pictures of one track are the same


@dataclass(slots=True)
class SegmentFound:
    """One media segment as its boxes tell it: ticks of the track, bytes, where each fragment's key sample lies."""

    name: str
    start: int
    duration: int
    bytes: int
    samples: int
    first_is_sync: bool
    key_ranges: list[tuple[int, int]]
    key_starts: list[int]


@dataclass(slots=True)
class TrackFound:
    """One rung or audio track as its files tell it; `troubles` are sentences by clause.

    `carried` are its samples as the boxes present them, in decoding order. `heard` counts samples of sound.
    """

    folder: str
    track: fmp4.Track | None = None
    segments: list[SegmentFound] = field(default_factory=list)
    pieces: list[tuple[int, int]] = field(default_factory=list)
    carried: Carried = field(default_factory=lambda: Carried(1))
    troubles: dict[str, list[str]] = field(default_factory=dict)
    heard: int = 0
    thumbs: dict[int, Thumb] = field(default_factory=dict)

    def trouble(self, clause: str, sentence: str) -> None:
        """Note what breaks a clause."""
        self.troubles.setdefault(clause, []).append(f"{self.folder}: {sentence}")

    @property
    def samples(self) -> int:
        """Samples that the boxes describe."""
        return sum(segment.samples for segment in self.segments)

    @property
    def bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.bytes for segment in self.segments)

    @property
    def start_s(self) -> Fraction:
        """When the first sample is presented, in seconds; never before 0, where players cut."""
        return max(Fraction(0), self._presented(self.segments[0].start))

    @property
    def end_s(self) -> Fraction:
        """When the last sample ends, in seconds."""
        last = self.segments[-1]
        return self._presented(last.start + last.duration)

    def _presented(self, ticks: int) -> Fraction:
        """Sound's edit list takes the priming off; a picture's takes off what composition offsets have put on."""
        if self.track is None:
            raise ValueError("the init segment was not read")
        shift = self.track.media_time if self.track.rate_hz else 0
        return Fraction(ticks - shift, self.track.timescale)

    def bounds_s(self) -> list[Fraction]:
        """Where each segment starts, and where the last one ends, in seconds."""
        starts = [max(Fraction(0), self._presented(segment.start)) for segment in self.segments]
        return [*starts, self.end_s]


def read_track(root: Path, folder: str, names: Sequence[str], init: str, scratch: Path) -> TrackFound:
    """Read and decode one track of an artifact: `names` are its segments in playlist order, relative to `folder`.

    Pictures are decoded segment by segment, each behind the init segment, so that every one has to start by itself;
    sound is decoded as a whole, because AAC leans on the packet before. One segment is held in memory at a time.
    """
    found = TrackFound(folder)
    try:
        init_bytes = (root / folder / init).read_bytes()
        found.track = fmp4.read_track(init_bytes)
    except (OSError, fmp4.BrokenBox, StopIteration, IndexError, ValueError) as error:
        found.trouble("init segments", f"{init} cannot be read ({error})")
        return found
    found.carried = Carried(found.track.timescale, {found.track.configuration})
    is_sound = bool(found.track.rate_hz)
    joined = scratch / "track.mp4"
    scratch.mkdir(parents=True, exist_ok=True)
    joined.write_bytes(init_bytes)
    for name in names:
        segment = _read_segment(found, root / folder / name)
        if is_sound:
            with joined.open("ab") as whole, (root / folder / name).open("rb") as part:
                shutil.copyfileobj(part, whole)
        elif segment is not None:
            joined.write_bytes(init_bytes + (root / folder / name).read_bytes())
            _decode_pictures(found, joined, segment)
    if is_sound and found.segments:
        _decode_sound(found, joined)
    joined.unlink()
    _require_continuous(found)
    return found


def _read_segment(found: TrackFound, path: Path) -> SegmentFound | None:
    try:
        data = path.read_bytes()
        fragments = fmp4.read_fragments(data)
    except (OSError, fmp4.BrokenBox, ValueError) as error:
        found.trouble("segments whole", f"{path.name} cannot be read ({error})")
        return None
    segment = _summary(path.name, data, fragments, found)
    found.segments.append(segment)
    if not segment.first_is_sync:
        found.trouble("starts with a key frame", f"{path.name} does not")
    return segment


def _summary(name: str, data: bytes, fragments: Sequence[fmp4.Fragment], found: TrackFound) -> SegmentFound:
    media_time = found.track.media_time if found.track else 0
    view = memoryview(data)
    segment = SegmentFound(
        name=name,
        start=fragments[0].decode_time,
        duration=sum(fragment.duration for fragment in fragments),
        bytes=len(data),
        samples=sum(len(fragment.samples) for fragment in fragments),
        first_is_sync=_is_key(data, fragments[0], found),
        key_ranges=[],
        key_starts=[],
    )
    expected = segment.start
    for fragment in fragments:
        if fragment.decode_time != expected:
            found.trouble("times continuous", f"{name}: a fragment at {fragment.decode_time}, not {expected}")
        expected = at = fragment.decode_time
        extra = fragment.data_offset - fragment.offset
        cursor = fragment.data_offset
        if fragment.samples[0].is_sync:
            segment.key_ranges.append((extra + fragment.samples[0].size, fragment.offset))
            segment.key_starts.append(at + fragment.samples[0].composition_offset - media_time)
        for sample in fragment.samples:
            shown_at = at + sample.composition_offset - media_time
            found.carried.add(view[cursor : cursor + sample.size], shown_at)
            cursor += sample.size
            found.pieces.append((at, sample.size + extra))
            at, extra = at + sample.duration, 0
        expected = at
    return segment


def _is_key(data: bytes, fragment: fmp4.Fragment, found: TrackFound) -> bool:
    """Whether a fragment's first sample is marked sync and, for pictures, really holds an IDR slice.

    Rec. ITU-T H.264 table 7-1: the first slice of an IDR picture has nal_unit_type 5, of any other 1 to 4.
    """
    sample = fragment.samples[0]
    if not sample.is_sync or (found.track and found.track.rate_hz):
        return sample.is_sync
    cursor = fragment.data_offset
    end = cursor + sample.size
    while cursor + 5 <= end:
        kind = data[cursor + 4] & 0x1F
        if 1 <= kind <= 5:
            return kind == 5
        cursor += 4 + int.from_bytes(data[cursor : cursor + 4], "big")
    return False


def _require_continuous(found: TrackFound) -> None:
    """Each segment starts at the tick where the one before it ends, and nothing lasts no time."""
    for before, after in zip(found.segments, found.segments[1:], strict=False):
        if after.start != before.start + before.duration:
            found.trouble("times continuous", f"{after.name} is at {after.start}, not {before.start + before.duration}")
    if any(segment.duration <= 0 for segment in found.segments):
        found.trouble("times continuous", "a segment has no length")


def _decode_pictures(found: TrackFound, path: Path, segment: SegmentFound) -> None:
    """Decode the key frames of one segment: each is there, of the rung's size, shown when the boxes say."""
    track = found.track
    if track is None:
        return
    shown: list[int] = []
    try:
        with open_media(path) as container:
            stream = container.streams.video[0]
            decode_strictly(stream)
            stream.codec_context.skip_frame = "NONKEY"
            for frame in container.decode(stream):
                if frame.is_corrupt or frame.pts is None or (frame.width, frame.height) != (track.width, track.height):
                    found.trouble("decodes", f"{segment.name}: a frame is damaged or {frame.width}x{frame.height}")
                    return
                shown.append(frame.pts)
                found.thumbs[frame.pts] = _thumb(frame)
    except (WorkFailure, av.error.FFmpegError, IndexError, ValueError) as error:
        found.trouble("decodes", f"{segment.name} does not decode ({type(error).__name__})")
        return
    if len(shown) != len(segment.key_starts):
        found.trouble("decodes", f"{segment.name}: {len(shown)} key frames of {len(segment.key_starts)}")
    elif shown != segment.key_starts:
        found.trouble("times continuous", f"{segment.name}: decoded times are not those of its boxes")


def _decode_sound(found: TrackFound, path: Path) -> None:
    """Decode a whole track: `heard` becomes the number of samples, the priming not counted."""
    if found.track is None:
        return
    loudest = 0.0
    try:
        with open_media(path) as container:
            stream = container.streams.audio[0]
            decode_strictly(stream)
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    found.trouble("decodes", "a packet is damaged")
                    return
                found.heard += frame.samples
                loudest = max(loudest, float(np.abs(frame.to_ndarray()).max(initial=0.0)))
    except (WorkFailure, av.error.FFmpegError, IndexError, ValueError) as error:
        found.trouble("decodes", f"the track does not decode ({type(error).__name__})")
        return
    expected = found.segments[-1].start + found.segments[-1].duration - found.track.media_time
    packet = 1024
    if abs(found.heard - expected) > 2 * packet:
        found.trouble("decodes", f"{found.heard} samples where the boxes promise {expected}")


def _thumb(frame: av.VideoFrame) -> Thumb:
    small = frame.reformat(width=THUMB_SIZE[0], height=THUMB_SIZE[1], format="gray", threads=1)
    return small.to_ndarray().astype(np.uint8)


def is_vacuous(found: TrackFound) -> str:
    """Why the pictures of a rung show nothing, or an empty text: all black, or one and the same."""
    thumbs = list(found.thumbs.values())
    if not thumbs:
        return ""
    if all(int(thumb.max()) < BLACK_BELOW for thumb in thumbs):
        return "every picture looked at is black"
    differences = [_difference(thumb, thumbs[0]) for thumb in thumbs[1:]]
    if differences and max(differences) < SAME_WITHIN:
        return "all pictures looked at are the same"
    return ""


def largest_difference(one: TrackFound, other: TrackFound) -> tuple[float, int]:
    """The largest mean difference of luma (0 to 255) of two rungs at one instant, and that instant in ticks."""
    shared = one.thumbs.keys() & other.thumbs.keys()
    return max(((_difference(one.thumbs[at], other.thumbs[at]), at) for at in shared), default=(0.0, 0))


def _difference(one: Thumb, other: Thumb) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())
