"""What must hold of the text of pictures: it is what was answered, lies inside the media, and is no excuse.

Belongs here: judging the lines against the answers, the frames and the media; whether an empty result can be true.
Does not belong here: reading (words/screen_text, words/embedded).

What makes the output useless or false fails: another text than was answered, times and boxes outside, excuses for
text, nothing where there is plainly something. What a person should know of and may as well be true warns: a picture in
which a little seems to be written, a line over an even place, text that could not be read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from processing.contracts.by_model import disagreeing
from processing.contracts.clauses import expect, failed, none_against, passed, warned
from processing.failures import WorkFailure
from processing.manifest import Verdict
from processing.words.answers.boxes import bounds
from processing.words.answers.excuses import is_excuse, may_be_excuse
from processing.words.answers.line import MOST_LETTERS, Line
from processing.words.answers.lines import direction
from processing.words.embedded.reading_plan import SURE_AREA
from processing.words.frames import Frame, shot_starts
from processing.words.screen_text import (
    QUESTIONS,
    alike,
    asked_frames,
    facts_of,
    is_unreadable,
    lines_in,
    read_document,
)
from processing.work import NOT_APPLICABLE, Task

LOOKED_AT_AGAIN = 3  # frames, where nothing was read: half a second each
MANY_AREAS = 3  # sure ones in one frame: a page, and not a pattern that looks like a line
LEAST_CONTRAST = 24  # codes of 255 between the darkest and the brightest twentieth of a line's place
MOST_FLAT = 2  # one in so many lines over an even place: boxes of models that write are rough
LOOPING = 20  # times the same text, at places of its own in one frame
Shown = Mapping[str, Any]


def contract(task: Task) -> list[Verdict]:
    """Judge `task.made`. Where the list cannot be read the rest is not looked at."""
    made = task.made
    if made is None:
        raise ValueError("the contract of screen text needs what was made")
    frames = asked_frames(task)
    if NOT_APPLICABLE in made.facts:
        return [expect("there is no picture to read", not frames and not made.files, len(frames), 0)]
    try:
        document = read_document(made.folder)
        lines: Sequence[Shown] = [_typed(line) for line in document["lines"]]
        listed: Sequence[Shown] = document["frames"]
        places: Counter[int] = Counter(int(place["frame"]) for place in document["unread"])
        facts = facts_of(document)
    except (KeyError, OSError, TypeError, ValueError) as error:
        return [failed("list readable", f"{type(error).__name__}: {error}", "JSON with lines")]
    try:
        read = [lines_in(frame, task) for frame in frames]
    except (KeyError, WorkFailure) as error:
        return [failed("answers readable", str(error), f"{len(frames)} answers")]
    return [
        passed("list readable", len(lines)),
        none_against("facts agree", disagreeing(made.facts, facts, task)),
        none_against("every frame is told once", _frames(listed, QUESTIONS.cited(frames, task), read)),
        none_against("lines are text", _texts(lines)),
        none_against("times lie inside the media", _times(lines, frames, shot_starts(task.inputs), task)),
        none_against("boxes lie inside the picture", _boxes(lines, task)),
        none_against("lines are what was answered", _unfounded(lines, read)),
        none_against("what was answered is told", _untold(lines, places, read, task)),
        none_against("a line that stays is one", _twice(lines, task)),
        _excuses(lines),
        _repetition(lines),
        _places(lines, frames, task),
        _emptiness(read, frames, task),
        _unread(places),
    ]


def _typed(line: Mapping[str, Any]) -> Shown:
    """An entry whose fields have their types; raises TypeError, KeyError or ValueError."""
    for name, kinds in (("text", str), ("turned", bool), ("direction", str), ("box", list), ("frames", list)):
        if not isinstance(line[name], kinds):
            raise TypeError(f"{name} is no {kinds.__name__}")
    for name in ("start", "end", "confidence"):
        if line[name] is not None and type(line[name]) is not int:
            raise TypeError(f"{name} is no whole number")
    if not line["frames"] or any(type(number) is not int for number in [*line["frames"], line["box_frame"]]):
        raise TypeError("frames are no numbers")
    if len(line["box"]) != 4 or any(len(p) != 2 or any(type(v) is not int for v in p) for p in line["box"]):
        raise TypeError("a box is not four whole points")
    return line


def _frames(listed: Sequence[Shown], cited: Sequence[Shown], read: Sequence[Sequence[Line]]) -> Iterable[str]:
    due = [{**frame, "lines": len(lines)} for frame, lines in zip(cited, read, strict=True)]
    if list(listed) != due:
        yield f"{len(listed)} frames are told, {len(due)} were asked about"


def _texts(lines: Sequence[Shown]) -> Iterable[str]:
    for line in lines:
        text = line["text"]
        if not text.strip() or len(text) > MOST_LETTERS or not text.isprintable():
            yield f"{text[:40]!r} is no line of text"
        if line["direction"] != direction(text):
            yield f"{text[:40]!r} runs {direction(text)}"
        if line["confidence"] is not None and not 0 <= line["confidence"] <= 1000:
            yield f"a confidence of {line['confidence']}"


def _times(lines: Sequence[Shown], frames: Sequence[Frame], starts: Sequence[int], task: Task) -> Iterable[str]:
    """Spans lie inside, hold the frames that they cite, and do not reach over what was read before and after."""
    timeline = task.parameters["timeline"]
    for line in lines:
        start, end, numbers = line["start"], line["end"], line["frames"]
        if timeline is None:
            if (start, end) != (None, None):
                yield "a line of a still has a time"
            continue
        if start is None or end is None or not timeline["start"] <= start < end <= timeline["end"]:
            yield f"{start} to {end} is not inside {timeline['start']} to {timeline['end']}"
            continue
        if numbers != sorted(set(numbers)) or not 0 <= numbers[0] <= numbers[-1] < len(frames):
            yield f"frames {numbers[:4]} were not asked about in this order"
            continue
        shown = [frames[number].ticks or 0 for number in numbers]
        if not start <= shown[0] <= shown[-1] < end:
            yield f"frames are shown from {shown[0]} to {shown[-1]}, the line from {start} to {end}"
        shot = starts[bisect_right(starts, shown[0]) - 1] if bisect_right(starts, shown[0]) else timeline["start"]
        if start not in (shown[0], shot):
            yield f"nothing begins at {start}"
        if numbers[-1] + 1 < len(frames) and end > (frames[numbers[-1] + 1].ticks or 0):
            yield f"a line that was gone at {frames[numbers[-1] + 1].ticks} lasts until {end}"


def _boxes(lines: Sequence[Shown], task: Task) -> Iterable[str]:
    width, height = task.parameters["picture"]
    for line in lines:
        left, top, right, bottom = bounds(line["box"])
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            yield f"{left},{top} to {right},{bottom} of {width} x {height}"
        if line["box_frame"] not in line["frames"]:
            yield "a box is of a frame in which the line was not read"


def _unfounded(lines: Sequence[Shown], read: Sequence[Sequence[Line]]) -> Iterable[str]:
    """Every entry stands so in the answer about the frame of its box."""
    for line in lines:
        answered = read[line["box_frame"]] if 0 <= line["box_frame"] < len(read) else []
        due = (line["text"], tuple(map(tuple, line["box"])), line["confidence"], line["turned"])
        if due not in [(each.text, each.box, each.confidence, each.turned) for each in answered]:
            yield f"{line['text'][:40]!r} was not read in frame {line['box_frame']}"


def _untold(
    entries: Sequence[Shown], unread: Counter[int], read: Sequence[Sequence[Line]], task: Task
) -> Iterable[str]:
    """Every reading belongs to an entry of its frame that is like it, or to a place that could not be read."""
    told: Counter[int] = Counter(number for line in entries for number in line["frames"])
    for number, lines in enumerate(read):
        lost = [line for line in lines if is_unreadable(line, task.parameters["rules"])]
        due = (len(lines) - len(lost), len(lost))
        if (told[number], unread[number]) != due:
            yield f"frame {number} has {told[number]} lines and {unread[number]} unread, answered were {due}"


def _as_line(shown: Shown) -> Line:
    box = [(int(x), int(y)) for x, y in shown["box"]]
    return Line(shown["text"], (box[0], box[1], box[2], box[3]))


def _twice(lines: Sequence[Shown], task: Task) -> Iterable[str]:
    """No entry goes on in the very next frame as another one."""
    ending: dict[int, list[Shown]] = {}
    for line in lines:
        ending.setdefault(line["frames"][-1] + 1, []).append(line)
    for line in lines:
        for before in ending.get(line["frames"][0], ()):
            same = before["text"] == line["text"] and before["box"] == line["box"]
            if same and alike(_as_line(before), _as_line(line), task.parameters["rules"]):
                yield f"{line['text'][:40]!r} is told twice"


def _excuses(lines: Sequence[Shown]) -> Verdict:
    clause = "is no excuse"
    certain = [line["text"] for line in lines if is_excuse(line["text"])]
    likely = [line["text"] for line in lines if may_be_excuse(line["text"])]
    if certain or (likely and len(likely) == len(lines)):
        return failed(clause, (certain or likely)[0][:80], "text that is in the picture")
    return warned(clause, likely[0][:80], "text that is in the picture") if likely else passed(clause)


def _repetition(lines: Sequence[Shown]) -> Verdict:
    """A model that loops says one line over and over; a page may do so a few times."""
    counted = Counter((line["text"], line["box_frame"]) for line in lines)
    (text, _), times = max(counted.items(), key=lambda each: each[1], default=(("", 0), 0))
    return expect("does not repeat itself", times < LOOPING, f"{times} times {text[:40]!r}", f"fewer than {LOOPING}")


def _places(lines: Sequence[Shown], frames: Sequence[Frame], task: Task) -> Verdict:
    """Where a line is said to be, something is: letters are darker or brighter than what they stand on."""
    clause = "places are not even"
    by_frame: dict[int, list[Shown]] = {}
    for line in lines:
        by_frame.setdefault(line["box_frame"], []).append(line)
    flat = []
    for number, here in sorted(by_frame.items()):
        if not 0 <= number < len(frames):
            continue
        grey = np.asarray(frames[number].picture(task).convert("L"))
        across, down = (side / shown for side, shown in zip(grey.shape[::-1], task.parameters["picture"], strict=True))
        for line in here:
            left, top, right, bottom = bounds(line["box"])
            place = grey[
                int(top * down) : max(1, round(bottom * down)), int(left * across) : max(1, round(right * across))
            ]
            if place.size == 0 or np.subtract(*np.percentile(place, (95, 5))) < LEAST_CONTRAST:
                flat.append(line["text"])
    if not flat:
        return passed(clause)
    say = failed if len(flat) * MOST_FLAT >= len(lines) else warned
    return say(clause, f"{len(flat)} of {len(lines)}, {flat[0][:40]!r}", "letters stand out")


def _emptiness(read: Sequence[Sequence[Line]], frames: Sequence[Frame], task: Task) -> Verdict:
    """Where nothing was read, the embedded detector looks at a few frames: it must see no text either."""
    clause = "nothing read where nothing is"
    if any(read) or not frames:
        return passed(clause)
    from processing.words.embedded.reading import Reader

    reader = Reader()
    step = max(1, len(frames) // LOOKED_AT_AGAIN)
    most = max(
        sum(score >= SURE_AREA for _, score in reader.areas(frame.picture(task)))
        for frame in frames[::step][:LOOKED_AT_AGAIN]
    )
    if most >= MANY_AREAS:
        return failed(clause, f"{most} places that look like text in one frame", "no text at all")
    return warned(clause, f"{most} places that look like text", "no text at all") if most else passed(clause)


def _unread(places: Counter[int]) -> Verdict:
    clause = "all text could be read"
    return warned(clause, f"{places.total()} places, perhaps of another script") if places else passed(clause)
