"""What must hold of a list of shots: they cover the picture, each shows its own still, no clear jump lies inside one.

Belongs here: judging the list and the stills against what was measured and sampled. Does not belong here: finding shots
(picture/scenes).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image, UnidentifiedImageError

from processing.contracts.clauses import failed, none_against, passed
from processing.contracts.pictures import SAME_WITHIN, apart
from processing.manifest import Verdict
from processing.picture.sampled import Sampled
from processing.picture.scenes import MOST_SHOTS, SAME_PRINT, SHORTEST_S, Frames, frames_of, read_shots, stills_of
from processing.picture.shot_scores import BLACK_MEAN, JUMP
from processing.work import Input, Task

CLEAR_JUMP = 5 * JUMP // 2  # milli-codes: cuts of real films are 11 to 51 codes, the clear half of them above this
CALM = 20  # times what the frames around differ: nothing moves, then everything is another picture, and stays


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where the list cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of scenes needs what was made")
    try:
        document = read_shots(made.folder)
        shots: Sequence[Mapping[str, Any]] = document["shots"]
        starts = [int(shot["start"]) for shot in shots]
        ends = [int(shot["end"]) for shot in shots]
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("list readable", f"{type(error).__name__}: {error}", "JSON with shots")]
    frames = frames_of(task.inputs)
    stills = {still.ticks: still for still in reversed(stills_of(task.inputs, frames))}
    return [
        passed("list readable", len(shots)),
        none_against("shots cover the picture", _holes(starts, ends, frames)),
        none_against("facts agree", _facts(made.facts, document)),
        none_against("shots begin where the picture jumps", _unfounded(starts, frames)),
        none_against("no clear jump inside a shot", _missed(starts, frames)),
        none_against("stills show their shots", _stills(made, shots, stills)),
    ]


def _holes(starts: Sequence[int], ends: Sequence[int], frames: Frames) -> Iterable[str]:
    if not starts:
        yield "no shot"
        return
    if (starts[0], ends[-1]) != (frames.ticks[0], max(frames.end, starts[-1] + 1)):
        yield f"from {starts[0]} to {ends[-1]}, the picture from {frames.ticks[0]} to {frames.end}"
    yield from (f"the shot at {start} does not last" for start, end in zip(starts, ends, strict=True) if end <= start)
    yield from (f"{end} and {start} do not meet" for end, start in zip(ends, starts[1:], strict=False) if end != start)


def _facts(facts: Mapping[str, Any], document: Mapping[str, Any]) -> Iterable[str]:
    shots = document["shots"]
    due = {
        "shots": len(shots),
        "timescale": document["timescale"],
        "start": shots[0]["start"] if shots else None,
        "end": shots[-1]["end"] if shots else None,
    }
    yield from (
        f"{name} is {facts.get(name)}, listed {value}" for name, value in due.items() if facts.get(name) != value
    )


def _unfounded(starts: Sequence[int], frames: Frames) -> Iterable[str]:
    """Every later shot begins on a frame that differs enough, or that is the first one after black."""
    for start in starts[1:]:
        index = bisect_left(frames.ticks, start)
        if index >= len(frames.ticks) or frames.ticks[index] != start:
            yield f"no frame is shown at {start}"
        elif frames.differences[index] < JUMP and not frames.means[index - 1] < BLACK_MEAN <= frames.means[index]:
            yield f"the frame at {start} is like the one before"


def _missed(starts: Sequence[int], frames: Frames) -> Iterable[str]:
    """A jump between two calm pictures that stay different begins a shot, within the shortest one's length."""
    if len(starts) >= MOST_SHOTS:
        return
    shortest = frames.timescale * SHORTEST_S[0] // SHORTEST_S[1]
    for index in range(1, len(frames.ticks) - 1):
        difference, at = frames.differences[index], frames.ticks[index]
        calm = CALM * max(frames.differences[index - 1], frames.differences[index + 1]) < difference
        lasts = at + 2 * shortest < frames.end
        if difference < CLEAR_JUMP or not calm or not lasts or at - starts[0] < shortest:
            continue
        later = bisect_left(frames.ticks, at + 2 * shortest)
        earlier = bisect_left(frames.ticks, at - 2 * shortest)
        new = min(frames.apart(index - 1, min(later, len(frames.ticks) - 1)), frames.apart(earlier, index))
        nearest = min(abs(start - at) for start in starts)
        if new > SAME_PRINT and nearest > shortest:
            yield f"the picture is another one from {at} on"


def _stills(made: Input, shots: Sequence[Mapping[str, Any]], stills: Mapping[int, Sampled]) -> Iterable[str]:
    """Every shot in which a still was taken has one, which was taken in it and is shown."""
    taken = sorted(stills)
    listed = {"scenes.json"}
    for shot in shots:
        still = shot["still"]
        if still is None:
            first = bisect_left(taken, shot["start"])
            if first < len(taken) and taken[first] < shot["end"]:
                yield f"the shot at {shot['start']} has no still"
            continue
        listed.add(still["file"])
        source = stills.get(still["ticks"])
        if source is None or not shot["start"] <= still["ticks"] < shot["end"]:
            yield f"the still at {still['ticks']} was not taken in the shot at {shot['start']}"
            continue
        shown = _opened(made, still["file"])
        with Image.open(source.path) as picture:
            if shown is None or apart(shown, picture) > SAME_WITHIN:
                yield f"{still['file']} does not show what was taken at {still['ticks']}"
    yield from (f"{entry.path} belongs to no shot" for entry in made.files if entry.path not in listed)


def _opened(made: Input, name: str) -> Image.Image | None:
    try:
        with Image.open(made.path(name)) as picture:
            picture.load()
            return picture.convert("RGB")
    except (KeyError, OSError, UnidentifiedImageError):
        return None
