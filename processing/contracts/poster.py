"""What must hold of a poster: it shows what was sampled at the time it names, and something rather than nothing.

Belongs here: judging the three files. Does not belong here: how a frame is chosen or scored (picture/poster, samples).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from processing.contracts.clauses import expect, failed
from processing.contracts.pictures import SAME_WITHIN, apart
from processing.manifest import Verdict
from processing.picture.poster import PREFIX, SMALL_BYTES, candidates
from processing.work import Input, Task

BLACK_UP_TO = 9  # of 255, the brightest channel: what samples.DARK, luma 24 of 16 to 235, comes to
BLACK_SHARE = 0.995  # of all pixels: nothing to see; a lit window at night is more than that


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made` against the samples in `task.inputs`."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a poster needs what was made")
    facts = made.facts
    pictures: dict[str, _Picture] = {}
    verdicts: list[Verdict] = []
    sizes = {
        facts["poster"]: (facts["width"], facts["height"]),
        facts["webp"]: (facts["width"], facts["height"]),
        facts["small"]["file"]: (facts["small"]["width"], facts["small"]["height"]),
    }
    for name, wanted in sizes.items():
        found = _opened(made, name)
        if found is None:
            verdicts.append(failed(f"{name} decodes", "no picture", f"{wanted[0]}x{wanted[1]}"))
            continue
        size, pictures[name] = found.size, found
        verdicts.append(
            expect(f"{name} has its size", size == wanted, f"{size[0]}x{size[1]}", f"{wanted[0]}x{wanted[1]}")
        )
    verdicts.append(_small_enough(made, facts["small"]["file"]))
    verdicts += [_shows_something(name, picture, task) for name, picture in pictures.items()]
    sample = _sample_at(task, facts)
    if sample is None:
        verdicts.append(failed("shows a sampled moment", f"nothing was sampled at {facts['ticks']}", "a sample"))
        return verdicts
    for name, picture in pictures.items():
        difference = apart(picture.colours, sample)
        verdicts.append(
            expect(f"{name} shows that moment", difference <= SAME_WITHIN, f"{difference:.1f}", f"{SAME_WITHIN}")
        )
    return verdicts


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file as decoded: size in pixels, the picture, and the share of black pixels."""

    size: tuple[int, int]
    colours: Image.Image
    black_share: float


def _opened(made: Input, name: str) -> _Picture | None:
    try:
        with Image.open(made.path(name)) as picture:
            picture.load()
            colours = picture.convert("RGB")
            brightest = np.asarray(colours).max(axis=-1)
            black_share = float((brightest <= BLACK_UP_TO).mean())
            return _Picture(picture.size, colours, black_share)
    except (KeyError, OSError, UnidentifiedImageError):
        return None


def _small_enough(made: Input, name: str) -> Verdict:
    size = next((entry.bytes for entry in made.files if entry.path == name), 0)
    return expect(f"{name} is small", 0 < size <= SMALL_BYTES, f"{size} bytes", f"at most {SMALL_BYTES}")


def _shows_something(name: str, picture: _Picture, task: Task) -> Verdict:
    all_black = all(candidate.scores["black"] for candidate in candidates(task.inputs))
    found = f"{100 * picture.black_share:.1f} % black"
    return expect(f"{name} is not black", all_black or picture.black_share < BLACK_SHARE, found, "a picture")


def _sample_at(task: Task, facts: Mapping[str, Any]) -> Image.Image | None:
    """The small sample taken at the poster's time; None when there is none."""
    taken = task.inputs.get(str(facts["product"]))
    if taken is None or not taken.name.startswith(PREFIX):
        return None
    for sample in taken.facts["samples"]:
        if sample["ticks"] == facts["ticks"]:
            picture = _opened(taken, sample["file"])
            return picture.colours if picture else None
    return None
