"""What is known of a packaged track: its segments, its key frames, its rates.

Belongs here: the data that cutting produces and that playlists, the DASH manifest and facts are written from. Does not
belong here: how segments are cut (video_segments, audio_segments) or how any text is written (playlists, dash).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from processing.picture.rates import average_bps, peak_segment_bps, peak_window_bps

INIT_NAME = "init.mp4"


def segment_name(index: int) -> str:
    """The file name of segment `index`; five digits hold 99,999 segments, a week of six-second ones."""
    return f"{index:05d}.m4s"


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """One key frame as an I-frame playlist names it.

    `offset` and `length` in bytes of the segment cover the fragment's header and its first sample; `start` and
    `duration` (until the next key frame) in ticks.
    """

    segment: int
    offset: int
    length: int
    start: int
    duration: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One media segment: when it starts and how long it lasts on the output timeline (ticks), and its bytes."""

    start: int
    duration: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PackagedTrack:
    """One rung or one audio track after packaging; `folder` is relative to the artifact ("video/720").

    `pieces` are (decode time, bytes) of every sample, headers counted with the sample they come before. `samples` is
    the number of pictures or AAC packets. `width`, `height` are 0 for sound, `channels` 0 for pictures.
    """

    folder: str
    timescale: int
    codecs: str
    segments: tuple[Segment, ...]
    key_frames: tuple[KeyFrame, ...]
    pieces: tuple[tuple[int, int], ...]
    samples: int
    width: int = 0
    height: int = 0
    channels: int = 0

    @property
    def start(self) -> int:
        """Presentation time of the first segment in ticks."""
        return self.segments[0].start

    @property
    def end(self) -> int:
        """Presentation time at which the last segment ends, in ticks."""
        return self.segments[-1].start + self.segments[-1].duration

    @property
    def bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.bytes for segment in self.segments)

    @property
    def duration_s(self) -> Fraction:
        """Seconds that the segments last together."""
        return Fraction(self.end - self.start, self.timescale)

    @property
    def average_bps(self) -> int:
        """Bits a second over the whole track."""
        return average_bps(self.bytes, self.duration_s)

    def peak_bps(self, target_s: int) -> int:
        """The larger of the peak over segments and the peak over two-second windows, bits a second."""
        by_segment = [(Fraction(segment.duration, self.timescale), segment.bytes) for segment in self.segments]
        return max(peak_segment_bps(by_segment, target_s), peak_window_bps(self.pieces, self.timescale))


def target_duration_s(tracks: list[PackagedTrack]) -> int:
    """The one EXT-X-TARGETDURATION of all playlists: the longest segment rounded to whole seconds, at least 1."""
    longest = max(Fraction(segment.duration, track.timescale) for track in tracks for segment in track.segments)
    return max(1, int(longest + Fraction(1, 2)))
