"""The quality of every rung of a source: SSIM and PSNR over time and on the whole.

Belongs here: summing up what was measured chunk by chunk. Does not belong here: measuring (quality_tap, likeness).

PSNR of several frames is that of their mean squared error, as encoders report it: the mean of decibels would let one
perfect frame outweigh many bad ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from processing.failures import ContractBroken
from processing.picture.likeness import MILLION, PEAK
from processing.picture.quality_plan import PREFIX
from processing.work import Input, Result, Task

REPORT_FILE = "quality.json"
MOST_PSNR_MDB = 100_000  # thousandths of a decibel: what identical pictures are given, as encoders do
WORST_SHARE = 20  # the worst of so many frames: one bad frame in an hour is a fact, not a figure to steer by

Row = tuple[int, int, int]  # ticks, SSIM in millionths, squared error


def make(task: Task) -> Result:
    """Write `quality.json`. Inputs: `quality/<rung>/*`. Raises `ContractBroken` where no frame was compared."""
    rungs = []
    timescale = 0
    for label, products in by_rung(task.inputs).items():
        rows = [row for item in products for row in read_rows(item)]
        if not rows:
            raise ContractBroken(f"no frame of the rung {label} was compared")
        facts = products[0].facts
        timescale = int(facts["span"]["timescale"])
        width, height = int(facts["width"]), int(facts["height"])
        rungs.append(
            {
                "rung": label,
                "width": width,
                "height": height,
                "frames": sum(int(item.facts["frames"]) for item in products),
                **summed_up(rows, width * height),
                "over_time": [[row[0], row[1], psnr_mdb(row[2], width * height)] for row in rows],
            }
        )
    task.out.mkdir(parents=True, exist_ok=True)
    document = {"timescale": timescale, "rungs": rungs}
    (task.out / REPORT_FILE).write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="ascii")
    brief = [{name: value for name, value in rung.items() if name != "over_time"} for rung in rungs]
    return Result(facts={"file": REPORT_FILE, "timescale": timescale, "rungs": brief})


def by_rung(inputs: Mapping[str, Input]) -> dict[str, list[Input]]:
    """The products `quality/*` of each rung in time order; largest rung first."""
    found: dict[str, list[Input]] = {}
    for name in sorted(name for name in inputs if name.startswith(PREFIX)):
        found.setdefault(str(inputs[name].facts["rung"]), []).append(inputs[name])
    return dict(sorted(found.items(), key=lambda item: -int(item[0])))


def read_rows(item: Input) -> list[Row]:
    """What was measured of one chunk."""
    return [(int(row[0]), int(row[1]), int(row[2])) for row in json.loads(item.path(item.facts["file"]).read_bytes())]


def summed_up(rows: Sequence[Row], pixels: int) -> dict[str, int]:
    """The figures of one rung: means, the least, and below which the worst twentieth of frames lies."""
    ssim = sorted(row[1] for row in rows)
    return {
        "compared": len(rows),
        "ssim_millionths": sum(ssim) // len(ssim),
        "ssim_least_millionths": ssim[0],
        "ssim_worst_twentieth_millionths": ssim[len(ssim) // WORST_SHARE],
        "psnr_mdb": psnr_mdb(sum(row[2] for row in rows), pixels * len(rows)),
        "psnr_least_mdb": min(psnr_mdb(row[2], pixels) for row in rows),
    }


def psnr_mdb(squared_error: int, pixels: int) -> int:
    """PSNR in thousandths of a decibel of a squared error over so many samples."""
    if squared_error == 0:
        return MOST_PSNR_MDB
    return min(MOST_PSNR_MDB, round(10_000 * math.log10(PEAK * PEAK * pixels / squared_error)))


def read_report(folder: Path) -> dict[str, Any]:
    """The document of `quality.json`."""
    document: dict[str, Any] = json.loads((folder / REPORT_FILE).read_bytes())
    return document


def labels(rungs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The rungs of a report, by label."""
    return [str(rung["rung"]) for rung in rungs]


def ssim_text(millionths: int) -> str:
    """For a person: 0.9812."""
    return f"{millionths / MILLION:.4f}"
