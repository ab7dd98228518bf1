"""Sources taken the whole way to what a player reads, and decoded again from there.

Belongs here: the passes and the packaging over a real file, and reading segments back. Does not belong here: sources
(tests/media, tests/media_odd) or assertions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from processing.contracts import hls as hls_contract
from processing.manifest import Verdict
from processing.picture import hls, ladder_plan
from processing.work import Input, Task
from tests.media import as_input
from tests.media_picture import clip_info, make_products, make_sound


@dataclass(frozen=True)
class Packaged:
    """One source as HLS and DASH; `folder` holds the playlists, `inputs` what they were made of."""

    info: Mapping[str, Any]
    inputs: Mapping[str, Input]
    folder: Path
    facts: Mapping[str, Any]

    @property
    def rungs(self) -> list[str]:
        return [str(track["folder"]) for track in self.facts["video"]]

    def pictures(self, rung: str) -> list[tuple[Fraction, av.VideoFrame]]:
        """Every frame of a rung as its segments have it: presentation time in exact seconds, picture."""
        with av.open(str(self._joined(rung))) as container:
            return [(frame.pts * frame.time_base, frame) for frame in container.decode(video=0)]

    def sound(self, folder: str = "audio/0") -> tuple[npt.NDArray[np.float32], int]:
        """The samples of the first channel from time 0 on, each where its segments put it, and their rate."""
        with av.open(str(self._joined(folder))) as container:
            rate_hz = container.streams.audio[0].rate
            pieces = [(round(f.pts * f.time_base * rate_hz), f.to_ndarray()[0]) for f in container.decode(audio=0)]
        heard = np.zeros(max(at + piece.size for at, piece in pieces), np.float32)
        for at, piece in pieces:
            skipped = max(0, -at)
            heard[at + skipped : at + piece.size] = piece[skipped:]
        return heard, rate_hz

    def verdicts(self, scratch: Path) -> list[Verdict]:
        """What the contract of the package says."""
        made = as_input("hls", self.folder, self.facts)
        return hls_contract.check(Task("", {}, scratch, inputs=self.inputs, made=made))

    def _joined(self, folder: str) -> Path:
        parts = [self.folder / folder / "init.mp4", *sorted((self.folder / folder).glob("*.m4s"))]
        joined = self.folder.parent / f"{folder.replace('/', '-')}.mp4"
        joined.write_bytes(b"".join(part.read_bytes() for part in parts))
        return joined


def packaged(path: Path, folder: Path, *, target_s: int = 6, ladder: list[int] | None = None) -> Packaged:
    """The file through both passes and the packager, in chunks of about `target_s` seconds."""
    info = clip_info(path, target_s=target_s)
    planned = ladder_plan.plan(info, {"ladder": ladder})
    inputs = make_products(path, folder / "chunks", info, planned) | make_sound(path, folder, info)
    inputs["media_info"] = as_input("media_info", folder / "media_info", info)
    task = Task("processing.picture.hls:make", {"language": None}, folder / "hls", inputs=inputs)
    task.out.mkdir(parents=True)
    result = hls.make(task)
    return Packaged(info, inputs, task.out, result.facts)
