"""The pictures of a source that a model is asked about: kept frames of a film, or a still.

Belongs here: reading back what the tap kept, leaving out what stays the same over a chunk's border, thinning out to a
bound, cutting spans. Does not belong here: keeping frames (frames_tap), what is asked of them (frame_answers).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.picture.scenes import read_shots
from processing.picture.stills import decode_still, flattened
from processing.words.frames_plan import PREFIX
from processing.words.frames_tap import Plane, changed_share
from processing.work import Input, Task


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture to ask about: its number, when it is shown (None: a still), its file (None: the source itself).

    `change` are the thousandths of it that differ from the one before.
    """

    number: int
    ticks: int | None
    path: Path | None
    size: tuple[int, int]
    change: int = 1000

    def picture(self, task: Task) -> Image.Image:
        """Its pixels, mode RGB. Raises BadInput for a still that cannot be decoded."""
        if self.path is None:
            whole = flattened(decode_still(task.original.path, task.inputs["media_info"].facts))
            return whole if whole.size == self.size else whole.resize(self.size, Image.Resampling.LANCZOS)
        with Image.open(self.path) as image:
            return image.convert("RGB")


def frames_of(task: Task, still_side: int) -> list[Frame]:
    """All pictures of a source that could be asked about, earliest first.

    Needs the products `frames/*`, or else the facts of a still, whose longer side is at most `still_side` pixels then.
    """
    kept = _kept(task.inputs)
    if kept:
        return kept
    still = task.inputs["media_info"].facts.get("image")
    return [Frame(0, None, None, still_size(still, still_side))] if still else []


def still_size(still: Mapping[str, Any], side: int) -> tuple[int, int]:
    """The size at which a still is asked about: its own, or its longer side `side` pixels."""
    width, height = int(still["width"]), int(still["height"])
    longest = max(width, height)
    if longest <= side:
        return width, height
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _kept(inputs: Mapping[str, Input]) -> list[Frame]:
    """What the tap kept, without a chunk's first frame where it shows what the last one before it did."""
    found: list[Frame] = []
    for name in sorted(name for name in inputs if name.startswith(PREFIX)):
        facts = inputs[name].facts
        for place, kept in enumerate(facts["kept"]):
            path, change = inputs[name].path(kept["file"]), int(kept["change"])
            if place == 0 and found:
                change = changed_share(_luma(found[-1].path), _luma(path))
            if change:
                size = (int(facts["width"]), int(facts["height"]))
                found.append(Frame(len(found), int(kept["ticks"]), path, size, change))
    return found


def _luma(path: Path | None) -> Plane:
    if path is None:
        raise ValueError("a still has no frame before it")
    with Image.open(path) as image:
        image.draft("L", image.size)  # colours are not even decoded
        return np.asarray(image.convert("L"), np.uint8).astype(np.int16)


def thinned(frames: Sequence[Frame], most: int) -> list[Frame]:
    """At most `most` of them: time is cut into as many equal parts, and of each the frame that differs most is taken.

    Numbers are given anew.
    """
    chosen: Iterable[Frame] = frames
    if len(frames) > most:
        first, last = _ticks(frames[0]), _ticks(frames[-1])
        best: dict[int, Frame] = {}
        for frame in frames:
            part = (_ticks(frame) - first) * most // (last - first + 1)
            if part not in best or frame.change > best[part].change:
                best[part] = frame
        chosen = (best[part] for part in sorted(best))
    return [Frame(number, each.ticks, each.path, each.size, each.change) for number, each in enumerate(chosen)]


def one_a_shot(frames: Sequence[Frame], starts: Sequence[int], most: int) -> list[Frame]:
    """The frame of each shot that differs most from the one before it, at most `most` of them."""
    best: dict[int, Frame] = {}
    for frame in frames:
        shot = bisect_right(starts, _ticks(frame)) if starts else 0
        if shot not in best or frame.change > best[shot].change:
            best[shot] = frame
    return thinned([best[shot] for shot in sorted(best)], most)


def shot_starts(inputs: Mapping[str, Input]) -> list[int]:
    """Where shots begin, in ticks; empty for a still."""
    return [int(shot["start"]) for shot in read_shots(inputs["scenes"].folder)["shots"]] if "scenes" in inputs else []


def _ticks(frame: Frame) -> int:
    return 0 if frame.ticks is None else frame.ticks
