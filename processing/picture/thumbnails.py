"""Small versions of a still: JPEG for everything, WebP and AVIF for those who can read them.

Belongs here: scaling and encoding. Does not belong here: decoding the original (stills), which sizes (thumbnail_plan).

Class A: Pillow scales in integers; libjpeg-turbo (slow integer DCT), libwebp and libaom on one thread repeat, in warm
processes too (tests/test_thumbnails.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.picture.stills import decode_still, flattened
from processing.work import Result, Task

GRID = 8  # the picture's fingerprint: mean brightness of 8 x 8 fields, by which a contract knows it again
PILLOW_NAMES = {"jpeg": "JPEG", "webp": "WEBP", "avif": "AVIF"}


def make(task: Task) -> Result:
    """Write `thumbnail-<box>.<extension>` for every size and format of the task's parameters. Raises `BadInput`."""
    info = task.inputs["media_info"].facts
    picture = decode_still(task.original.path, info)
    task.out.mkdir(parents=True, exist_ok=True)
    files = []
    for size in task.parameters["sizes"]:
        scaled = picture.resize((size["width"], size["height"]), Image.Resampling.LANCZOS)
        for name, settings in task.parameters["formats"].items():
            files.append(_write(scaled, task.out, name, settings, int(size["box"])))
    field = fingerprint(picture)
    facts = {
        "width": picture.width,
        "height": picture.height,
        "alpha": picture.mode == "RGBA",
        "fingerprint": field,
        "contrast": contrast(field),
        "files": files,
    }
    return Result(facts=facts, encoder_calls=len(files))


def _write(scaled: Image.Image, folder: Path, name: str, settings: Mapping[str, Any], box: int) -> dict[str, Any]:
    path = folder / f"thumbnail-{box}.{settings['extension']}"
    options = {key: value for key, value in settings.items() if key != "extension"}
    picture = flattened(scaled) if name == "jpeg" else scaled
    picture.save(path, PILLOW_NAMES[name], **options)
    return {
        "path": path.name,
        "format": name,
        "box": box,
        "width": picture.width,
        "height": picture.height,
        "bytes": path.stat().st_size,
    }


def fingerprint(picture: Image.Image, fields: tuple[int, int] = (GRID, GRID)) -> list[int]:
    """Mean brightness (0 to 255) of `fields` (across, down), row by row, on white where transparent."""
    grey = flattened(picture).convert("L").resize(fields, Image.Resampling.BOX)
    return [int(value) for value in np.asarray(grey).reshape(-1)]


def contrast(field: list[int]) -> int:
    """The difference between the brightest and the darkest field."""
    return max(field) - min(field)
