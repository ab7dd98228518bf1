"""The storyboard: small stills side by side on a few JPEG sheets, and a WebVTT file that says which one to show when.

Belongs here: laying sampled stills onto sheets, and the cues. Does not belong here: how many there are and of what size
(storyboard_plan) or sampling (samples).

A cue's text is a sheet's name with the media fragment `#xywh=`, which is how players find the picture under a pointer
on the seek bar.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from processing import webvtt
from processing.failures import BadInput
from processing.picture.sampled import Sampled, end_of, sampled
from processing.work import Result, Task

CUES_FILE = "storyboard.vtt"
QUALITY = 75  # JPEG; tiles are looked at for a second, and an hour has hundreds


@dataclass(frozen=True, slots=True)
class Tile:
    """One place on a sheet: its still, the span it stands for (ticks), its sheet and position in pixels."""

    still: Sampled
    start: int
    end: int
    sheet: str
    x: int
    y: int


def make(task: Task) -> Result:
    """Write the sheets and `storyboard.vtt`. Parameters: storyboard_plan.parameters; inputs: `samples/*`.

    Raises BadInput when nothing was sampled.
    """
    told = task.parameters
    width, height = int(told["tile"][0]), int(told["tile"][1])
    tiles = laid_out(sampled(task.inputs), end_of(task.inputs), told)
    task.out.mkdir(parents=True, exist_ok=True)
    sheets = []
    for name, on_sheet in _by_sheet(tiles):
        size = (max(tile.x for tile in on_sheet) + width, max(tile.y for tile in on_sheet) + height)
        _save(task.out / name, size, on_sheet, (width, height))
        sheets.append({"file": name, "width": size[0], "height": size[1], "tiles": len(on_sheet)})
    timescale = tiles[0].still.timescale
    cues = [
        webvtt.Cue(
            webvtt.ms_of(tile.start, timescale),
            max(webvtt.ms_of(tile.end, timescale), webvtt.ms_of(tile.start, timescale) + 1),
            f"{tile.sheet}#xywh={tile.x},{tile.y},{width},{height}",
        )
        for tile in tiles
    ]
    (task.out / CUES_FILE).write_text(webvtt.written(cues), encoding="utf-8", newline="\n")
    return Result(
        facts={
            "cues": CUES_FILE,
            "tile": {"width": width, "height": height},
            "tiles": [{"ticks": tile.still.ticks, "start": tile.start, "end": tile.end} for tile in tiles],
            "timescale": timescale,
            "sheets": sheets,
        }
    )


def laid_out(stills: Sequence[Sampled], end: int, told: Mapping[str, Any]) -> list[Tile]:
    """Which still stands where: for each interval of the timeline the first one taken in it.

    Intervals begin half a second early, for the still of a second is the frame on screen then, which began before it.
    One without a still of its own belongs to the tile before. The first tile begins where the first still does, the
    last ends at `end`.
    """
    if not stills:
        raise BadInput("no frame of the moving picture could be sampled", cure="send the file again from the original")
    interval, columns, rows = int(told["interval_ticks"]), int(told["columns"]), int(told["rows"])
    width, height = int(told["tile"][0]), int(told["tile"][1])
    times = [still.ticks for still in stills]
    chosen: list[Sampled] = []
    for at in range(times[0] - stills[0].timescale // 2, max(end, times[0] + 1), interval):
        index = bisect_left(times, at)
        if index < len(stills) and times[index] < at + interval:
            chosen.append(stills[index])
    starts = [still.ticks for still in chosen]
    tiles = []
    for number, (still, until) in enumerate(zip(chosen, [*starts[1:], max(end, starts[-1] + 1)], strict=True)):
        sheet, place = divmod(number, columns * rows)
        row, column = divmod(place, columns)
        tiles.append(Tile(still, still.ticks, until, f"storyboard-{sheet:03d}.jpg", column * width, row * height))
    return tiles


def _by_sheet(tiles: Sequence[Tile]) -> Iterator[tuple[str, list[Tile]]]:
    names = dict.fromkeys(tile.sheet for tile in tiles)
    return ((name, [tile for tile in tiles if tile.sheet == name]) for name in names)


def _save(path: Path, size: tuple[int, int], tiles: Sequence[Tile], tile_size: tuple[int, int]) -> None:
    sheet = Image.new("RGB", size)
    for tile in tiles:
        with Image.open(tile.still.path) as still:
            still.load()
            small = still if still.size == tile_size else still.resize(tile_size, Image.Resampling.BOX)
            sheet.paste(small, (tile.x, tile.y))
    sheet.save(path, "JPEG", quality=QUALITY)
