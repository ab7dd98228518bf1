"""Which frames of a film are kept to be read and looked at. Pure: facts in, products out, no media library.

Belongs here: size, interval, spacing, the products of the `frames` tap. Does not belong here: taking them (frames_tap)
or choosing among them (frames).

A frame is looked at every interval, and a moment after the picture jumps, and kept where it differs from the one kept
before. The interval grows with the length, so that no source has more than `MOST_LOOKS` of them and a quarter as far
apart at the least those after jumps: six hours of film are looked at every 30 s, and after jumps 7.5 s apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from processing.picture.fields_plan import shown_timescale
from processing.picture.ladder_plan import all_rungs, base_size, chunk_s, unit_name
from processing.picture.samples_plan import LARGE_SIDE, fitted
from processing.work import PlannedProduct, Tap

CODE_VERSION = "1"  # raised when the same parameters would give other frames
FRAME_TAP = "processing.words.frames_tap:FrameTap"
PREFIX = "frames/"

SIDE = LARGE_SIDE  # the size and moments of the samples' best frame, so that scaling is shared with it
INTERVALS_S = (2, 5, 10, 20, 30, 60, 120)  # a line that is to be read stays two seconds
MOST_LOOKS = 720
SPACING = Fraction(1, 4)  # of the interval, between frames kept


def interval_s(video: Mapping[str, Any]) -> int:
    """The shortest interval with no more than `MOST_LOOKS` over the length."""
    length_s = Fraction(int(video["end"]) - int(video["start"]), int(video["timescale"]))
    return next((each for each in INTERVALS_S if length_s <= each * MOST_LOOKS), INTERVALS_S[-1])


def frame_parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the frames of a chunk.

    `openings` says whether a chunk's first frames count as what follows a jump, for whether they do is not known there:
    only where chunks are no more than looks.
    """
    interval = interval_s(info["video"])
    smallest = all_rungs(info)[-1]
    return {
        "size": list(frame_size(info)),
        "looked_at": [smallest.width, smallest.height],
        "interval_ticks": interval * shown_timescale(info, options),
        "spacing_ticks": int(interval * shown_timescale(info, options) * SPACING),
        "openings": interval == INTERVALS_S[0],
    }


def frame_size(info: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the frames that are kept."""
    return fitted(base_size(info), SIDE)


def product_name(index: int) -> str:
    """The name of the frames of one chunk."""
    return f"{PREFIX}{index:05d}"


def plan(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[PlannedProduct]:
    """The frames of every chunk; nothing for a source without moving pictures."""
    if not info.get("video"):
        return []
    parameters = frame_parameters(info, options)
    return [
        PlannedProduct(product_name(index), unit_name(index), FRAME_TAP, CODE_VERSION, parameters, chunk_s(info, chunk))
        for index, chunk in enumerate(info["video"]["chunks"])
    ]


TAP_FRAMES = Tap("frames", "chunks", plan)
