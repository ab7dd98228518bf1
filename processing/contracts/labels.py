"""What must hold of labels: they are what was answered, cite frames that exist, and are names of things.

Belongs here: judging the labels against the answers and the media; whether an empty or an unchanging result can be
true. Does not belong here: looking (words/labels).

False or useless fails: another label than was answered, a citation of nothing, an excuse in place of a name, nothing at
all in pictures that show something. The same labels for every shot warn: a lecture may be like that, a model that is
stuck too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from processing.contracts.by_model import disagreeing
from processing.contracts.clauses import expect, failed, none_against, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.words.answers.boxes import bounds
from processing.words.answers.excuses import may_be_excuse
from processing.words.frames import Frame
from processing.words.labels import QUESTIONS, asked_frames, facts_of, put_together, read_document, seen_in
from processing.work import NOT_APPLICABLE, Task

PLAIN = 12.0  # standard deviation of luma: below it a picture shows next to nothing
LONGEST_NAME = 8  # words: "Construction Worker on Scaffold" has four; a sentence is no label
STUCK = 8  # shots with the very same labels and confidences
Shown = Mapping[str, Any]


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where the list cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of labels needs what was made")
    frames = asked_frames(task)
    if NOT_APPLICABLE in made.facts:
        return [expect("there is no picture to look at", not frames and not made.files, len(frames), 0)]
    try:
        document = read_document(made.folder)
        labels = items = _typed(document["labels"])
        for name in ("moderation", "faces"):
            items = [*items, *_typed(document[name] or [])]
        facts = facts_of(document)
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("list readable", f"{type(error).__name__}: {error}", "JSON with labels")]
    try:
        due = put_together(
            frames, [seen_in(frame, task) for frame in frames], task.parameters, QUESTIONS.cited(frames, task)
        )
    except (KeyError, WorkFailure) as error:
        return [failed("answers readable", str(error), f"{len(frames)} answers")]
    return [
        passed("list readable", len(items)),
        none_against("facts agree", disagreeing(made.facts, facts, task)),
        none_against("citations resolve", _citations(items, document["frames"], frames, task)),
        none_against("boxes lie inside the picture", _boxes(items, task)),
        none_against("labels are names", _names(labels)),
        none_against("is what was answered", (name for name in due if document.get(name) != due[name])),
        _emptiness(labels, frames, task),
        _stuck(labels, frames),
    ]


def _typed(items: Any) -> list[Shown]:
    """Entries whose fields have their types; raises TypeError or KeyError."""
    if not isinstance(items, list):
        raise TypeError("entries are no list")
    for item in items:
        if type(item["frame"]) is not int or type(item["confidence"]) is not int:
            raise TypeError("a frame or a confidence is no whole number")
        box = item["box"]
        if box is not None and (len(box) != 4 or any(len(p) != 2 or any(type(v) is not int for v in p) for p in box)):
            raise TypeError("a box is not four whole points")
        if not isinstance(item.get("name", ""), str):
            raise TypeError("a name is no text")
    return items


def _citations(items: Sequence[Shown], listed: Any, frames: Sequence[Frame], task: Task) -> Iterable[str]:
    if listed != QUESTIONS.cited(frames, task):
        yield f"{len(frames)} frames were asked about, others are told"
    timeline = task.parameters["timeline"]
    times = {frame.number: frame.ticks for frame in frames}
    for item in items:
        if item["frame"] not in times or item.get("ticks") != times[item["frame"]]:
            yield f"no frame {item['frame']} is shown at {item.get('ticks')}"
        elif timeline and not timeline["start"] <= item["ticks"] < timeline["end"]:
            yield f"{item['ticks']} is outside the media"
        if not 0 <= item["confidence"] <= 1000:
            yield f"a confidence of {item['confidence']}"


def _boxes(items: Sequence[Shown], task: Task) -> Iterable[str]:
    width, height = task.parameters["picture"]
    for item in items:
        if item["box"] is not None:
            left, top, right, bottom = bounds(item["box"])
            if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
                yield f"{left},{top} to {right},{bottom} of {width} x {height}"


def _names(labels: Sequence[Shown]) -> Iterable[str]:
    for label in labels:
        name = label["name"]
        if not name.strip() or len(name.split()) > LONGEST_NAME or may_be_excuse(name):
            yield repr(name[:60])


def _emptiness(labels: Sequence[Shown], frames: Sequence[Frame], task: Task) -> Verdict:
    """A picture that shows something has a label: services name at least that it is outdoors."""
    clause = "nothing named where nothing is"
    if labels or not frames:
        return passed(clause)
    busiest = max(float(np.asarray(frame.picture(task).convert("L")).std()) for frame in frames)
    return expect(clause, busiest < PLAIN, f"no label, though one picture varies by {busiest:.0f} codes", PLAIN)


def _stuck(labels: Sequence[Shown], frames: Sequence[Frame]) -> Verdict:
    clause = "labels follow the picture"
    by_frame: dict[int, list[tuple[str, int]]] = {}
    for label in labels:
        by_frame.setdefault(label["frame"], []).append((label["name"], label["confidence"]))
    counted = Counter(tuple(sorted(each)) for each in by_frame.values())
    most = max(counted.values(), default=0)
    if most >= STUCK and most == len(frames):
        return warned(clause, f"{most} shots have the very same labels and confidences")
    return passed(clause)
