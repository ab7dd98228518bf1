"""The rules that captions are set by, and what their operation is told. Pure, no media library.

Belongs here: the rules as named constants with their source, names of files, parameters. Does not belong here: setting
captions (captions) or judging them (contracts/captions).

Source: Netflix Timed Text Style Guide, General Requirements (lines, durations, gaps, shot changes) and its language
guides (characters a second and a line). Frames are those of the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from processing.timeline import from_rational, rational
from processing.words import transcript_plan
from processing.words.transcript_plan import primary

CODE_VERSION = "1"  # raised when the same transcript would give other cues
ASSET = "captions"

LINES = 2  # General Requirements, "Line Treatment": two lines at most
LINE_LENGTH = 42  # characters; English and most languages in Latin letters
MIN_MS = 833  # "Duration": 5/6 of a second an event at least
MAX_MS = 7000  # "Duration": 7 seconds an event at most
GAP_FRAMES = 2  # "Frame Gap": two frames between events at least
SNAP_FRAMES = 7  # "Timing to Shot Changes": what begins or ends nearer to one than this is put on it
HALF_SECOND_FRAMES = 12  # "Timing to Shot Changes": what crosses one shows for half a second on either side
SPEED = 17  # characters a second: what adults read in most languages...
SPEEDS = {"en": 20, "ja": 4, "ko": 12, "zh": 9, "yue": 9}  # ...and where the language guides differ
LINE_LENGTHS = {"ja": 13, "ko": 16, "zh": 16, "yue": 16}
LEAD_MS = 250  # a cue may begin so much before its words where its time is short: hardly anybody sees it
LINGER_MS = 500  # and may count on staying so long after them, where nothing follows
PAUSE_MS = 1500  # a silence that no cue spans
SOUND_FRAME_MS = 40  # of sources without a picture: a frame of 25 a second


def applies(info: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """None where there is a transcript to be set, else why not."""
    return transcript_plan.applies(info, options)


def parameters(info: Mapping[str, Any], _options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines captions besides transcript and shots: the media's length, the length of a frame."""
    video = info.get("video")
    rate = from_rational(video["frame_rate"]) if video else Fraction(0)
    frame_s = 1 / rate if rate > 0 else Fraction(SOUND_FRAME_MS, 1000)
    return {"duration": info["duration"], "frame": rational(frame_s)}


def line_length(language: str | None) -> int:
    """Characters a line may have."""
    return LINE_LENGTHS.get(primary(language or ""), LINE_LENGTH)


def speed(language: str | None) -> int:
    """Characters a second that can be read."""
    return SPEEDS.get(primary(language or ""), SPEED)


def frames_ms(told: Mapping[str, Any], count: int) -> int:
    """How long `count` frames are, in whole milliseconds, rounded up; a frame counts as a twenty-fifth at most."""
    frame_s = min(from_rational(told["frame"]), Fraction(SOUND_FRAME_MS, 1000))
    length = frame_s * count * 1000
    return -(-length.numerator // length.denominator)


def file_name(track: int) -> str:
    """The WebVTT file of a track."""
    return f"captions-{track}.vtt"


def srt_name(track: int) -> str:
    """The SRT file of a track."""
    return f"captions-{track}.srt"


def playlist_name(track: int) -> str:
    """The HLS media playlist over the WebVTT file."""
    return f"captions-{track}.m3u8"
