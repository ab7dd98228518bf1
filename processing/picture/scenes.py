"""Shots: where the picture jumps to another one, and the best still of each.

Belongs here: finding boundaries in the scores of frames, choosing stills. Does not belong here: measuring frames
(shot_scores) or sampling (samples).

A boundary is a frame that differs from the one before much more than its neighbours do from theirs (as content-aware
detectors do), or the first one after black. What looks half a second later as it did before was a flash, not a cut.
Dissolves have no such frame and are not found.
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.failures import BadInput
from processing.picture.planes import Sums
from processing.picture.sampled import Sampled, sampled
from processing.picture.shot_scores import (
    BLACK_MEAN,
    JUMP,
    MILLI,
    PRINT_BYTES,
    distance,
    may_begin,
    read_ends,
)
from processing.picture.shots_plan import PREFIX
from processing.work import Input, Result, Task

LIST_FILE = "scenes.json"
STILLS = "shots"
NEIGHBOURS = 2  # frames either side that say how much the picture moves anyhow
TIMES_NEIGHBOURS = 3  # how much more a boundary must differ than they do
LEAST_NEIGHBOURS = 500  # milli-codes: still pictures do not make every flicker a boundary
# Milli-codes between the prints either side: 6,200 and more at cuts of real films, 1,000 where a page of text scrolls.
LEAST_PRINT = 3_000
SHORTEST_S = (2, 5)  # of a second, as a rational: shorter pictures are part of the shot before
FLASH_S = (1, 2)  # as a rational: what a flash lights up for less than this is one shot
SAME_PRINT = 8 * MILLI  # mean difference of prints: two frames of one shot half a second apart, moving as they may
CUT_PRINT = 3  # times: a flash must bring back what was there far nearer than what it shows
MOST_SHOTS = 5000  # in one source, the clearest: an hour of flicker would otherwise be a folder nobody can open


@dataclass(frozen=True, slots=True)
class Frames:
    """What was measured of every frame of a source, in order: columns, and the prints as one byte string."""

    ticks: Sequence[int]
    differences: Sequence[int]
    means: Sequence[int]
    prints: bytes
    timescale: int
    end: int

    def may_begin(self, index: int) -> bool:
        """Whether something may begin with a frame, as the first one does."""
        return index == 0 or may_begin(self.differences[index], self.means[index - 1], self.means[index])

    def apart(self, one: int, other: int) -> int:
        """Mean difference of two frames' prints in milli-codes."""
        first = self.prints[one * PRINT_BYTES : (one + 1) * PRINT_BYTES]
        second = self.prints[other * PRINT_BYTES : (other + 1) * PRINT_BYTES]
        return sum(abs(a - b) for a, b in zip(first, second, strict=True)) * MILLI // PRINT_BYTES


@dataclass(frozen=True, slots=True)
class Shot:
    """A half-open span in ticks, and how clearly it begins: 0 for the first of a source."""

    start: int
    end: int
    clarity: int


def frames_of(inputs: Mapping[str, Input]) -> Frames:
    """The scores of all chunks, one after the other. Raises BadInput when there is no frame."""
    rows: list[tuple[int, int, int]] = []
    prints = bytearray()
    end = timescale = 0
    before: list[Sums] | None = None
    for name in sorted(name for name in inputs if name.startswith(PREFIX)):
        item = inputs[name]
        first, last = read_ends(item.folder, item.facts)
        own = [(row[0], row[1], row[2]) for row in json.loads(item.path(item.facts["file"]).read_bytes())]
        if before is not None:
            own[0] = (own[0][0], distance(before, first), own[0][2])
        before = last
        rows += own
        prints += item.path(item.facts["prints"]).read_bytes()
        end, timescale = int(item.facts["span"]["end"]), int(item.facts["span"]["timescale"])
    if not rows:
        raise BadInput("no frame of the moving picture was measured", cure="send the file again from the original")
    ticks, differences, means = zip(*rows, strict=True)
    return Frames(ticks, differences, means, bytes(prints), timescale, end)


def shots_in(frames: Frames) -> list[Shot]:
    """All shots of a source: without holes, from its first frame to its end, each at least `SHORTEST_S` long.

    A source shorter than that is one shot.
    """
    shortest = frames.timescale * SHORTEST_S[0] // SHORTEST_S[1]
    starts: list[tuple[int, int]] = [(frames.ticks[0], 0)]
    for index, clarity in sorted(_boundaries(frames), key=lambda found: (-found[1], found[0])):
        at = frames.ticks[index]
        place = bisect_left(starts, (at, 0))
        far_from_before = place == 0 or at - starts[place - 1][0] >= shortest
        until = starts[place][0] if place < len(starts) else frames.end
        if far_from_before and until - at >= shortest and len(starts) < MOST_SHOTS:
            starts.insert(place, (at, clarity))
    ends = [start for start, _ in starts[1:]] + [max(frames.end, starts[-1][0] + 1)]
    return [Shot(start, end, clarity) for (start, clarity), end in zip(starts, ends, strict=True)]


def _boundaries(frames: Frames) -> list[tuple[int, int]]:
    """Indices of frames that may begin a shot, each with its clarity."""
    found = []
    seen = False  # anything but black: the first picture that comes out of it begins no second shot
    for index in range(1, len(frames.ticks)):
        seen = seen or frames.means[index - 1] >= BLACK_MEAN
        if not seen:
            continue
        if frames.means[index - 1] < BLACK_MEAN <= frames.means[index]:
            found.append((index, max(JUMP, frames.differences[index])))
        elif frames.differences[index] >= JUMP and _stands_out(frames, index) and _is_another_picture(frames, index):
            found.append((index, frames.differences[index]))
    return found


def _stands_out(frames: Frames, index: int) -> bool:
    around = [*range(max(1, index - NEIGHBOURS), index), *range(index + 1, index + 1 + NEIGHBOURS)]
    beside = [frames.differences[each] for each in around if each < len(frames.differences)]
    usual = max(LEAST_NEIGHBOURS, sum(beside) // len(beside)) if beside else LEAST_NEIGHBOURS
    return frames.differences[index] >= TIMES_NEIGHBOURS * usual


def _is_another_picture(frames: Frames, index: int) -> bool:
    """Whether the whole picture changes at `index`, and not for a flash.

    A flash is what brings back within `FLASH_S` what was there before, or ends with what was there that long ago.
    """
    change = frames.apart(index - 1, index)
    reach = frames.timescale * FLASH_S[0] // FLASH_S[1]
    after = bisect_right(frames.ticks, frames.ticks[index] + reach) - 1
    before = bisect_left(frames.ticks, frames.ticks[index - 1] - reach)
    returned = [frames.apart(index - 1, after), frames.apart(index, before)]
    is_flash = any(each <= SAME_PRINT and each * CUT_PRINT <= change for each in returned)
    return change >= LEAST_PRINT and not is_flash


def make(task: Task) -> Result:
    """Write `scenes.json` and one still a shot. Inputs: `shot_scores/*`, `samples/*`.

    Raises BadInput when there is no frame.
    """
    frames = frames_of(task.inputs)
    shots = shots_in(frames)
    stills = stills_of(task.inputs, frames)
    times = [still.ticks for still in stills]
    (task.out / STILLS).mkdir(parents=True, exist_ok=True)
    listed = []
    for number, shot in enumerate(shots):
        still = _best(stills[bisect_left(times, shot.start) : bisect_left(times, shot.end)])
        picture = None
        if still is not None:
            name = f"{STILLS}/{number:05d}.jpg"
            shutil.copyfile(still.path, task.out / name)
            picture = {"file": name, "ticks": still.ticks}
        listed.append({"start": shot.start, "end": shot.end, "clarity": shot.clarity, "still": picture})
    document = {"timescale": frames.timescale, "frames": len(frames.ticks), "shots": listed}
    (task.out / LIST_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="ascii", newline="\n")
    lengths = sorted(shot.end - shot.start for shot in shots)
    return Result(
        facts={
            "file": LIST_FILE,
            "shots": len(shots),
            "timescale": frames.timescale,
            "start": shots[0].start,
            "end": shots[-1].end,
            "median_length_ticks": lengths[len(lengths) // 2],
        }
    )


def stills_of(inputs: Mapping[str, Input], frames: Frames) -> list[Sampled]:
    """Every still there is of a source, sampled by the second or after a jump, earliest first."""
    taken = list(sampled(inputs))
    for name in sorted(name for name in inputs if name.startswith(PREFIX)):
        item = inputs[name]
        timescale = int(item.facts["span"]["timescale"])
        is_opened = frames.may_begin(bisect_left(frames.ticks, int(item.facts["span"]["start"])))
        taken += [
            Sampled(int(still["ticks"]), timescale, item.path(still["file"]), still["scores"])
            for still in item.facts["stills"]
            if is_opened or not still["opening"]
        ]
    return sorted(taken, key=lambda still: still.ticks)


def _best(among: Sequence[Sampled]) -> Sampled | None:
    """The best to look at, the earliest of equals; None of none."""
    return max(among, key=lambda still: (not still.scores["black"], still.scores["total"]), default=None)


def read_shots(folder: Path) -> dict[str, Any]:
    """The document of `scenes.json`: timescale, frames, shots."""
    document: dict[str, Any] = json.loads((folder / LIST_FILE).read_bytes())
    return document
