"""Stills taken while a chunk is decoded: about one small picture a second, and the chunk's best frame in full.

Belongs here: taking, scoring and saving them. Does not belong here: intervals and sizes (samples_plan) or what is made
of them (poster, storyboard).

Scores are computed in integers over the luma plane, so that they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from processing.chunks.taps import Picture, PictureTap, Unit
from processing.picture.planes import luma
from processing.picture.scaling import rgb

BEST_FILE = "best.jpg"
SMALL_QUALITY = 82  # JPEG; about 8 kB for 320 pixels
BEST_QUALITY = 92  # JPEG; the poster is made from this, losses above are not visible
DARK, BRIGHT = 24, 226  # luma, limited range: within 8 codes of black (16) and 9 of white (235)
BLACK_MEAN = 24.0  # a mean this low with BLACK_SHARE dark pixels is a black picture, also with a little noise
BLACK_SHARE = 0.98
MIDDLE_MEAN = 110.0  # luma of a well exposed picture, limited range
SHARPNESS_KNEE = 120.0  # variance of the Laplacian at which a picture counts as half sharp
CONTRAST_KNEE = 30.0  # standard deviation of luma at which contrast counts as half


@dataclass(frozen=True, slots=True)
class Scores:
    """How good a frame is to look at. `total` is 0..1, higher is better, 0 for a black picture.

    `sharpness` is the variance of the Laplacian, `mean` and `contrast` (standard deviation) are luma codes in limited
    range, `dark` and `bright` the shares of pixels at the ends.
    """

    sharpness: float
    mean: float
    contrast: float
    dark: float
    bright: float

    @property
    def black(self) -> bool:
        """Nothing to see."""
        return self.mean < BLACK_MEAN and self.dark >= BLACK_SHARE

    @property
    def total(self) -> float:
        """Sharpness, contrast and exposure, each 0..1, multiplied."""
        if self.black:
            return 0.0
        sharp = self.sharpness / (self.sharpness + SHARPNESS_KNEE)
        contrast = self.contrast / (self.contrast + CONTRAST_KNEE)
        exposure = max(0.05, 1 - abs(self.mean - MIDDLE_MEAN) / 125)
        clipped = 1 - min(0.9, max(self.dark, self.bright))
        return round(sharp * contrast * exposure * clipped, 6)

    def to_json(self) -> dict[str, Any]:
        return {
            "sharpness": self.sharpness,
            "mean": self.mean,
            "contrast": self.contrast,
            "dark": self.dark,
            "bright": self.bright,
            "black": self.black,
            "total": self.total,
        }


def score(plane: npt.NDArray[np.uint8]) -> Scores:
    """Scores of a luma plane, shape (height, width), limited range."""
    codes = plane.astype(np.int32)
    count = codes.size
    total, squares = int(codes.sum(dtype=np.int64)), int((codes * codes).sum(dtype=np.int64))
    return Scores(
        sharpness=round(_laplacian_variance(codes), 3),
        mean=round(total / count, 3),
        contrast=round(max(0.0, (count * squares - total * total) / count**2) ** 0.5, 3),
        dark=round(int((plane <= DARK).sum()) / count, 5),
        bright=round(int((plane >= BRIGHT).sum()) / count, 5),
    )


def _laplacian_variance(codes: npt.NDArray[np.int32]) -> float:
    if min(codes.shape) < 3:
        return 0.0
    inner = 4 * codes[1:-1, 1:-1] - codes[:-2, 1:-1] - codes[2:, 1:-1] - codes[1:-1, :-2] - codes[1:-1, 2:]
    count, total = inner.size, int(inner.sum(dtype=np.int64))
    squares = int((inner.astype(np.int64) ** 2).sum())
    return (count * squares - total * total) / count**2


class SampleTap(PictureTap):
    """Saves one small JPEG for each whole second of the timeline that begins in the chunk, and its best frame.

    A chunk in which no second begins gets one sample, its first frame. Parameters: samples_plan.sample_parameters.
    """

    def __init__(self, unit: Unit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        self._interval = int(parameters["interval_ticks"])
        self._next = -(-unit.span.start // self._interval) * self._interval
        if self._next >= unit.span.end:
            self._next = unit.span.start
        self._samples: list[dict[str, Any]] = []
        self._best: tuple[Scores, int, av.VideoFrame] | None = None
        self._frames = 0

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        self._frames += 1
        lasts_until = ticks + duration
        if lasts_until <= self._next:
            return
        self._next = -(-lasts_until // self._interval) * self._interval
        self._take(picture, ticks)

    def _take(self, picture: Picture, ticks: int) -> None:
        small, large = (picture.at(*(int(side) for side in self.parameters[name])) for name in ("small", "large"))
        scores = score(luma(large))
        name = f"sample-{len(self._samples):03d}.jpg"
        Image.fromarray(rgb(small)).save(self.folder / name, "JPEG", quality=SMALL_QUALITY)
        self._samples.append({"ticks": ticks, "file": name, "scores": scores.to_json()})
        if self._best is None or scores.total > self._best[0].total:
            self._best = (scores, ticks, large)

    def close(self) -> Mapping[str, Any]:
        if self._best is None:
            raise ValueError("a chunk without frames has no samples")
        scores, ticks, frame = self._best
        Image.fromarray(rgb(frame)).save(self.folder / BEST_FILE, "JPEG", quality=BEST_QUALITY, subsampling=0)
        return {
            "span": self.unit.span.to_json(),
            "frames": self._frames,
            "width": int(self.parameters["small"][0]),
            "height": int(self.parameters["small"][1]),
            "samples": self._samples,
            "best": {
                "ticks": ticks,
                "file": BEST_FILE,
                "width": frame.width,
                "height": frame.height,
                "scores": scores.to_json(),
            },
        }
