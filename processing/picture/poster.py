"""The poster: the best frame of the whole source, as JPEG, WebP and a thumbnail small enough for a log entry.

Belongs here: the choice among the chunks' best frames, and saving. Does not belong here: scoring frames
(picture/samples) or stills of image sources (thumbnails).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from processing.failures import BadInput
from processing.work import Input, Result, Task

POSTER_FILE = "poster.jpg"
WEBP_FILE = "poster.webp"
SMALL_FILE = "poster-small.jpg"
SMALL_BYTES = 6 * 1024  # metadata of an asset is kept below 8 kB, and a data URI adds a third
SMALL_SIDES = (192, 160, 128, 96, 64)  # pixels of the longer side, tried in turn with each quality
SMALL_QUALITIES = (70, 50, 30)
WEBP_QUALITY = 86
OPENING_S = 2  # fades and logos lie here: a frame of the opening must be clearly better to win
OPENING_WEIGHT = 0.6
PREFIX = "samples/"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The best frame of one chunk: its product's name, its time in ticks, its file and scores."""

    product: str
    ticks: int
    timescale: int
    file: str
    scores: Mapping[str, Any]

    @property
    def weight(self) -> float:
        """Its total score, less in the opening seconds."""
        opening = self.ticks < OPENING_S * self.timescale
        return float(self.scores["total"]) * (OPENING_WEIGHT if opening else 1.0)


def candidates(inputs: Mapping[str, Input]) -> list[Candidate]:
    """The best frames of all chunks, in time order."""
    found = []
    for name in sorted(name for name in inputs if name.startswith(PREFIX)):
        facts = inputs[name].facts
        best = facts["best"]
        found.append(Candidate(name, int(best["ticks"]), int(facts["span"]["timescale"]), best["file"], best["scores"]))
    return found


def chosen(among: Iterable[Candidate]) -> Candidate:
    """The candidate with the greatest weight, the earliest of equals.

    One that is not black wins even where nothing has a weight, as of frames two pixels wide: those have no sharpness.
    Where all are black the one in the middle is as good as any. Raises BadInput when there is none.
    """
    ordered = list(among)
    if not ordered:
        raise BadInput("no frame of the moving picture could be sampled", cure="send the file again from the original")
    if all(candidate.scores["black"] for candidate in ordered):
        return ordered[len(ordered) // 2]
    return max(ordered, key=lambda candidate: (not candidate.scores["black"], candidate.weight))


def make(task: Task) -> Result:
    """Write `poster.jpg`, `poster.webp` and `poster-small.jpg` (at most `SMALL_BYTES`). Inputs: `samples/*`."""
    best = chosen(candidates(task.inputs))
    task.out.mkdir(parents=True, exist_ok=True)
    original = task.inputs[best.product].path(best.file)
    shutil.copyfile(original, task.out / POSTER_FILE)  # as it is: saving a JPEG again only loses
    with Image.open(original) as picture:
        picture.load()
        picture.save(task.out / WEBP_FILE, "WEBP", quality=WEBP_QUALITY, method=4)
        small = save_small(picture, task)
        size = picture.size
    return Result(
        facts={
            "ticks": best.ticks,
            "timescale": best.timescale,
            "width": size[0],
            "height": size[1],
            "product": best.product,
            "scores": dict(best.scores),
            "candidates": len(candidates(task.inputs)),
            "poster": POSTER_FILE,
            "webp": WEBP_FILE,
            "small": {"file": SMALL_FILE, "width": small[0], "height": small[1]},
        }
    )


def save_small(picture: Image.Image, task: Task) -> tuple[int, int]:
    """Save the largest thumbnail that stays below `SMALL_BYTES`; returns its size in pixels."""
    path = task.out / SMALL_FILE
    small = picture.copy()
    for side in SMALL_SIDES:
        small = picture.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in SMALL_QUALITIES:
            small.save(path, "JPEG", quality=quality, optimize=True)
            if path.stat().st_size <= SMALL_BYTES:
                return small.size
    return small.size
