"""Which rung the proxy is made of. Pure, no media library.

Belongs here: the choice, and the taps the proxy wants of the passes. Does not belong here: muxing (picture/proxy).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.picture.ladder_plan import nearest_rung, rung_products, rungs
from processing.sound.plan import AAC_TAP
from processing.work import PlannedProduct, Tap

PROXY_SHORT_SIDE = 540  # pixels: sharp enough to judge a cut by, small enough to mail a link to


def plan_rung(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[PlannedProduct]:
    """The chunks of the one rung the proxy is remuxed from: the largest up to `PROXY_SHORT_SIDE`, else the smallest."""
    if not info.get("video"):
        return []
    return rung_products(info, nearest_rung(rungs(info, options), PROXY_SHORT_SIDE), options)


def plan_sound(info: Mapping[str, Any], options: Mapping[str, Any]) -> list[PlannedProduct]:
    """The first track's AAC, or nothing."""
    return AAC_TAP.plan(info, options)[:1]


# Names of their own: a pass takes the union of its taps by name, and these ask for less than `ladder` and `aac` do.
TAP_PROXY_RUNG = Tap("proxy_rung", "chunks", plan_rung)
TAP_PROXY_SOUND = Tap("proxy_sound", "soundtrack", plan_sound)
