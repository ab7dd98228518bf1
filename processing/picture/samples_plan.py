"""Which still frames are taken of a source while it is decoded. Pure: facts in, products out, no media library.

Belongs here: the interval, the sizes, the products of the `samples` tap. Does not belong here: taking them
(picture/samples) or choosing among them (picture/poster).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.picture.fields_plan import shown_timescale
from processing.picture.ladder_plan import base_size, chunk_s, unit_name
from processing.work import PlannedProduct, Tap

CODE_VERSION = "2"  # raised when the same parameters would give other samples or scores
SAMPLE_TAP = "processing.picture.samples:SampleTap"

INTERVAL_S = 1
SMALL_SIDE = 320  # pixels of the longer side: a tile of a storyboard, enough to recognise a scene by
LARGE_SIDE = 1280  # pixels of the longer side of the chunk's best frame: what a poster is shown at


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """`size` scaled down, never up, so that its longer side is at most `longest`; even, at least 2."""
    width, height = size
    if max(width, height) <= longest:
        return width, height
    if width >= height:
        return longest, _even(height, longest, width)
    return _even(width, longest, height), longest


def sample_parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the samples of a chunk."""
    base = base_size(info)
    small, large = fitted(base, SMALL_SIDE), fitted(base, LARGE_SIDE)
    return {
        "base": list(base),
        "small": list(small),
        "large": list(large),
        "interval_ticks": INTERVAL_S * shown_timescale(info, options),
    }


def product_name(index: int) -> str:
    """The name of the samples of one chunk."""
    return f"samples/{index:05d}"


def plan(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[PlannedProduct]:
    """The samples of every chunk; nothing for a source without moving pictures."""
    if not info.get("video"):
        return []
    parameters = sample_parameters(info, options)
    return [
        PlannedProduct(
            product_name(index), unit_name(index), SAMPLE_TAP, CODE_VERSION, parameters, chunk_s(info, chunk)
        )
        for index, chunk in enumerate(info["video"]["chunks"])
    ]


TAP_SAMPLES = Tap("samples", "chunks", plan)


def _even(side: int, numerator: int, denominator: int) -> int:
    return max(2, 2 * ((side * numerator + denominator) // (2 * denominator)))
