"""Perceptual hashes: what a shot or a still looks like in 64 bits, near for pictures that look alike.

Belongs here: hashing the stills of shots and the thumbnails of image sources. Does not belong here: comparing sources
(resources/near_duplicates).

The hash is pHash of the library imagehash: the signs of the lowest 8 x 8 frequencies of a 32 x 32 grey picture. It
survives scaling, compression, small changes of colour and brightness; not mirroring, turning or cropping.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.failures import BadInput
from processing.picture.scenes import read_shots
from processing.work import Input, Result, Task

PRINTS_FILE = "fingerprint.json"
BITS = 64
PLAIN = 6.0  # standard deviation of grey: below it the signs are those of noise, and all plain pictures look alike


def make(task: Task) -> Result:
    """Write `fingerprint.json`: a hash for each shot of a film (input `scenes`) or of a still (input `thumbnails`).

    Raises BadInput when there is no picture to hash.
    """
    prints = list(_of_shots(task.inputs["scenes"]) if "scenes" in task.inputs else _of_still(task.inputs["thumbnails"]))
    if not prints:
        raise BadInput("no still of the source could be hashed", cure="send the file again from the original")
    timescale = read_shots(task.inputs["scenes"].folder)["timescale"] if "scenes" in task.inputs else None
    task.out.mkdir(parents=True, exist_ok=True)
    document = {"bits": BITS, "timescale": timescale, "prints": prints}
    (task.out / PRINTS_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="ascii", newline="\n")
    plain = sum(each["plain"] for each in prints)
    return Result(facts={"file": PRINTS_FILE, "bits": BITS, "prints": len(prints), "plain": plain})


def _of_shots(scenes: Input) -> Iterator[dict[str, Any]]:
    """One print for each shot that has a still; times in ticks."""
    for shot in read_shots(scenes.folder)["shots"]:
        if shot["still"] is not None:
            hashed, plain = hash_of(scenes.path(shot["still"]["file"]))
            yield {"start": shot["start"], "end": shot["end"], "hash": hashed, "plain": plain}


def _of_still(thumbnails: Input) -> Iterator[dict[str, Any]]:
    """One print for the largest JPEG."""
    jpegs = [file for file in thumbnails.facts["files"] if file["format"] == "jpeg"]
    largest = max(jpegs, key=lambda file: file["width"] * file["height"])
    hashed, plain = hash_of(thumbnails.path(largest["path"]))
    yield {"start": None, "end": None, "hash": hashed, "plain": plain}


def hash_of(path: Path) -> tuple[str, bool]:
    """The hash (16 hex digits) of a picture, and whether it is too plain to be known by it."""
    import imagehash  # brings scipy with it, which no other work needs

    with Image.open(path) as picture:
        grey = picture.convert("L")
    spread = float(np.asarray(grey.resize((32, 32), Image.Resampling.BOX)).std())
    return str(imagehash.phash(grey)), spread < PLAIN


def read_prints(folder: Path) -> dict[str, Any]:
    """The document of `fingerprint.json`."""
    document: dict[str, Any] = json.loads((folder / PRINTS_FILE).read_bytes())
    return document


def bits_apart(one: str, other: str) -> int:
    """In how many of the 64 bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
