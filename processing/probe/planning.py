"""What the declaration of `media_info` needs to know, without importing a media library. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.chunks.grid import FARTHEST_S, NEAREST_S, SHORTEST_TAIL_S, TARGET_S

CODE_VERSION = "3"  # raised when the same file would give other facts
FILE = "media_info.json"


def parameters(_info: Mapping[str, Any], _options: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's parameters. Nothing is known of the file yet, and no wish of a user changes what it is."""
    return {
        "grid": {
            "target_s": TARGET_S,
            "nearest_s": NEAREST_S,
            "farthest_s": FARTHEST_S,
            "shortest_tail_s": SHORTEST_TAIL_S,
        }
    }
