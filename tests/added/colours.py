"""A derivative nobody foresaw, of what a new tap takes from the decoder: the mean luma of every frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from processing.chunks.taps import Picture, PictureTap
from processing.contracts.clauses import expect
from processing.manifest import Verdict
from processing.picture.planes import luma
from processing.work import Result, Task

FILE = "lumas.json"


class LumaTap(PictureTap):
    """Measures each frame at the size its parameters name."""

    def frame(self, picture: Picture, ticks: int, duration: int) -> None:
        width, height = self.parameters["size"]
        seen = self.__dict__.setdefault("seen", [])
        seen.append({"ticks": ticks, "mean": round(float(luma(picture.at(width, height)).mean()), 1)})

    def close(self) -> Mapping[str, Any]:
        seen = self.__dict__.get("seen", [])
        (self.folder / FILE).write_text(json.dumps(seen))
        return {"span": self.unit.span.to_json(), "frames": len(seen)}


def make(task: Task) -> Result:
    """All chunks' measurements in one file."""
    lumas = [
        item
        for name in sorted(task.inputs)
        if name.startswith("lumas/")
        for item in json.loads(task.inputs[name].path(FILE).read_text())
    ]
    (task.out / FILE).write_text(json.dumps(lumas))
    return Result(facts={"frames": len(lumas)})


def contract(task: Task) -> list[Verdict]:
    """One measurement a frame."""
    assert task.made is not None
    found = len(json.loads(task.made.path(FILE).read_text()))
    frames = task.inputs["media_info"].facts["video"]["frame_count"]
    return [expect("every frame is measured", found == frames, found, frames)]
