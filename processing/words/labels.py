"""What is to be seen: labels, findings for a moderator and faces of one frame a shot, or of a still.

Belongs here: asking about pictures, the file. Does not belong here: which frames there are (frames), what a provider's
answer looks like (answers), which model (labels_plan), or whose face it is, which nobody is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from processing.asking import AskTask
from processing.words.answers import openai_vision_labels
from processing.words.answers.boxes import Box, Size, scaled
from processing.words.answers.seen import read_seen
from processing.words.answers.sight import Label, Seen
from processing.words.corrections_plan import UNREVIEWED
from processing.words.frame_answers import FrameQuestions
from processing.words.frames import Frame, frames_of, one_a_shot, shot_starts
from processing.words.labels_plan import MOST_TOKENS
from processing.work import NOT_APPLICABLE, Result, Task

LIST_FILE = "labels.json"
QUESTIONS = FrameQuestions(AskTask.LABELS, openai_vision_labels.SCHEMA, MOST_TOKENS, read_seen)


def make(task: Task) -> Result:
    """Ask about one frame a shot, or write `labels.json` when every answer is there. Parameters: labels_plan.

    Without any picture the result has no file and says so. Raises ContractBroken for an answer that cannot be used.
    """
    frames = asked_frames(task)
    if not frames:
        return Result(facts={NOT_APPLICABLE: "no frame of the moving picture was kept"})
    due = QUESTIONS.due(frames, task, int(task.parameters["rules"]["at_once"]))
    if due:
        return Result(asks=tuple(due))
    seen = [seen_in(frame, task) for frame in frames]
    document = put_together(frames, seen, task.parameters, QUESTIONS.cited(frames, task))
    task.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (task.out / LIST_FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
    return Result(facts=facts_of(document))


def asked_frames(task: Task) -> list[Frame]:
    """The frames that are asked about."""
    rules = task.parameters["rules"]
    return one_a_shot(frames_of(task, rules["still_side"]), shot_starts(task.inputs), rules["most_frames"])


def seen_in(frame: Frame, task: Task) -> Seen:
    """What was answered about a frame, in pixels of the picture that was sent."""
    return QUESTIONS.answer(frame, task)


def put_together(
    frames: Sequence[Frame], seen: Sequence[Seen], told: Mapping[str, Any], cited: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The document. Each label, finding and face cites its frame, by number and time, and its box, if it has one.

    `cited` are the frames as they are listed. `moderation` and `faces` are null where no answer looked for them.
    """
    to = int(told["picture"][0]), int(told["picture"][1])
    timeline, least = told["timeline"], int(told["rules"]["least_confidence"])
    pairs = list(zip(frames, seen, strict=True))
    return {
        "timescale": timeline["timescale"] if timeline else None,
        "picture": {"width": to[0], "height": to[1]},
        "model": told["model"],
        "ai_generated": True,
        "review": UNREVIEWED,
        "frames": list(cited),
        "labels": [
            _cited(label, frame, to) for frame, each in pairs for label in each.labels if label.confidence >= least
        ],
        "moderation": _looked_for(
            [
                None if each.moderation is None else [_cited(finding, frame, to) for finding in each.moderation]
                for frame, each in pairs
            ]
        ),
        "faces": _looked_for(
            [
                None
                if each.faces is None
                else [{"confidence": face.confidence, **_place(face.box, frame, to)} for face in each.faces]
                for frame, each in pairs
            ]
        ),
    }


def _looked_for(found: Sequence[list[dict[str, Any]] | None]) -> list[dict[str, Any]] | None:
    """All of them; None where not every answer looked, for "none found" would not be true."""
    told = [each for each in found if each is not None]
    return [item for each in told for item in each] if len(told) == len(found) else None


def _cited(label: Label, frame: Frame, to: Size) -> dict[str, Any]:
    return {
        "name": label.name,
        "parents": list(label.parents),
        "confidence": label.confidence,
        **_place(label.box, frame, to),
    }


def _place(box: Box | None, frame: Frame, to: Size) -> dict[str, Any]:
    placed = None if box is None else [list(point) for point in scaled(box, frame.size, to)]
    return {"frame": frame.number, "ticks": frame.ticks, "box": placed}


def facts_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of the document."""
    counted = {name: None if document[name] is None else len(document[name]) for name in ("moderation", "faces")}
    return {
        "file": LIST_FILE,
        "timescale": document["timescale"],
        "frames": len(document["frames"]),
        "labels": len(document["labels"]),
        **counted,
        "ai_generated": True,
        "review": UNREVIEWED,
        "model": document["model"],
    }


def read_document(folder: Path) -> dict[str, Any]:
    """The document of `labels.json`."""
    document: dict[str, Any] = json.loads((folder / LIST_FILE).read_bytes())
    return document
