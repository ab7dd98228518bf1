"""What must hold of a storyboard: each cue leads to a tile, and the tile shows what was sampled at that time.

Belongs here: judging sheets and cues against the samples. Does not belong here: laying them out (picture/storyboard).
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from processing import webvtt
from processing.contracts.clauses import expect, failed, none_against, passed
from processing.contracts.pictures import SAME_WITHIN, apart
from processing.manifest import Verdict
from processing.picture.sampled import Sampled, end_of, sampled
from processing.work import Input, Task

_FRAGMENT = re.compile(r"^([^#\s]+)#xywh=(\d+),(\d+),(\d+),(\d+)$")


@dataclass(frozen=True, slots=True)
class _Place:
    sheet: str
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made` against the samples in `task.inputs`. Where cues cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of a storyboard needs what was made")
    try:
        cues = webvtt.parsed(made.path(made.facts["cues"]).read_text(encoding="utf-8"))
        places = [_place(cue.text) for cue in cues]
    except (KeyError, OSError, ValueError) as error:
        return [failed("cues readable", str(error), "WebVTT with #xywh")]
    stills = sampled(task.inputs)
    sheets = {name: _opened(made, name) for name in dict.fromkeys(place.sheet for place in places)}
    announced = {str(sheet["file"]): (int(sheet["width"]), int(sheet["height"])) for sheet in made.facts["sheets"]}
    return [
        passed("cues readable", len(cues)),
        _sheets(sheets, announced),
        _tiles(places, sheets, made.facts["tile"]),
        _times(cues, stills, end_of(task.inputs)),
        _nothing_left_out(cues, stills, int(task.parameters["interval_ticks"])),
        _shown(cues, places, sheets, stills),
    ]


def _place(text: str) -> _Place:
    found = _FRAGMENT.match(text)
    if found is None:
        raise ValueError(f"{text!r} names no place on a sheet")
    x, y, width, height = (int(found.group(index)) for index in range(2, 6))
    return _Place(found.group(1), (x, y, x + width, y + height))


def _opened(made: Input, name: str) -> Image.Image | None:
    try:
        with Image.open(made.path(name)) as picture:
            picture.load()
            return picture.convert("RGB")
    except (KeyError, OSError, UnidentifiedImageError):
        return None


def _sheets(sheets: Mapping[str, Image.Image | None], announced: Mapping[str, tuple[int, int]]) -> Verdict:
    """Every sheet that cues name decodes and has the size the facts announce; no other is announced."""
    troubles = [f"{name} is no picture" for name, sheet in sheets.items() if sheet is None]
    troubles += [
        f"{name} is {sheet.size}, announced as {announced.get(name)}"
        for name, sheet in sheets.items()
        if sheet is not None and sheet.size != announced.get(name)
    ]
    troubles += [f"{name} is announced and no cue leads to it" for name in announced if name not in sheets]
    return none_against("sheets decode", troubles)


def _tiles(places: Sequence[_Place], sheets: Mapping[str, Image.Image | None], tile: Mapping[str, int]) -> Verdict:
    """Every place lies on its sheet, has the size of a tile, and belongs to one cue alone."""
    named = Counter(places)
    troubles = [f"{place.box} of {place.sheet} is named twice" for place, times in named.items() if times > 1]
    for place in places:
        sheet = sheets[place.sheet]
        left, top, right, bottom = place.box
        if (right - left, bottom - top) != (int(tile["width"]), int(tile["height"])):
            troubles.append(f"{place.box} of {place.sheet} is no tile")
        elif sheet is not None and (right > sheet.width or bottom > sheet.height):
            troubles.append(f"{place.box} lies outside {place.sheet}")
    return none_against("tiles lie on sheets", troubles)


def _times(cues: Sequence[webvtt.Cue], stills: Sequence[Sampled], end: int) -> Verdict:
    """Cues follow each other without holes, from the first still to the end of the picture."""
    troubles = [
        f"a hole at {before.end_ms} ms" for before, after in itertools.pairwise(cues) if before.end_ms != after.start_ms
    ]
    if not cues:
        return failed("cues cover the picture", "none")
    due = webvtt.ms_of(stills[0].ticks, stills[0].timescale), webvtt.ms_of(end, stills[0].timescale)
    found = cues[0].start_ms, cues[-1].end_ms
    if found[0] != due[0] or not due[1] <= found[1] <= max(due[1], cues[-1].start_ms + 1):
        troubles.append(f"from {found[0]} to {found[1]} ms of {due[0]} to {due[1]}")
    return none_against("cues cover the picture", troubles)


def _nothing_left_out(cues: Sequence[webvtt.Cue], stills: Sequence[Sampled], interval: int) -> Verdict:
    """Every still was taken less than an interval after the beginning of its cue."""
    starts = [cue.start_ms for cue in cues]
    troubles = []
    for still in stills:
        index = bisect_right(starts, webvtt.ms_of(still.ticks, still.timescale)) - 1
        allowed = interval * webvtt.MS // still.timescale + 1
        if index < 0 or webvtt.ms_of(still.ticks, still.timescale) - starts[index] > allowed:
            troubles.append(f"what is shown at {webvtt.ms_of(still.ticks, still.timescale)} ms has no tile")
    return none_against("every interval has its tile", troubles)


def _shown(
    cues: Sequence[webvtt.Cue],
    places: Sequence[_Place],
    sheets: Mapping[str, Image.Image | None],
    stills: Sequence[Sampled],
) -> Verdict:
    """Every tile shows the still of the moment at which its cue begins."""
    by_time = {webvtt.ms_of(still.ticks, still.timescale): still for still in reversed(stills)}
    troubles = []
    farthest = 0.0
    for cue, place in zip(cues, places, strict=True):
        sheet, still = sheets[place.sheet], by_time.get(cue.start_ms)
        if still is None:
            troubles.append(f"nothing was sampled at {cue.start_ms} ms")
        elif sheet is not None:
            with Image.open(still.path) as taken:
                distance = apart(sheet.crop(place.box), taken)
            farthest = max(farthest, distance)
            if distance > SAME_WITHIN:
                troubles.append(f"the tile at {cue.start_ms} ms is {distance:.1f} from its still")
    if troubles:
        return none_against("tiles show their moments", troubles)
    return expect("tiles show their moments", farthest <= SAME_WITHIN, f"{farthest:.1f}", SAME_WITHIN)
