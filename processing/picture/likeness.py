"""How near a picture is to another, in numbers: SSIM and squared error over luma, the same on every machine.

Belongs here: the two measures. Does not belong here: which pictures are compared (quality_tap).

Sources: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, with windows
of 8 x 8 every 4 pixels and all samples of equal weight, as x264 and libavfilter have it. Everything up to the quotient
of a window is counted in integers, and so are the sums of quotients: floats added in another order would differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from processing.picture.planes import ShortSums, Sums, short_block_sums

MILLION = 1_000_000
STEP = 4  # pixels between windows
WINDOW = 2 * STEP
PIXELS = WINDOW * WINDOW
PEAK = 255
C1 = int(0.01 * 0.01 * PEAK * PEAK * PIXELS + 0.5)
C2 = int(0.03 * 0.03 * PEAK * PEAK * PIXELS * (PIXELS - 1) + 0.5)

Luma = npt.NDArray[np.uint8]


def squared_error(one: Luma, other: Luma) -> int:
    """The sum of squared differences of two planes of one shape."""
    difference = one.astype(np.int32) - other
    return int(np.square(difference).sum(dtype=np.int64))


def ssim_millionths(one: Luma, other: Luma) -> int:
    """Mean SSIM of two planes of one shape, in millionths: 1,000,000 for the same, about 0 for unrelated ones.

    A plane smaller than a window is repeated until it fills one.
    """
    if min(one.shape) < WINDOW:
        one, other = (
            np.pad(plane, [(0, max(0, WINDOW - side)) for side in plane.shape], "wrap") for plane in (one, other)
        )
    first, second = _windows(one), _windows(other)
    wide, wide_other = one.astype(np.int32), other.astype(np.int32)
    products = _windows(wide * wide_other)
    squares = _windows(wide * wide + wide_other * wide_other)
    means, own_means = first * second, first * first + second * second  # all below 2^31
    variances = squares * PIXELS - own_means
    covariances = products * PIXELS - means
    numerator = (2 * means + C1).astype(np.float64) * (2 * covariances + C2)
    denominator = (own_means + C1).astype(np.float64) * (variances + C2)
    quotients: Sums = np.rint(numerator / denominator * MILLION).astype(np.int64)
    return int(quotients.sum()) // int(quotients.size)


def _windows(plane: npt.NDArray[Any]) -> ShortSums:
    """The sums of all windows of a plane: four blocks of `STEP` x `STEP` each."""
    blocks = short_block_sums(plane, STEP)
    windows: ShortSums = blocks[:-1, :-1] + blocks[1:, :-1] + blocks[:-1, 1:] + blocks[1:, 1:]
    return windows
