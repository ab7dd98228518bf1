"""What the page of a source is told. Pure, no media library.

Belongs here: the recipe's parameters, which outputs the page tells of. Does not belong here: what it says of them
(told), how it looks (templates, static), laying it out (dossier).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.release import COMPLETE, applies

__all__ = ["applies", "parameters"]

ASSET = "dossier"
CODE_VERSION = "2"  # raised when the same facts would give another page
PAGE = "index.html"
MEDIA = "media"  # the folder, beside the page, of what it shows and plays: links, no copies
# Everything it can do without: a page says of each what became of it.
TOLD_OF = (
    *("hls", "proxy", "poster", "storyboard", "scenes", "quality", "thumbnails", "fingerprint"),
    *("loudness", "waveform", "speech_map", "subtitles"),
    *("transcript", "captions", "screen_text", "summary", "labels", "embeddings"),
)
RULES: Mapping[str, int] = {
    "wave_points": 1200,  # of a waveform: a point for each pixel of a wide screen's timeline
    "curve_points": 1200,
    "most_words": 60_000,  # with their own times: more than six hours of speech; beyond, whole segments
    "most_lines": 4_000,  # of text on screen
    "most_shots": 2_000,
}


def parameters(_info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The moment, what is on record of the other assets (resources/record), and the rules."""
    return {
        "moment": options.get("moment", COMPLETE),
        "record": [dict(row) for row in options["record"]],
        "rules": dict(RULES),
    }
