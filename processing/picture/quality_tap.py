"""What encoding costs a chunk of a rung: some of its frames, decoded, beside what the encoder was given.

Belongs here: keeping those frames aside, decoding the rung's chunk when it is finished, the figures. Does not belong
here: which frames (quality_plan), the measures (likeness), a source's figures (quality).

The whole chunk is decoded, for frames rest on each other, so that this is also the proof that it can be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from processing.chunks.taps import Picture, PictureTap, Unit
from processing.failures import ContractBroken
from processing.picture.likeness import squared_error, ssim_millionths
from processing.picture.planes import luma
from processing.probe.opening import decode_strictly, open_media

FIGURES_FILE = "figures.json"


class QualityTap(PictureTap):
    """Writes `figures.json`: for each compared frame its ticks, SSIM in millionths, squared error over luma.

    Parameters: quality_plan.plan. What is compared lies in a file of `scratch` until the end, not in memory.
    """

    def __init__(self, unit: Unit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        self._size = int(parameters["width"]), int(parameters["height"])
        self._interval = int(parameters["interval_ticks"])
        self._next = unit.span.start
        self._kept: list[int] = []
        self._frames = 0

    @property
    def _aside(self) -> Path:
        return self.scratch / f"given-{self.parameters['rung']}.luma"

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        self._frames += 1
        if ticks < self._next:
            return
        self._next += self._interval * ((ticks - self._next) // self._interval + 1)
        self._kept.append(ticks)
        with self._aside.open("ab") as file:
            file.write(luma(picture.at(*self._size)).tobytes())

    def close(self) -> Mapping[str, Any]:
        (rung,) = self.made.values()
        rows: list[tuple[int, int, int]] = []
        decoded = 0
        path = rung.folder / str(rung.facts["file"])
        with self._aside.open("rb") as given, open_media(path) as container:
            stream = container.streams.video[0]
            decode_strictly(stream)
            for frame in container.decode(stream):
                decoded += not frame.is_corrupt
                if len(rows) < len(self._kept) and frame.pts == self._kept[len(rows)]:
                    before = np.frombuffer(given.read(self._size[0] * self._size[1]), np.uint8)
                    after = luma(frame)
                    before = before.reshape(after.shape)
                    rows.append((frame.pts, ssim_millionths(before, after), squared_error(before, after)))
        self._aside.unlink()
        if decoded != self._frames or len(rows) != len(self._kept):
            raise ContractBroken(
                f"of {self._frames} frames of {self.parameters['rung']} lines {decoded} could be decoded again, "
                f"of {len(self._kept)} to compare {len(rows)}",
                cure="this is a fault in sourcebound or its encoder: report it with the log of the run",
            )
        (self.folder / FIGURES_FILE).write_text(json.dumps(rows, separators=(",", ":")), encoding="ascii")
        return {
            "span": self.unit.span.to_json(),
            "rung": self.parameters["rung"],
            "width": self._size[0],
            "height": self._size[1],
            "frames": self._frames,
            "decoded": decoded,
            "decoded_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "compared": len(rows),
            "file": FIGURES_FILE,
        }
