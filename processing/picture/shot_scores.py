"""How much each frame differs from the one before, measured while a chunk is decoded, and a still after each jump.

Belongs here: the measure, the print of each frame, taking stills. Does not belong here: deciding where shots begin
(scenes).

Everything is counted in integers over block means, so that scores are the same on every machine; frames before the
chunk are looked at too, so that they are the same wherever a source is cut into chunks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from processing.chunks.taps import Picture, PictureTap, Unit
from processing.picture.planes import THUMBPRINT_CELLS, Sums, block_sums, luma, thumbprint
from processing.picture.samples import SMALL_QUALITY, score
from processing.picture.scaling import rgb

SCORES_FILE = "scores.json"
PRINTS_FILE = "prints.bin"
BLOCK = 4  # pixels of luma and of chroma averaged to one value: noise and grain cancel out
PRINT_BYTES = 3 * THUMBPRINT_CELLS**2  # what a frame is known by when it is compared with one further away
MILLI = 1000
CHROMA_WEIGHT = 2  # chroma moves half as far as luma between shots
# Milli-codes: no cut was seen below 12 codes of mean difference, and hand-held pictures reach that every second or so.
JUMP = 10_000
STILL_AFTER_S = (1, 5)  # of a second, as a rational: a frame or two after a jump the picture still blends
BLACK_MEAN = 24 * MILLI  # milli-codes of luma, limited range: nothing to see


class ShotTap(PictureTap):
    """Writes `scores.json`, `prints.bin` and stills. Parameters: shots_plan.score_parameters.

    `scores.json` has a row for each frame: ticks, difference from the frame before in milli-codes (0 for the first of
    a source), mean luma in milli-codes. `prints.bin` has `PRINT_BYTES` for each: Y, Cb, Cr of 4 x 4 cells.
    """

    lead_in_frames = 1

    def __init__(self, unit: Unit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        width, height = parameters["looked_at"]
        self._size = int(width), int(height)
        self._still_size = int(parameters["still"][0]), int(parameters["still"][1])
        self._before: list[Sums] | None = None
        self._rows: list[tuple[int, int, int]] = []
        self._prints = bytearray()
        self._stills: list[dict[str, Any]] = []
        self._wait = unit.span.timescale * STILL_AFTER_S[0] // STILL_AFTER_S[1]
        self._due: int | None = None
        self._last: tuple[int, av.VideoFrame, av.VideoFrame] | None = None

    def lead_in(self, picture: Picture, ticks: int) -> None:
        self._before = blocks(picture.at(*self._size))

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        image = picture.at(*self._size)
        now = blocks(image)
        difference = 0 if self._before is None else distance(self._before, now)
        mean = int(now[0].sum()) * MILLI // now[0].size // BLOCK**2
        begins = self._before is None or difference >= JUMP or self._leaves_black(mean)
        self._before = now
        self._rows.append((ticks, difference, mean))
        self._prints += frame_print(now)
        if begins and self._due is None:
            self._due = ticks + self._wait
        if self._due is not None:
            self._last = (ticks, picture.at(*self._still_size), image)
            if ticks + duration > self._due:
                self._take()

    def _leaves_black(self, mean: int) -> bool:
        return bool(self._rows) and self._rows[-1][2] < BLACK_MEAN <= mean

    def _take(self) -> None:
        """Save the frame that is on screen when the wait is over, or the chunk's last one."""
        if self._last is None:
            return
        ticks, small, image = self._last
        name = f"still-{len(self._stills):03d}.jpg"
        Image.fromarray(rgb(small)).save(self.folder / name, "JPEG", quality=SMALL_QUALITY)
        self._stills.append({"ticks": ticks, "file": name, "scores": score(luma(image)).to_json()})
        self._due = self._last = None

    def close(self) -> Mapping[str, Any]:
        if self._due is not None:
            self._take()
        text = json.dumps(self._rows, separators=(",", ":"))
        (self.folder / SCORES_FILE).write_text(text, encoding="ascii")
        (self.folder / PRINTS_FILE).write_bytes(self._prints)
        return {
            "span": self.unit.span.to_json(),
            "frames": len(self._rows),
            "width": self._still_size[0],
            "height": self._still_size[1],
            "file": SCORES_FILE,
            "prints": PRINTS_FILE,
            "stills": self._stills,
        }


def blocks(frame: av.VideoFrame) -> list[Sums]:
    """Sums of `BLOCK` x `BLOCK` samples of Y, Cb and Cr; edges that fill no block are left out, if any block is."""
    return [_block_sums(_plane(frame, index)) for index in range(3)]


def _plane(frame: av.VideoFrame, index: int) -> npt.NDArray[np.uint8]:
    plane = frame.planes[index]
    rows: npt.NDArray[np.uint8] = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _block_sums(plane: npt.NDArray[np.uint8]) -> Sums:
    if min(plane.shape) < BLOCK:
        return np.full((1, 1), int(plane.sum(dtype=np.int64)) * BLOCK**2 // plane.size, np.int64)
    return block_sums(plane, BLOCK)


def distance(before: list[Sums], now: list[Sums]) -> int:
    """Mean difference of two frames' blocks in milli-codes, chroma weighted; frames of other shapes are wholly new."""
    if any(one.shape != other.shape for one, other in zip(before, now, strict=True)):
        return 255 * MILLI
    luma_change, *chroma = (
        int(np.abs(one - other).sum()) * MILLI // one.size // BLOCK**2 for one, other in zip(before, now, strict=True)
    )
    return (luma_change + CHROMA_WEIGHT * sum(chroma)) // (1 + len(chroma) * CHROMA_WEIGHT // 2)


def frame_print(sums: Sequence[Sums]) -> bytes:
    """Means of Y, Cb and Cr over 4 x 4 cells of blocks, rounded down: 48 bytes."""
    return b"".join(bytes(thumbprint(plane // BLOCK**2)) for plane in sums)
