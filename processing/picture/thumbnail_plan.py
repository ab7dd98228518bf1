"""Which thumbnails a still gets. Pure: facts in, sizes and encoder settings out, no media library.

Belongs here: the sizes, the formats and their settings. Does not belong here: making them (thumbnails).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.picture.color import tone_parameters

CODE_VERSION = "1"  # raised when the same parameters would give other bytes
BOXES = (320, 1280)  # pixels of the width: a list of files, and a page
TALLEST = 4  # times the width; a scan of a roll 50 widths long is fitted into such a box
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "jpeg": {"extension": "jpg", "quality": 82, "progressive": True, "optimize": True, "subsampling": "4:2:0"},
    "webp": {"extension": "webp", "quality": 80, "method": 4, "alpha_quality": 90, "exact": False},
    # Tiles and rows are shared out by thread count, so one thread and no automatic tiles make the bytes repeat.
    "avif": {
        "extension": "avif",
        "quality": 62,
        "speed": 7,
        "codec": "aom",
        "max_threads": 1,
        "autotiling": False,
        "subsampling": "4:2:0",
    },
}


def fitted(width: int, height: int, box: int) -> tuple[int, int]:
    """Width and height of a thumbnail for a box that wide, shape kept, never above the source, at least 1 pixel."""
    if width <= box and height <= TALLEST * box:
        return width, height
    if height > TALLEST * width:
        return max(1, (2 * width * TALLEST * box + height) // (2 * height)), TALLEST * box
    return box, max(1, (2 * height * box + width) // (2 * width))


def parameters(info: Mapping[str, Any], _options: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's parameters: sizes by box, and what each encoder is told."""
    still = info["image"]
    sizes: list[dict[str, int]] = []
    for box in BOXES:
        width, height = fitted(int(still["width"]), int(still["height"]), box)
        if not any(size["width"] == width for size in sizes):
            sizes.append({"box": box, "width": width, "height": height})
    return {
        "sizes": sizes,
        "formats": {name: dict(settings) for name, settings in SETTINGS.items()},
        **tone_parameters(still.get("hdr")),
    }


def applies(info: Mapping[str, Any], _options: Mapping[str, Any]) -> str | None:
    """None for a still, else why there are no thumbnails."""
    return None if info["kind"] == "image" else "thumbnails are made of stills; moving pictures have a poster"
