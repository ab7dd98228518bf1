"""What is in a still picture: its size as displayed, depth, colour, turning, and whether it decodes.

Belongs here: the `image` part of the facts. Does not belong here: decoding itself (picture/stills) or files with
moving pictures or sound (media_info).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from processing.picture import color
from processing.picture.geometry import from_exif
from processing.picture.stills import PILLOW_ERRORS, decode_still, loaded, open_pillow
from processing.probe.heif import read_still_item
from processing.probe.magic import Magic
from processing.probe.opening import MAX_PIXELS

MAX_FRAMES = 10_000  # of an animation that is counted: each costs a decode in GIF
MAX_ANIMATION_PIXELS = 4_000_000_000  # decoded while counting, about 10 s of CPU; beyond it the rest is not counted
_DEEP = {"I;16": 16, "I;16B": 16, "I;16L": 16, "I": 16, "F": 16}


@dataclass(slots=True)
class StillFacts:
    """The `image` facts, the length of an animation in milliseconds, and sentences about damage."""

    image: dict[str, Any]
    duration_ms: int = 0
    notes: list[str] = field(default_factory=list)


def still_facts(path: Path, magic: Magic) -> StillFacts:
    """Look at a still and decode it once. Raises `BadInput` where there is no picture to be had."""
    facts = _heif_facts(path) if magic.label in ("HEIF", "AVIF") else None
    if facts is None:
        return _pillow_facts(path)
    decode_still(path, {"image": facts.image})
    return facts


def _heif_facts(path: Path) -> StillFacts | None:
    """Facts from the file's own index; None for an AVIF that Pillow decodes as well or better."""
    item = read_still_item(path)
    transfer = color.TRANSFERS.get(item.nclx[1]) if item.nclx else None
    hdr = color.hdr_of(transfer)
    coded_by_pillow = _is_avif(path)
    if coded_by_pillow and not hdr:
        return None
    shown = (item.height, item.width) if item.orientation.swaps_sides else (item.width, item.height)
    primaries, number, matrix, full = item.nclx or (2, 2, 2, True)
    return StillFacts(
        {
            "width": shown[0],
            "height": shown[1],
            "coded_width": item.width,
            "coded_height": item.height,
            "orientation": item.orientation.exif,
            "frames": 1,
            "animated": False,
            "format": "AVIF" if coded_by_pillow else "HEIF",
            "bit_depth": item.bit_depth,
            "alpha": item.alpha,
            "color": color.names(primaries, number, matrix, 2 if full else 1),
            "hdr": hdr,
            "icc_profile": item.icc is not None,
            "tiles": len(item.tile_ids),
            "decoder": "pyav",
        }
    )


def _is_avif(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(64)
    return b"avif" in head or b"avis" in head


def _pillow_facts(path: Path) -> StillFacts:
    with open_pillow(path) as image:
        depth = _bit_depth(image)  # before anything decodes the picture
        orientation = _exif_orientation(image)
        turned = from_exif(orientation)
        width, height = image.size
        mode = image.mode
        facts = StillFacts(
            {
                "width": height if turned.swaps_sides else width,
                "height": width if turned.swaps_sides else height,
                "coded_width": width,
                "coded_height": height,
                "orientation": orientation,
                "format": image.format,
                "bit_depth": depth,
                "alpha": image.has_transparency_data,
                "color": color.names(2, 2, 2, 2),
                "hdr": None,
                "icc_profile": bool(image.info.get("icc_profile")),
                "tiles": 1,
                "decoder": "pillow",
                "pixel_mode": mode,
            }
        )
        loaded(image)
        facts.image["frames"], facts.duration_ms = _count_frames(image, facts.notes)
        facts.image["animated"] = facts.image["frames"] > 1 and image.format in ("GIF", "WEBP", "AVIF", "PNG")
        return facts


def _exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none. AVIF is turned by its container, and Pillow does that itself."""
    if image.format == "AVIF":
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _bit_depth(image: Image.Image) -> int:
    if image.mode == "1":
        return 1
    if image.mode in _DEEP:
        return _DEEP[image.mode]
    tiles = getattr(image, "tile", None)  # Pillow decodes "RGB;16B" to RGB, which hides the depth
    return 16 if tiles and ";16" in str(tiles[0][3]) else 8


def _count_frames(image: Image.Image, notes: list[str]) -> tuple[int, int]:
    """How many pictures there are, and for how long they play (ms); stops where a later one is damaged."""
    try:
        total = int(getattr(image, "n_frames", 1))
    except PILLOW_ERRORS:
        notes.append("what follows the first picture is damaged")
        return 1, 0
    if image.format not in ("GIF", "WEBP", "AVIF", "PNG") or total < 2:
        return max(1, total), 0
    limit = min(total, MAX_FRAMES, max(1, MAX_ANIMATION_PIXELS // max(1, min(MAX_PIXELS, image.width * image.height))))
    length_ms = frames = 0
    try:
        for number in range(limit):
            image.seek(number)
            image.load()
            length_ms += max(0, round(image.info.get("duration", 0) or 0))
            frames = number + 1
    except PILLOW_ERRORS:
        notes.append(f"only {frames} of {total} pictures of the animation can be decoded")
    if limit < total:
        notes.append(f"the animation has {total} pictures; {limit} were looked at")
        return total, length_ms
    return max(1, frames), length_ms
