"""What the detection of shots takes from every frame. Pure: facts in, products out, no media library.

Belongs here: the sizes, the products of the `shot_scores` tap. Does not belong here: measuring (shot_scores) or finding
shots in what was measured (scenes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.picture.ladder_plan import all_rungs, chunk_s, unit_name
from processing.picture.samples_plan import SMALL_SIDE, fitted
from processing.work import PlannedProduct, Tap

CODE_VERSION = "2"  # raised when the same parameters would give other scores or stills
SCENES_CODE_VERSION = "2"  # raised when the same scores would give other shots
SHOT_TAP = "processing.picture.shot_scores:ShotTap"
PREFIX = "shot_scores/"


def score_parameters(info: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the scores of a chunk.

    `looked_at` is the smallest size the ladder can have, whatever was wished: it is mostly there already, and averaging
    its blocks is cheaper than scaling once more. `still` is the size of a sampled still.
    """
    smallest = all_rungs(info)[-1]
    return {
        "looked_at": [smallest.width, smallest.height],
        "still": list(fitted((smallest.width, smallest.height), SMALL_SIDE)),
    }


def product_name(index: int) -> str:
    """The name of the scores of one chunk."""
    return f"{PREFIX}{index:05d}"


def plan(info: Mapping[str, Any], _options: Mapping[str, Any]) -> list[PlannedProduct]:
    """The scores of every chunk; nothing for a source without moving pictures."""
    if not info.get("video"):
        return []
    parameters = score_parameters(info)
    return [
        PlannedProduct(product_name(index), unit_name(index), SHOT_TAP, CODE_VERSION, parameters, chunk_s(info, chunk))
        for index, chunk in enumerate(info["video"]["chunks"])
    ]


TAP_SHOT_SCORES = Tap("shot_scores", "chunks", plan)
