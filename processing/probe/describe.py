"""The facts of one stream as JSON, in the vocabulary every derivative reads.

Belongs here: turning what was scanned and sampled into facts. Does not belong here: choosing streams (media_info) or
looking at packets and frames (packets, samples).
"""

from __future__ import annotations

from array import array
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from processing.chunks.grid import NO_TIME, KeyFrames, grid
from processing.picture import color, geometry
from processing.probe.language import bcp47
from processing.probe.packets import Scan, Timing, Track, measure, sound_end
from processing.probe.samples import StreamSample
from processing.probe.splices import entry_positions
from processing.timeline import media_timescale, rational

TEXT_CODECS = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text", "microdvd", "ttml", "eia_608"})
TAGS = ("artist", "album", "comment", "description", "copyright", "date", "genre", "encoder", "location")
TAG_LENGTH = 200  # characters; a description may hold a whole letter, and facts are read by everything
MAX_CHAPTERS = 1000
FIELD_ORDERS = {
    2: "tff",
    3: "bff",
    4: "tff",
    5: "bff",
}  # AVFieldOrder; 4 and 5 name the first stored, as QuickTime does


def codec_name(stream: Any) -> str:
    """The codec's canonical name, whichever decoder is used, or "unknown"."""
    context = getattr(stream, "codec_context", None)
    if context is None:
        return "unknown"
    return str(getattr(context.codec, "canonical_name", None) or context.name)


def has_decoder(stream: Any) -> bool:
    """Whether this build can decode the stream at all."""
    return getattr(stream, "codec_context", None) is not None


def is_attached(stream: Any) -> bool:
    """Whether the container marks a picture as belonging to the whole file, as cover art does."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def is_default(stream: Any) -> bool:
    """Whether the container marks the stream as the one to present."""
    return bool(stream.disposition & Disposition.default)


def container_format(container: InputContainer) -> dict[str, Any]:
    """Name, title, creation time and a few short tags of the file."""
    tags = {key.lower(): str(value) for key, value in container.metadata.items()}
    return {
        "name": container.format.name,
        "long_name": container.format.long_name,
        "title": _short(tags.get("title")),
        "creation_time": _short(tags.get("creation_time")),
        "tags": {name: _short(tags[name]) for name in TAGS if tags.get(name)},
    }


def _short(text: str | None) -> str | None:
    if text is None:
        return None
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:TAG_LENGTH] or None


def video(stream: Any, scan: Scan, samples: dict[int, StreamSample], origin: Fraction, target_s: int) -> dict[str, Any]:
    """The facts of the moving picture, chunks included; times are ticks on the output timeline."""
    track, sample = scan.tracks[stream.index], samples[stream.index]
    base = Fraction(stream.time_base)
    declared_end = _declared_end(stream, track)
    timing = measure(track, base, stream.guessed_rate or stream.average_rate, sample.first_pts, declared_end)
    timescale = media_timescale(base)
    clock = _Ticks(base, origin, timescale)
    times = clock.column(timing.times)
    start, end = times[0], max(clock.tick(timing.end), times[-1] + 1)
    orientation = geometry.from_display_matrix(sample.matrix or b"")
    width, height = sample.size or (stream.width, stream.height)
    aspect = geometry.usable_aspect(stream.sample_aspect_ratio)
    shown_width, shown_height = geometry.display_size(width, height, aspect, orientation)
    pixel_format = sample.pixel_format or stream.pix_fmt or "unknown"
    depth, alpha = _depth_and_alpha(pixel_format)
    described = color.names(*_color_numbers(stream, sample, pixel_format))
    return {
        "stream_index": stream.index,
        "codec": codec_name(stream),
        "profile": stream.profile,
        "width": width,
        "height": height,
        "display_width": shown_width,
        "display_height": shown_height,
        "rotation_degrees": orientation.rotation_degrees,
        "mirrored": orientation.mirrored,
        "sample_aspect": rational(aspect),
        "pixel_format": pixel_format,
        "bit_depth": depth,
        "alpha": alpha or stream.metadata.get("alpha_mode") == "1",
        "time_base": rational(base),
        "timescale": timescale,
        "frame_rate": rational(timing.rate),
        "frame_rate_kind": "constant" if timing.constant else "variable",
        "frame_count": len(timing.times),
        "timestamps": "counted" if timing.counted else "source",
        "longest_gap": int(timing.longest_gap * base * timescale),
        "start": start,
        "end": end,
        "interlaced": _scan_kind(stream, sample),
        "field_evidence": dict(sorted(sample.weave.items())),
        "color": described,
        "hdr": color.hdr_of(described["transfer"]),
        "bit_rate": stream.bit_rate or _bit_rate(track, Fraction(end - start, timescale)),
        "chunks": grid(start, end, timescale, _key_frames(track, timing, clock), times, target_s),
    }


def _declared_end(stream: Any, track: Track) -> int | None:
    """Where the container says the track ends, in its time base; a lone picture lasts as long as the file."""
    if stream.duration:
        return int((stream.start_time or 0) + stream.duration)
    if track.shown == 1 and stream.container.duration:
        return int(Fraction(stream.container.duration, 1_000_000) / stream.time_base)
    return None


class _Ticks:
    """Stream time to ticks of the output timeline, rounded as `timeline.to_ticks` does, for whole columns."""

    def __init__(self, base: Fraction, origin: Fraction, timescale: int) -> None:
        step, shift = base * timescale, origin * timescale
        self._denominator = shift.denominator
        self._factor = int(step) * shift.denominator
        self._shift = shift.numerator

    def tick(self, time: int) -> int:
        """One time."""
        scaled = time * self._factor - self._shift
        magnitude = (2 * abs(scaled) + self._denominator) // (2 * self._denominator)
        return magnitude if scaled >= 0 else -magnitude

    def column(self, times: array[int]) -> array[int]:
        """Many times."""
        return array("q", map(self.tick, times))


def _key_frames(track: Track, timing: Timing, clock: _Ticks) -> KeyFrames:
    """Key frames in presentation order. Without times in the container everything is decoded from the start."""
    if timing.counted or not len(track.key_pts):
        return KeyFrames.none()
    pts, dts = np.frombuffer(track.key_pts, np.int64), np.frombuffer(track.key_dts, np.int64)
    known = np.flatnonzero(pts != NO_TIME)
    order = known[np.argsort(pts[known], kind="stable")]
    sorted_pts = array("q", pts[order].tolist())
    positions = entry_positions(track.key_position)[order].tolist() if track.key_position else ()
    return KeyFrames(clock.column(sorted_pts), sorted_pts, array("q", dts[order].tolist()), positions)


def _depth_and_alpha(pixel_format: str) -> tuple[int, bool]:
    try:
        layout = av.VideoFormat(pixel_format)
    except ValueError:
        return 8, False
    components = [component for component in layout.components if not component.is_alpha]
    depth = max((component.bits for component in components), default=8)
    return depth, any(component.is_alpha for component in layout.components)


def _color_numbers(stream: Any, sample: StreamSample, pixel_format: str) -> tuple[int, int, int, int]:
    """Primaries, transfer, matrix, range: of the frame, or where it says nothing, of the container."""
    framed = sample.color or (2, 2, 2, 0)
    headed = (stream.color_primaries, stream.color_trc, stream.colorspace, stream.color_range)
    unsaid = (2, 2, 2, 0)
    primaries, transfer, matrix, range_ = (
        mine if mine not in (empty, 0) or (position == 2 and mine == 0) else theirs
        for position, (mine, theirs, empty) in enumerate(zip(framed, headed, unsaid, strict=True))
    )
    if range_ == 0 and pixel_format.startswith("yuvj"):
        range_ = 2
    return primaries, transfer, matrix, range_


def _scan_kind(stream: Any, sample: StreamSample) -> str:
    """Progressive, tff, bff or mixed: the pictures' own marks first; where only the header speaks, their look."""
    if sample.interlaced:
        if sample.interlaced < sample.frames:
            return "mixed"
        return "tff" if 2 * sample.top_first >= sample.frames else "bff"
    declared = FIELD_ORDERS.get(getattr(stream.codec_context, "field_order", 0))
    if declared and sample.weave.get("tff", 0) + sample.weave.get("bff", 0) > sample.weave.get("progressive", 0):
        return "tff" if sample.weave.get("tff", 0) >= sample.weave.get("bff", 0) else "bff"
    return "progressive"


def _bit_rate(track: Track, length_s: Fraction) -> int | None:
    return int(track.bytes * 8 / length_s) if length_s > 0 else None


def audio(stream: Any, scan: Scan, samples: dict[int, StreamSample], origin: Fraction) -> dict[str, Any]:
    """The facts of one sound track; start and duration are exact seconds on the output timeline."""
    track, sample = scan.tracks[stream.index], samples[stream.index]
    base, rate_hz = Fraction(stream.time_base), sample.rate_hz or stream.rate
    first = (sample.first_pts or 0) * base
    end = sound_end(track, base, rate_hz)
    length = end - first if end is not None and end > first else Fraction(track.shown * 1024, rate_hz)
    return {
        "stream_index": stream.index,
        "codec": codec_name(stream),
        "profile": stream.profile,
        "channels": sample.channels or stream.channels,
        "layout": sample.layout or stream.layout.name,
        "rate_hz": rate_hz,
        "sample_format": sample.sample_format or stream.format.name,
        "language": bcp47(stream.metadata.get("language")),
        "title": _title(stream),
        "default": is_default(stream),
        "start": rational(max(Fraction(0), first - origin)),
        "duration": rational(length),
        "bit_rate": stream.bit_rate or _bit_rate(track, length),
    }


def end_s(audio_facts: dict[str, Any]) -> Fraction:
    """When a sound track ends on the output timeline, in seconds."""
    return sum(
        (Fraction(audio_facts[key]["num"], audio_facts[key]["den"]) for key in ("start", "duration")), Fraction(0)
    )


def _title(stream: Any) -> str | None:
    """The title a person gave; handler names that software writes are none."""
    title = stream.metadata.get("title")
    if title is None:
        handler = str(stream.metadata.get("handler_name", ""))
        title = None if "handle" in handler.lower() or len(handler) < 5 else handler
    return _short(title)


def subtitle(stream: Any) -> dict[str, Any]:
    """The facts of one embedded subtitle track."""
    name = codec_name(stream)
    return {
        "stream_index": stream.index,
        "codec": name,
        "language": bcp47(stream.metadata.get("language")),
        "title": _title(stream),
        "forced": bool(stream.disposition & Disposition.forced),
        "default": is_default(stream),
        "text": name in TEXT_CODECS,
    }


def cover(stream: Any, samples: dict[int, StreamSample]) -> dict[str, Any]:
    """The facts of cover art; the size of the decoded picture where it decodes."""
    sample = samples.get(stream.index)
    width, height = sample.size if sample and sample.size else (stream.width, stream.height)
    return {"stream_index": stream.index, "codec": codec_name(stream), "width": width, "height": height}


def chapters(container: InputContainer, origin: Fraction) -> list[dict[str, Any]]:
    """Chapters on the output timeline, exact seconds; those that end before it starts are left out."""
    result = []
    for chapter in container.chapters()[:MAX_CHAPTERS]:
        base = chapter["time_base"]
        if base is None:
            continue
        start = max(Fraction(0), chapter["start"] * base - origin)
        end = chapter["end"] * base - origin
        if end > start:
            title = _short(chapter["metadata"].get("title"))
            result.append({"start": rational(start), "end": rational(end), "title": title})
    return result
