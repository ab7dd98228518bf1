"""Which frames of which rungs are compared with what was encoded. Pure: facts in, products out, no media library.

Belongs here: the interval, the products of the `quality` tap. Does not belong here: comparing (quality_tap) or summing
up (quality).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.picture import ladder_plan
from processing.picture.fields_plan import shown_timescale
from processing.work import PlannedProduct, Tap

CODE_VERSION = "2"  # raised when the same frames would get other figures or facts
QUALITY_CODE_VERSION = "1"  # raised when the same figures would be summed up otherwise
QUALITY_TAP = "processing.picture.quality_tap:QualityTap"
PREFIX = "quality/"
COMPARED_A_SECOND = 2  # frames: their mean is within 0.001 of that of all frames over a minute


def product_name(rung: int, index: int) -> str:
    """The name of what was measured of one chunk of one rung."""
    return f"{PREFIX}{rung}/{index:05d}"


def plan(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[PlannedProduct]:
    """The figures of every chunk of every rung, made from the rung's chunk; nothing without moving pictures."""
    if not info.get("video"):
        return []
    interval = shown_timescale(info, options) // COMPARED_A_SECOND
    return [
        PlannedProduct(
            product_name(rung.label, index),
            ladder_plan.unit_name(index),
            QUALITY_TAP,
            CODE_VERSION,
            {"rung": str(rung.label), "width": rung.width, "height": rung.height, "interval_ticks": interval},
            ladder_plan.chunk_s(info, chunk),
            reads=(ladder_plan.product_name(rung, index),),
        )
        for index, chunk in enumerate(info["video"]["chunks"])
        for rung in ladder_plan.rungs(info, options)
    ]


TAP_QUALITY = Tap("quality", "chunks", plan)
