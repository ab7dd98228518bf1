"""Words that a person corrected or accepted: the artifact of a machine and corrections in, the asset anew out.

Belongs here: files and facts. Does not belong here: what corrections do to a document (corrections).

Inputs: `uncorrected`, the artifact that the machine made; for a transcript `speech_map`. Parameters: `corrections` in
order of their places, and `accepted`, who accepted them as they are (or null).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from processing.sound.speech import read_map
from processing.words.corrections import FORMS, PARTS, Correction
from processing.words.corrections_plan import ACCEPTED, CORRECTED, UNCORRECTED
from processing.words.transcript import Track, track_facts
from processing.work import Input, Result, Task


def transcript(task: Task) -> Result:
    """Write the corrected `transcript.json`. Raises `NotCorrect`."""
    document = _written(task, "transcript")
    speech = speech_of(task.inputs["speech_map"])
    facts = []
    for each in document["tracks"]:
        number = int(each["track"])
        facts.append(track_facts(Track(number, each["language"], int(each["samples"]), speech[number], ()), each))
    words = sum(int(each["words"]) for each in facts)
    return _result(task, {"words": words, "tracks": facts})


def summary(task: Task) -> Result:
    """Write the corrected `summary.json` beside the steps that led to the machine's. Raises `NotCorrect`."""
    document = _written(task, "summary")
    states = str(task.inputs[UNCORRECTED].facts["states"])
    (task.out / states).write_bytes(task.inputs[UNCORRECTED].path(states).read_bytes())
    return _result(task, {part: len(document[part]) for part in PARTS})


def corrections_of(task: Task) -> list[Correction]:
    """What is to be corrected."""
    return [Correction.from_json(each) for each in task.parameters["corrections"]]


def review_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that say who looked at it: the state, the people, the last time."""
    corrections: Sequence[Mapping[str, Any]] = told["corrections"]
    accepted: Mapping[str, Any] | None = told["accepted"]
    looks = [*corrections, *([accepted] if accepted else [])]
    return {
        "review": CORRECTED if corrections else ACCEPTED,
        "reviewed_by": sorted({str(look["author"]) for look in looks}),
        "reviewed_at": max(str(look["at"]) for look in looks),
        "corrections": len(corrections),
    }


def read_document(item: Input, asset: str) -> dict[str, Any]:
    """The document of an artifact of that asset."""
    document: dict[str, Any] = json.loads(item.path(FORMS[asset].file).read_bytes())
    return document


def speech_of(speech_map: Input) -> dict[int, tuple[tuple[int, int], ...]]:
    """The spans of speech of each track, in samples."""
    return {
        int(track["track"]): tuple((int(start), int(end)) for start, end in track["segments"])
        for track in read_map(speech_map.folder)["tracks"]
    }


def _written(task: Task, asset: str) -> dict[str, Any]:
    document = FORMS[asset].correct(read_document(task.inputs[UNCORRECTED], asset), corrections_of(task))
    task.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
    (task.out / FORMS[asset].file).write_text(text, encoding="utf-8", newline="\n")
    return document


def _result(task: Task, facts: Mapping[str, Any]) -> Result:
    return Result(facts={**task.inputs[UNCORRECTED].facts, **facts, **review_of(task.parameters)})
