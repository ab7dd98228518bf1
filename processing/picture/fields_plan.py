"""How many pictures are made of one frame of an interlaced source. Pure: facts and wishes in, numbers out.

Belongs here: the choice between frame rate and field rate, and what it does to rate and clock. Does not belong here:
deinterlacing (picture/deinterlace) or finding out whether a source is interlaced (probe).

At field rate each field becomes a picture: 25 frames a second become 50. The second picture of a frame is shown
half-way to the next frame, so that the clock of all that is made of them ticks twice as fast as the source's: then
half-way is a whole tick at any frame rate, and every time of the source still is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.timeline import MAX_TIMESCALE, Span

FRAME_RATE, FIELD_RATE = "frame_rate", "field_rate"
CHOICES = (FRAME_RATE, FIELD_RATE)
TWO_FIELDS = frozenset({"tff", "bff", "mixed"})  # what media_info calls a source whose frames hold two fields


def is_interlaced(video: Mapping[str, Any]) -> bool:
    """Whether frames of this source hold two fields."""
    return str(video.get("interlaced")) in TWO_FIELDS


def pictures_a_frame(info: Mapping[str, Any], options: Mapping[str, Any]) -> int:
    """2 for an interlaced source at field rate (`options["deinterlace"]`), else 1.

    1 too where twice the source's timescale would not fit the 31 bits of a track's.
    """
    video = info.get("video")
    wished = options.get("deinterlace") == FIELD_RATE
    if video and wished and is_interlaced(video) and 2 * int(video["timescale"]) <= MAX_TIMESCALE:
        return 2
    return 1


def shown_timescale(info: Mapping[str, Any], options: Mapping[str, Any]) -> int:
    """Ticks a second of all that is made of the pictures."""
    return int(info["video"]["timescale"]) * pictures_a_frame(info, options)


def told_pictures_a_frame(told: Mapping[str, Any]) -> int:
    """`pictures_a_frame` as the parameters of a chunk's task say it."""
    return int(told.get("pictures_a_frame", 1))


def source_span(told: Mapping[str, Any]) -> Span:
    """The chunk that a task is told of, on the source's clock."""
    return Span(int(told["chunk"]["start"]), int(told["chunk"]["end"]), int(told["video"]["timescale"]))


def shown_span(told: Mapping[str, Any]) -> Span:
    """The same span on the clock of what is made."""
    span, factor = source_span(told), told_pictures_a_frame(told)
    return Span(span.start * factor, span.end * factor, span.timescale * factor)
