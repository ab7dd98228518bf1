"""What must hold of thumbnails: each decodes, has its size and shape, and shows the picture it was made of.

Belongs here: judging the files with another decoder (FFmpeg's) than the library that wrote them. Does not belong here:
making them (picture/thumbnails).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.contracts.clauses import expect, failed
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.picture.stills import decode_still, flattened
from processing.picture.thumbnails import GRID, contrast, fingerprint
from processing.probe.opening import open_media
from processing.work import Task

LIKENESS = 10  # mean difference of 8 x 8 brightness fields, 0 to 255; measured at most 3 after encoding at 320
FLAT = 6  # fields this close together show nothing
MAX_SHAPE_ERROR = 0.51  # pixels by which a rounded side may miss the exact shape


def contract(task: Task) -> list[Verdict]:
    """Decode every file that the facts name and compare it with the original."""
    if task.made is None:
        raise ValueError("the contract of thumbnails needs the artifact")
    facts, info = task.made.facts, task.inputs["media_info"].facts
    wanted = {(size["box"], name) for size in task.parameters["sizes"] for name in task.parameters["formats"]}
    named = {(entry["box"], entry["format"]) for entry in facts["files"]}
    original = flattened(decode_still(task.original.path, info))
    verdicts = [
        expect("complete", named == wanted, f"{len(named)} files", f"{len(wanted)} files"),
        expect(
            "upright size",
            (facts["width"], facts["height"]) == (info["image"]["width"], info["image"]["height"]),
            f"{facts['width']} x {facts['height']}",
            f"{info['image']['width']} x {info['image']['height']}",
        ),
    ]
    for entry in facts["files"]:
        verdicts += _judge(task.made.folder / entry["path"], entry, original)
    return verdicts


def _judge(path: Path, entry: Mapping[str, Any], original: Image.Image) -> list[Verdict]:
    name = entry["path"]
    try:
        picture = decode_first(path)
    except (WorkFailure, OSError, ValueError) as error:
        return [failed(f"{name} decodes", str(error), "a picture")]
    shape_error = _shape_error(picture.size, original.size)
    # A field is at least two pixels: three rows that became two differ by 20 from their mean, by the filter alone.
    fields = (fields_along(picture.width), fields_along(picture.height))
    wanted, found = fingerprint(original, fields), fingerprint(picture, fields)
    distance = float(np.mean(np.abs(np.subtract(wanted, found))))
    return [
        expect(f"{name} has its bytes", path.stat().st_size == entry["bytes"], path.stat().st_size, entry["bytes"]),
        expect(
            f"{name} has its size",
            (picture.width, picture.height) == (entry["width"], entry["height"]),
            f"{picture.width} x {picture.height}",
            f"{entry['width']} x {entry['height']}",
        ),
        expect(f"{name} keeps the shape", shape_error <= MAX_SHAPE_ERROR, f"{shape_error:.2f} px off"),
        expect(
            f"{name} is not enlarged",
            picture.width <= original.width and picture.height <= original.height,
            f"{picture.width} x {picture.height}",
            f"at most {original.width} x {original.height}",
        ),
        expect(f"{name} shows the original", distance <= LIKENESS, f"{distance:.1f}", f"at most {LIKENESS}"),
        expect(
            f"{name} is not blank",
            contrast(found) > FLAT or contrast(wanted) <= 2 * FLAT,
            f"contrast {contrast(found)}",
            f"contrast {contrast(wanted)}",
        ),
    ]


def fields_along(side: int) -> int:
    """Into how many fields a side of a thumbnail is divided to know the picture by."""
    return max(1, min(GRID, side // 2))


def _shape_error(size: tuple[int, int], original: tuple[int, int]) -> float:
    """Pixels by which one side misses what the other asks for; a side asked to be less than a pixel is one pixel."""
    errors = (abs(size[side] - max(1.0, original[side] * size[1 - side] / original[1 - side])) for side in (0, 1))
    return min(errors)


def decode_first(path: Path) -> Image.Image:
    """The first picture of a file as FFmpeg decodes it, on white where transparent. Raises `WorkFailure`, ValueError.

    FFmpeg hands out the transparency of an AVIF as a second picture.
    """
    pictures: dict[int, Any] = {}
    with open_media(path) as container:
        for packet in container.demux(container.streams.video):
            if packet.stream.index not in pictures:
                pictures.update((packet.stream.index, frame) for frame in packet.decode()[:1])
    if not pictures:
        raise ValueError("no picture inside")
    first, *others = (pictures[index] for index in sorted(pictures))
    transparent = any(component.is_alpha for component in first.format.components)
    pixels = first.reformat(format="rgba" if transparent else "rgb24", threads=1).to_ndarray()
    picture = Image.fromarray(np.asarray(pixels, np.uint8))
    if others:
        picture.putalpha(
            Image.fromarray(np.asarray(others[0].reformat(format="gray", threads=1).to_ndarray(), np.uint8))
        )
    return flattened(picture)
