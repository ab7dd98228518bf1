"""Whether two pictures show the same, whatever their sizes and however they were compressed.

Belongs here: the distance between two pictures and its limit. Does not belong here: what any derivative must show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

COMPARED_SIDE = 32  # pixels: both pictures are reduced to this, or to half the smaller one's side if that is less
# Mean absolute difference of 255, the greatest of luma and both chromas. A sample against its own full frame was
# measured below 4 at 640x360 and below 9 over eleven shapes from 2x4 to 5000x30, another moment of a clip that moves
# above 11. Pixel by pixel a sample of 320x10 differs from its own frame by 18: JPEG halves its colours, scaling rings.
SAME_WITHIN = 10.0


def apart(first: Image.Image, second: Image.Image) -> float:
    """How far two pictures of any sizes are apart, 0 to 255: no finer than the smaller shows, colours half as fine."""
    size = [
        max(1, min(COMPARED_SIDE, *(side // 2 for side in sides)))
        for sides in zip(first.size, second.size, strict=True)
    ]
    halved = [max(1, side // 2) for side in size]
    planes = zip(first.convert("YCbCr").split(), second.convert("YCbCr").split(), (size, halved, halved), strict=True)
    return max(float(np.abs(_reduced(one, to) - _reduced(other, to)).mean()) for one, other, to in planes)


def _reduced(plane: Image.Image, size: Sequence[int]) -> npt.NDArray[np.float64]:
    return np.asarray(plane.resize((size[0], size[1]), Image.Resampling.BOX), dtype=np.float64)
