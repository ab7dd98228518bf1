"""How much each frame differs from the one before, measured while a chunk is decoded, and a still after each jump.

Belongs here: the measure, the print of each frame, taking stills. Does not belong here: deciding where shots begin
(scenes).

Everything is counted in integers over block means, so that scores are the same on every machine. The first and the last
frame's blocks are kept, so that whoever has the chunk before can tell how its first frame differs: to decode that frame
here would mean decoding up to all that lies before it since the last key frame.
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
ENDS_FILE = "ends.bin"
BLOCK = 4  # pixels of luma and of chroma averaged to one value: noise and grain cancel out
PRINT_BYTES = 3 * THUMBPRINT_CELLS**2  # what a frame is known by when it is compared with one further away
MILLI = 1000
CHROMA_WEIGHT = 2  # chroma moves half as far as luma between shots
# Milli-codes: no cut was seen below 12 codes of mean difference, and hand-held pictures reach that every second or so.
JUMP = 10_000
STILL_AFTER_S = (1, 5)  # of a second, as a rational: a frame or two after a jump the picture still blends
BLACK_MEAN = 24 * MILLI  # milli-codes of luma, limited range: nothing to see


class ShotTap(PictureTap):
    """Writes `scores.json`, `prints.bin`, `ends.bin` and stills. Parameters: shots_plan.score_parameters.

    `scores.json` has a row for each frame: ticks, difference from the frame before in milli-codes (0 for the first of
    the chunk), mean luma in milli-codes. `prints.bin` has `PRINT_BYTES` for each: Y, Cb, Cr of 4 x 4 cells. `ends.bin`
    has the blocks of the first frame and of the last. The still `opening` is of the chunk's first frames: whether
    something begins there is not known here.
    """

    def __init__(self, unit: Unit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        width, height = parameters["looked_at"]
        self._size = int(width), int(height)
        self._still_size = int(parameters["still"][0]), int(parameters["still"][1])
        self._first: list[Sums] | None = None
        self._before: list[Sums] | None = None
        self._rows: list[tuple[int, int, int]] = []
        self._prints = bytearray()
        self._stills: list[dict[str, Any]] = []
        self._wait = unit.span.timescale * STILL_AFTER_S[0] // STILL_AFTER_S[1]
        self._due: int | None = None
        self._is_opening = False
        self._last: tuple[int, av.VideoFrame, av.VideoFrame] | None = None

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        image = picture.at(*self._size)
        now = blocks(image)
        mean = mean_luma(now)
        if self._before is None:
            self._first = now
            difference, begins = 0, True
        else:
            difference = distance(self._before, now)
            begins = may_begin(difference, self._rows[-1][2], mean)
        if begins and (self._due is None or self._is_opening):
            self._due, self._is_opening = ticks + self._wait, self._before is None
        self._before = now
        self._rows.append((ticks, difference, mean))
        self._prints += frame_print(now)
        if self._due is not None:
            self._last = (ticks, picture.at(*self._still_size), image)
            if ticks + duration > self._due:
                self._take()

    def _take(self) -> None:
        """Save the frame that is on screen when the wait is over, or the chunk's last one."""
        if self._last is None:
            return
        ticks, small, image = self._last
        name = f"still-{len(self._stills):03d}.jpg"
        Image.fromarray(rgb(small)).save(self.folder / name, "JPEG", quality=SMALL_QUALITY)
        scores = score(luma(image)).to_json()
        self._stills.append({"ticks": ticks, "file": name, "scores": scores, "opening": self._is_opening})
        self._due = self._last = None

    def close(self) -> Mapping[str, Any]:
        if self._due is not None:
            self._take()
        if self._first is None or self._before is None:
            raise ValueError("a chunk without frames has no scores")
        ends = [plane.astype("<u2") for end in (self._first, self._before) for plane in end]
        (self.folder / ENDS_FILE).write_bytes(b"".join(plane.tobytes() for plane in ends))
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
            "ends": {"file": ENDS_FILE, "shapes": [list(plane.shape) for plane in self._first]},
            "stills": self._stills,
        }


def read_ends(folder: Path, facts: Mapping[str, Any]) -> tuple[list[Sums], list[Sums]]:
    """The blocks of a chunk's first frame and of its last. Raises ValueError when the file has another length."""
    shapes = [(int(height), int(width)) for height, width in facts["ends"]["shapes"]]
    values = np.frombuffer((folder / facts["ends"]["file"]).read_bytes(), "<u2").astype(np.int64)
    sizes = [height * width for height, width in shapes]
    if values.size != 2 * sum(sizes):
        raise ValueError(f"{values.size} blocks instead of twice {sum(sizes)}")
    planes = np.split(values, np.cumsum(sizes * 2)[:-1])
    first, last = (
        [plane.reshape(shape) for plane, shape in zip(half, shapes, strict=True)]
        for half in (planes[: len(shapes)], planes[len(shapes) :])
    )
    return first, last


def mean_luma(sums: Sequence[Sums]) -> int:
    """In milli-codes."""
    return int(sums[0].sum()) * MILLI // sums[0].size // BLOCK**2


def may_begin(difference: int, mean_before: int, mean: int) -> bool:
    """Whether something may begin with a frame, all in milli-codes: it jumps, or comes out of black."""
    return difference >= JUMP or mean_before < BLACK_MEAN <= mean


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
