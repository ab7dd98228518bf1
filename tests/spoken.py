"""From a file to its transcript and captions, as production makes them: sound pass, speech map, questions, answers.

Belongs here: the way there, answers of each format, documents for contracts. Does not belong here: assertions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from processing.asking import ANSWER_FILE, Ask
from processing.manifest import list_files
from processing.sound import plan, speech, speech_plan
from processing.words import captions, captions_plan, transcript, transcript_plan
from processing.words.embedded import listening, listening_plan
from processing.work import Input, Result, Task
from tests.media_sound import as_input, run_pass

Answerer = Callable[[Ask, Path], tuple[str, bytes]]
SCRIBE = {"id": "scribe", "version": "1", "sha256": "a" * 64, "languages": []}


@dataclass(frozen=True)
class Heard:
    """A source whose sound was looked at: facts of media_info, inputs of a transcript."""

    info: dict[str, Any]
    inputs: dict[str, Input]
    folder: Path


def heard(path: Path, folder: Path) -> Heard:
    """The sound pass and the speech map of a file."""
    made = run_pass(path, folder / "pass", taps=[plan.FLAC_TAP])
    task = Task("", speech_plan.parameters(made.info, {}), folder / "speech", inputs=made.inputs)
    spoken = as_input("speech_map", task.out, speech.make(task).facts)
    return Heard(made.info, {**made.inputs, "speech_map": spoken}, folder)


def transcript_task(source: Heard, model: Mapping[str, Any], folder: Path, *, language: str | None = None) -> Task:
    """The first round's task."""
    options = {"models": {"speech": dict(model)}, "language": language}
    assert transcript_plan.applies(source.info, options) is None
    return Task("", transcript_plan.parameters(source.info, options), folder, inputs=source.inputs)


def answered(task: Task, answer: Answerer) -> tuple[Task, Result]:
    """All rounds of a transcript; the task has the answers among its inputs."""
    result = transcript.make(task)
    inputs = dict(task.inputs)
    for ask in result.asks:
        kind, content = answer(ask, task.asks / ask.name)
        folder = task.scratch / "answers" / ask.name
        folder.mkdir(parents=True)
        (folder / ANSWER_FILE).write_bytes(content)
        facts = {"format": kind, "task": "speech", "release": dict(task.parameters["model"]), "usage": {}}
        inputs[ask.name] = Input(ask.name, folder, list_files(folder), facts, "")
    again = replace(task, inputs=inputs, scratch=task.scratch / "again")
    return again, transcript.make(again)


def listening_answer(ask: Ask, payload: Path) -> tuple[str, bytes]:
    """The embedded recogniser."""
    inputs = {"ask": Input("ask", payload, list_files(payload), {}, "")}
    parameters = {"ask": dict(ask.parameters), "release": listening_plan.model()}
    task = Task("", parameters, payload.parent / f"{payload.name}.answer", inputs=inputs)
    facts = listening.answer(task).facts
    return str(facts["format"]), (task.out / ANSWER_FILE).read_bytes()


def transcribed(path: Path, folder: Path, *, language: str | None = None) -> tuple[Task, Result]:
    """The embedded recogniser's transcript of a file; the task is the one its contract gets."""
    source = heard(path, folder)
    task, result = answered(
        transcript_task(source, listening_plan.model(), folder / "transcript", language=language), listening_answer
    )
    return judged(task, result), result


def judged(task: Task, result: Result) -> Task:
    """The task of the contract."""
    if not result.facts.get("file") and not result.facts.get("tracks"):
        return task
    return replace(task, made=as_input("made", task.out, result.facts))


def text_of(task: Task) -> str:
    """All words of the first track."""
    document = transcript.read_transcript(task.out)
    return " ".join(word["text"] for word in document["tracks"][0]["words"])


def captioned(
    transcribed_task: Task, info: Mapping[str, Any], folder: Path, *, scenes: Input | None = None
) -> tuple[Task, Result]:
    """Captions of a transcript that was judged."""
    assert transcribed_task.made is not None
    inputs = {"transcript": replace(transcribed_task.made, name="transcript")}
    if scenes is not None:
        inputs["scenes"] = scenes
    task = Task("", captions_plan.parameters(info, {}), folder, inputs=inputs)
    result = captions.make(task)
    return judged(task, result), result


def verbose(words: list[tuple[str, float, float]], language: str = "english", **more: Any) -> Answerer:
    """An answer of an OpenAI-like server that says these words."""
    text = more.pop("text", " ".join(word for word, _, _ in words))

    def answer(_ask: Ask, _payload: Path) -> tuple[str, bytes]:
        document = {
            "task": "transcribe",
            "language": language,
            "duration": 11.0,
            "text": text,
            "words": [{"word": word, "start": max(0.0, start), "end": end} for word, start, end in words],
            "segments": [],
            **more,
        }
        return "openai.verbose_json.v1", json.dumps(document).encode()

    return answer
