"""What one chunk's task is told, and what of the source enters its products' recipes. Pure, no media library.

Belongs here: `unit_parameters`, `media_s`. Does not belong here: where chunks lie (grid) or which products there are
(the taps' plans).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.picture.color import tone_parameters
from processing.picture.fields_plan import pictures_a_frame
from processing.picture.ladder_plan import base_size

CODE_VERSION = "3"  # raised when decoding, timing or conversion would give a tap other frames
SHAPING = (  # the facts of the moving picture that decide what a tap is shown; lengths and counts only describe it
    "stream_index",
    "width",
    "height",
    "display_width",
    "display_height",
    "rotation_degrees",
    "mirrored",
    "pixel_format",
    "time_base",
    "timescale",
    "frame_rate",
    "interlaced",
    "color",
    "hdr",
)


def unit_parameters(info: Mapping[str, Any], options: Mapping[str, Any], unit: str) -> dict[str, Any]:
    """Parameters of the task for chunk `unit` ("00003"): all that decides which frames its taps are shown.

    Raises IndexError for a chunk the source does not have.
    """
    index = int(unit)
    video = info["video"]
    base_width, base_height = base_size(info)
    pictures = pictures_a_frame(info, options)
    return {
        "code_version": CODE_VERSION,
        "index": index,
        "chunk": video["chunks"][index],
        "origin": info["origin"],
        "video": {name: video[name] for name in SHAPING},
        "base": [base_width, base_height],
        **tone_parameters(video["hdr"]),
        **({"pictures_a_frame": pictures} if pictures > 1 else {}),
        **({"splices": info["splices"]} if info.get("splices") else {}),
    }
