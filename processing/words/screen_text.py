"""Text that is shown in pictures: read frame by frame by a model, put together into lines that last.

Belongs here: asking about frames, following a line from frame to frame, the file. Does not belong here: which frames
there are (frames), what a provider's answer looks like (answers), which model (screen_text_plan).

A line that stays is one entry. It begins with the first frame in which it was read, or with the shot, where one began
since the frame before; it ends with the first frame in which it is gone, or with the shot. Times are no finer than
frames are kept apart.
"""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from processing.asking import AskTask
from processing.words.answers import openai_vision
from processing.words.answers.boxes import bounds, scaled
from processing.words.answers.line import Line
from processing.words.answers.lines import direction, read_lines
from processing.words.corrections_plan import UNREVIEWED
from processing.words.frame_answers import FrameQuestions
from processing.words.frames import Frame, frames_of, shot_starts, thinned
from processing.words.screen_text_plan import MOST_TOKENS
from processing.work import NOT_APPLICABLE, Result, Task

LIST_FILE = "screen_text.json"
QUESTIONS = FrameQuestions(AskTask.READING, openai_vision.SCHEMA, MOST_TOKENS, read_lines)


@dataclass(slots=True)
class Followed:
    """A line over the frames in which it was read, in the order of their numbers."""

    sightings: list[tuple[int, Line]] = field(default_factory=list)

    @property
    def last(self) -> tuple[int, Line]:
        """The frame in which it was read last, and how."""
        return self.sightings[-1]

    @property
    def best(self) -> tuple[int, Line]:
        """The reading with the greatest confidence, the earliest of equals."""
        return max(self.sightings, key=lambda sighting: (sighting[1].confidence or 0, -sighting[0]))


def make(task: Task) -> Result:
    """Ask about frames, or write `screen_text.json` when every answer is there. Parameters: screen_text_plan.

    Without any picture the result has no file and says so. Raises ContractBroken for an answer that cannot be used.
    """
    frames = asked_frames(task)
    if not frames:
        return Result(facts={NOT_APPLICABLE: "no frame of the moving picture was kept"})
    due = QUESTIONS.due(frames, task, int(task.parameters["rules"]["at_once"]))
    if due:
        return Result(asks=tuple(due))
    read = [lines_in(frame, task) for frame in frames]
    document = put_together(frames, read, shot_starts(task.inputs), task.parameters, QUESTIONS.cited(frames, task))
    task.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (task.out / LIST_FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
    return Result(facts=facts_of(document))


def asked_frames(task: Task) -> list[Frame]:
    """The frames that are asked about."""
    rules = task.parameters["rules"]
    return thinned(frames_of(task, rules["still_side"]), rules["most_frames"])


def lines_in(frame: Frame, task: Task) -> list[Line]:
    """What was answered about a frame, in pixels of the displayed picture; without what has no whole pixel there."""
    picture = int(task.parameters["picture"][0]), int(task.parameters["picture"][1])
    read = QUESTIONS.answer(frame, task)
    found = [replace(line, box=scaled(line.box, frame.size, picture)) for line in read]
    return [line for line in found if overlap(line, line)]


def put_together(
    frames: Sequence[Frame],
    read: Sequence[Sequence[Line]],
    starts: Sequence[int],
    told: Mapping[str, Any],
    cited: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The document: frames, lines with spans, places that could not be read. `starts` are those of shots, in ticks;
    `cited` are the frames as they are listed.
    """
    legible = [[line for line in lines if not is_unreadable(line, told["rules"])] for lines in read]
    unread = [
        {"frame": number, "box": _corners(line)}
        for number, lines in enumerate(read)
        for line in lines
        if is_unreadable(line, told["rules"])
    ]
    timeline = told["timeline"]
    followed = followed_over(legible, told["rules"])
    return {
        "timescale": timeline["timescale"] if timeline else None,
        "picture": {"width": told["picture"][0], "height": told["picture"][1]},
        "model": told["model"],
        "ai_generated": True,
        "review": UNREVIEWED,
        "frames": [{**frame, "lines": len(lines)} for frame, lines in zip(cited, read, strict=True)],
        "lines": [_entry(each, frames, starts, timeline) for each in followed],
        "unread": unread,
    }


def is_unreadable(line: Line, rules: Mapping[str, int]) -> bool:
    """Whether a line has no text, or far less than its box has room for, or nothing but marks."""
    left, top, right, bottom = bounds(line.box)
    sides = sorted((right - left, bottom - top))
    letters = [letter for letter in line.text if unicodedata.category(letter)[0] in "LNS"]
    return not line.text or (len(letters) <= 1 and sides[1] >= rules["wide_box"] * max(1, sides[0]))


def followed_over(read: Sequence[Sequence[Line]], rules: Mapping[str, int]) -> list[Followed]:
    """Each line once, however many frames it was read in, in the order in which they appeared.

    What was read in a frame continues the line that is most like it among those read lately, each of them once.
    """
    found: list[Followed] = []
    open_: list[Followed] = []
    for number, lines in enumerate(read):
        open_ = [each for each in open_ if number - each.last[0] <= 1 + rules["missed_frames"]]
        pairs = [
            (likeness, -at, each, line)
            for at, line in enumerate(lines)
            for each in open_
            if (likeness := alike(each.last[1], line, rules))
        ]
        taken: set[int] = set()
        for _, _, each, line in sorted(pairs, key=lambda pair: pair[:2], reverse=True):
            if id(line) not in taken and each.last[0] < number:
                each.sightings.append((number, line))
                taken.add(id(line))
        new = [Followed([(number, line)]) for line in lines if id(line) not in taken]
        found += new
        open_ += new
    return found


def alike(one: Line, other: Line, rules: Mapping[str, int]) -> int:
    """How much two readings are one line (of 100), 0 where they are two: other text, digits or place."""
    first, second = folded(one.text), folded(other.text)
    if _digits(first) != _digits(second) or overlap(one, other) < rules["same_place"]:
        return 0
    likeness = round(100 * SequenceMatcher(None, first, second, autojunk=False).ratio())
    return likeness if likeness >= rules["same_text"] else 0


def folded(text: str) -> str:
    """Text without what readers disagree about: case, spaces, width of letters."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())


def overlap(one: Line, other: Line) -> int:
    """The common area of two boxes, of 100 parts of what both cover."""
    first, second = bounds(one.box), bounds(other.box)
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (first, second)]
    return 100 * width * height // (sum(areas) - width * height)


def _entry(
    line: Followed, frames: Sequence[Frame], starts: Sequence[int], timeline: Mapping[str, int] | None
) -> dict[str, Any]:
    at, best = line.best
    numbers = [number for number, _ in line.sightings]
    start, end = span_of(numbers[0], numbers[-1], frames, starts, timeline) if timeline else (None, None)
    return {
        "text": best.text,
        "confidence": best.confidence,
        "direction": direction(best.text),
        "turned": best.turned,
        "box": _corners(best),
        "box_frame": at,
        "start": start,
        "end": end,
        "frames": numbers,
    }


def _corners(line: Line) -> list[list[int]]:
    return [list(point) for point in line.box]


def span_of(
    first: int, last: int, frames: Sequence[Frame], starts: Sequence[int], timeline: Mapping[str, int]
) -> tuple[int, int]:
    """From when until when what was read in the frames `first` to `last` was shown, in ticks."""
    seen, gone = frames[first].ticks or 0, frames[last].ticks or 0
    start = seen
    if first:  # a shot that began since the frame before brought the line with it
        place = bisect_right(starts, seen)
        if place and starts[place - 1] > (frames[first - 1].ticks or 0):
            start = starts[place - 1]
    end = timeline["end"]
    if last + 1 < len(frames):
        after = frames[last + 1].ticks or 0
        place = bisect_left(starts, gone + 1)
        end = min(after, starts[place]) if place < len(starts) else after
    return start, max(end, start + 1)


def facts_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of the document."""
    return {
        "file": LIST_FILE,
        "timescale": document["timescale"],
        "lines": len(document["lines"]),
        "frames": len(document["frames"]),
        "unread": len(document["unread"]),
        "letters": sum(len(line["text"]) for line in document["lines"]),
        "ai_generated": True,
        "review": UNREVIEWED,
        "model": document["model"],
    }


def read_document(folder: Path) -> dict[str, Any]:
    """The document of `screen_text.json`."""
    document: dict[str, Any] = json.loads((folder / LIST_FILE).read_bytes())
    return document
