"""A frame's planes as arrays, and sums over their samples in integers: the same on every machine, noise cancels out.

Belongs here: luma, blocks, the print a picture is known by. Does not belong here: what is concluded from them
(shot_scores, likeness).
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av

Sums = npt.NDArray[np.int64]
ShortSums = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
THUMBPRINT_CELLS = 4  # per axis: tells a picture from a blank one and from another shot


def luma(frame: av.VideoFrame) -> Bytes:
    """Height x width bytes of the luma plane of an 8-bit planar frame, without its padding."""
    plane = frame.planes[0]
    rows: Bytes = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def thumbprint(plane: npt.NDArray[Any]) -> list[int]:
    """Sixteen numbers to know a picture by: the mean of each cell of a 4 x 4 grid, row by row, rounded down."""
    height, width = plane.shape
    rows = [height * cell // THUMBPRINT_CELLS for cell in range(THUMBPRINT_CELLS)]
    columns = [width * cell // THUMBPRINT_CELLS for cell in range(THUMBPRINT_CELLS)]
    sums = np.add.reduceat(np.add.reduceat(plane.astype(np.int64), rows, axis=0), columns, axis=1)
    # Of fewer than four rows or columns some cells share one.
    sizes = np.outer(np.maximum(np.diff([*rows, height]), 1), np.maximum(np.diff([*columns, width]), 1))
    return [int(value) for value in (sums // sizes).reshape(-1)]


def block_sums(plane: npt.NDArray[Any], side: int) -> Sums:
    """The sum of each block of `side` x `side` samples of a plane of integers below 2^24; edges that fill no block are
    left out. Empty where no block fits.
    """
    return _sums(plane, side, np.int64)  # type: ignore[no-any-return]


def short_block_sums(plane: npt.NDArray[Any], side: int) -> ShortSums:
    """As `block_sums`, for sums below 2^31."""
    return _sums(plane, side, np.int32)  # type: ignore[no-any-return]


def _sums(plane: npt.NDArray[Any], side: int, kind: Any) -> Any:
    height, width = plane.shape
    whole = plane[: height - height % side, : width - width % side]
    narrow = np.uint16 if plane.dtype == np.uint8 and side <= 16 else np.int32  # rows first: they lie together
    rows = functools.reduce(
        operator.iadd, (whole[offset::side] for offset in range(1, side)), whole[::side].astype(narrow)
    )
    return functools.reduce(
        operator.iadd, (rows[:, offset::side] for offset in range(1, side)), rows[:, ::side].astype(kind)
    )
