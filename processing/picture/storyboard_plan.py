"""How many tiles a storyboard has, how large they are and how they stand. Pure: facts in, numbers out.

Belongs here: interval, tile size, sheet shape. Does not belong here: laying out (storyboard).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from processing.picture.fields_plan import shown_timescale
from processing.picture.ladder_plan import base_size
from processing.picture.samples_plan import SMALL_SIDE, fitted

CODE_VERSION = "1"  # raised when the same parameters would give another storyboard

TILE_SIDE = 240  # pixels of the longer side: what players show above the seek bar, and enough to tell shots apart
COLUMNS, ROWS = 10, 10  # a sheet of 2400 x 1350 pixels is half a megabyte and decodes at once on a telephone
INTERVALS_S = (1, 2, 5, 10, 20, 30, 60)
MOST_TILES = 720  # an hour at one tile every five seconds; finer than a pointer can choose on a seek bar


def parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines a storyboard: the shortest interval that keeps within `MOST_TILES`, the shape."""
    video = info["video"]
    length_s = Fraction(int(video["end"]) - int(video["start"]), int(video["timescale"]))
    interval_s = next((each for each in INTERVALS_S if length_s <= each * MOST_TILES), INTERVALS_S[-1])
    return {
        "interval_ticks": interval_s * shown_timescale(info, options),
        "tile": list(fitted(fitted(base_size(info), SMALL_SIDE), TILE_SIDE)),
        "columns": COLUMNS,
        "rows": ROWS,
    }
