"""Sums over the samples of a plane, in integers: the same on every machine, and noise cancels out.

Belongs here: blocks. Does not belong here: what is concluded from them (shot_scores, likeness).
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.int64]
ShortSums = npt.NDArray[np.int32]


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
