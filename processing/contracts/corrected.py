"""What must hold of words that a person corrected: they say what he wrote, the rest is as it was, all has its time.

Belongs here: comparing with what was corrected, and the form of the document. Does not belong here: whether the words
are right, which is the person's judgement, or how they are put in place (words/corrections).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from processing.contracts.clauses import expect, failed, none_against, passed
from processing.contracts.transcript import form
from processing.manifest import Verdict
from processing.words.corrected import corrections_of, read_document, review_of, speech_of
from processing.words.corrections import FORMS, PARTS
from processing.words.corrections_plan import UNCORRECTED
from processing.words.pieces import Piece
from processing.words.transcript import Track, track_facts
from processing.work import Input, Task

SPOKEN = ("words", "segments")  # of a track: what a correction changes


def transcript(task: Task) -> list[Verdict]:
    """Judge `task.made`, a corrected transcript."""
    return _judged(task, "transcript")


def summary(task: Task) -> list[Verdict]:
    """Judge `task.made`, a corrected summary."""
    return _judged(task, "summary")


def _judged(task: Task, asset: str) -> list[Verdict]:
    made = task.made
    if made is None:
        raise ValueError("the contract of corrected words needs what was made")
    try:
        document, before = read_document(made, asset), read_document(task.inputs[UNCORRECTED], asset)
        own = _transcript(task, made, document, before) if asset == "transcript" else _summary(made, document, before)
        return [passed("can be read"), *_corrected(task, asset, document, before), *_reviewed(task, made), *own]
    except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError) as error:
        return [failed("can be read", f"{type(error).__name__}: {error}", FORMS[asset].file)]


def _corrected(task: Task, asset: str, document: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Verdict]:
    """Texts in their order: what was corrected, or what was there. One that was emptied is gone."""
    wanted = {each.place: each.text for each in corrections_of(task)}
    places = FORMS[asset].places
    was = [(place.id, place.text, wanted.get(place.id, place.text)) for place in places(before)]
    due = [text for _, _, text in was if text]
    found = [place.text for place in places(document)]
    wrong = [f"{text[:60]!r}" for text, other in zip(found, due, strict=False) if text != other]
    yield expect("says what it was corrected to", len(found) == len(due) and not wrong, "; ".join(wrong[:3]))
    yield none_against("corrects what was there", set(wanted) - {id_ for id_, _, _ in was})


def _reviewed(task: Task, made: Input) -> Iterator[Verdict]:
    due = review_of(task.parameters)
    base = task.inputs[UNCORRECTED].facts
    is_said = all(made.facts.get(name) == value for name, value in due.items())
    yield expect("says who reviewed it", is_said and bool(due["reviewed_by"]), str(due["reviewed_by"]))
    kept = all(made.facts.get(name) == base.get(name) for name in ("ai_generated", "model", "language"))
    yield expect("still says which machine wrote it first", kept)


def _transcript(task: Task, made: Input, document: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Verdict]:
    speech = speech_of(task.inputs["speech_map"])
    facts = []
    for track, old in zip(document["tracks"], before["tracks"], strict=True):
        number = int(track["track"])
        pieces = tuple(Piece(*(int(each[key]) for key in ("start", "end", "first", "last"))) for each in old["pieces"])
        due = Track(number, old["language"], int(old["samples"]), speech[number], pieces)
        for verdict in form(track, due):
            yield Verdict(f"track {number} {verdict.clause}", verdict.outcome, verdict.found, verdict.expected)
        yield expect(f"track {number} is else as it was", _without(track, SPOKEN) == _without(old, SPOKEN))
        facts.append(track_facts(due, track))
    summed = made.facts["tracks"] == facts
    yield expect("is summed up rightly", summed and made.facts["words"] == sum(each["words"] for each in facts))


def _summary(made: Input, document: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[Verdict]:
    counts = {part: len(document[part]) for part in PARTS}
    yield expect("is summed up rightly", all(made.facts[part] == count for part, count in counts.items()), str(counts))
    yield expect("is else as it was", _without(document, PARTS) == _without(before, PARTS))
    for part in PARTS:
        was = [_place(each) for each in before[part]]
        moved = [place for place in map(_place, document[part]) if place not in was]
        yield expect(f"{part} rest on what they rested on", not moved, len(moved), 0)
    chapters = len(document["chapters"]), len(before["chapters"])
    yield expect("has the chapters it had", chapters[0] == chapters[1], *chapters)


def _without(value: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if name not in names}


def _place(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a part of a summary speaks, and what it rests on."""
    return item.get("start"), item.get("end"), item["cites"]
