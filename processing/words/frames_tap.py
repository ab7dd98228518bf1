"""Frames large enough to be read, taken while a chunk is decoded, only where something in the picture changed.

Belongs here: looking, comparing, saving. Does not belong here: intervals and sizes (frames_plan), choosing among what
was kept (frames).

Compared are small blocks of luma: a line of text that is replaced by another changes a handful of them by far more than
noise and compression do, and the picture as a whole by next to nothing. All in integers, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from processing.chunks.taps import Picture, PictureTap, Unit
from processing.picture.planes import block_sums, luma
from processing.picture.scaling import rgb

QUALITY = 92  # JPEG; letters of 12 pixels lose nothing that a reader misses
BLOCK = 8  # pixels a side: one digit of small print that becomes another changes a block
CODES = 14  # mean difference of a block that has changed; grain of 6 codes makes 7, give or take 1
JUMP = 12  # mean difference of codes between neighbouring frames that begins another picture
SKIPPED = 4  # pixels between those by which neighbouring frames are compared
SETTLED_S = (1, 5)  # of a second, as a rational: a frame or two after a jump the picture still blends

Plane = npt.NDArray[np.int16]


def changed_share(before: Plane, now: Plane) -> int:
    """How many thousandths of the blocks of luma have changed, at least 1 where any has."""
    side = min(BLOCK, *now.shape)
    sums = block_sums(np.abs(now - before).astype(np.uint8), side)
    changed = int((sums >= CODES * side**2).sum())
    return max(1, changed * 1000 // sums.size) if changed else 0


class FrameTap(PictureTap):
    """Writes a JPEG for each frame kept. Parameters: frames_plan.frame_parameters.

    Facts: `frames` is how many there were, `kept` those with a file: `ticks`, `file` and `change`, the thousandths of
    the picture that differ from the frame kept before in the chunk (1000 for its first).
    """

    def __init__(self, unit: Unit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        self._size = int(parameters["size"][0]), int(parameters["size"][1])
        self._looked_at = int(parameters["looked_at"][0]), int(parameters["looked_at"][1])
        self._interval, self._spacing = int(parameters["interval_ticks"]), int(parameters["spacing_ticks"])
        self._next = -(-unit.span.start // self._interval) * self._interval
        self._wait = unit.span.timescale * SETTLED_S[0] // SETTLED_S[1]
        self._due: int | None = unit.span.start + self._wait if parameters["openings"] else None
        self._before: Plane | None = None
        self._last: tuple[int, av.VideoFrame] | None = None
        self._kept: Plane | None = None
        self._frames: list[dict[str, Any]] = []
        self._seen = 0

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        self._seen += 1
        now = luma(picture.at(*self._looked_at))[::SKIPPED, ::SKIPPED].astype(np.int16)
        if self._before is not None and int(np.abs(now - self._before).sum()) >= JUMP * now.size:
            self._due = ticks + self._wait
        self._before = now
        until = ticks + duration
        is_settled = self._due is not None and until > self._due
        if until > self._next or is_settled:
            self._look(picture.at(*self._size), ticks)
            if until > self._next:
                self._next = -(-until // self._interval) * self._interval
        if is_settled:
            self._due = self._last = None
        elif self._due is not None:
            self._last = ticks, picture.at(*self._size)

    def _look(self, image: av.VideoFrame, ticks: int) -> None:
        """Keep a frame, if enough time and enough of the picture is between it and the one kept before."""
        now = luma(image).astype(np.int16)
        change = 1000 if self._kept is None else changed_share(self._kept, now)
        if not change or (self._frames and ticks - self._frames[-1]["ticks"] < self._spacing):
            return
        self._kept = now
        name = f"frame-{len(self._frames):03d}.jpg"
        Image.fromarray(rgb(image)).save(self.folder / name, "JPEG", quality=QUALITY)
        self._frames.append({"ticks": ticks, "file": name, "change": change})

    def close(self) -> Mapping[str, Any]:
        if self._last is not None:
            self._look(self._last[1], self._last[0])  # the chunk ended while its picture settled
        return {
            "span": self.unit.span.to_json(),
            "width": self._size[0],
            "height": self._size[1],
            "frames": self._seen,
            "kept": self._frames,
        }
