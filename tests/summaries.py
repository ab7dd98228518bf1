"""Transcripts to sum up, and models that answer: the embedded one, and scripted ones in providers' formats.

Belongs here: what the tests of summaries and releases share. Does not belong here: assertions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from processing.asking import ANSWER_FILE, Ask
from processing.manifest import list_files
from processing.words import summary, summary_plan
from processing.words.embedded import extracting
from processing.work import Input, Result, Task

RATE_HZ = 16_000
ISLANDS = """
Good morning and welcome to the harbour. The ferry to the islands leaves every hour from pier nine. Tickets for the
ferry are sold at the kiosk beside the pier. Children under six travel on the ferry for free. Last year the ferry
carried 40,000 people to the islands. The captain, Maria Lindqvist, has worked on this ferry for thirty years.

Now let us talk about the weather on the islands. The wind on the islands is strong in the morning and calm in the
evening. Rain is rare in summer, but the wind can bring cold fog from the sea. Bring a jacket against the wind even on
warm days. The fog usually clears before noon.

Finally, the food. The best fish soup on the islands is served at the old mill. The mill opens at noon and closes when
the soup is gone. Fishermen bring the fish for the soup straight from their boats. The recipe for the soup is older than
the mill itself. Nobody leaves the mill hungry.
"""
MODEL = {"id": "a-model", "version": "1.0.0", "sha256": "a" * 64, "languages": ["*"]}
PROMPTS = {
    name: {"id": name, "version": "1.0.0", "sha256": "b" * 64, "text": f"Sum up what follows, step {name}, as told."}
    for name in summary_plan.PROMPTS
}
Answering = Callable[[Ask, Mapping[str, Any]], tuple[bytes, str]]


def transcript_of(text: str, *, language: str = "en", words_a_s: float = 2.5) -> dict[str, Any]:
    """A transcript document: half a second between sentences, three seconds between paragraphs."""
    at, words, segments = RATE_HZ, [], []
    for paragraph in text.strip().split("\n\n"):
        for sentence in paragraph.replace("\n", " ").split(". "):
            first = len(words)
            for word in f"{sentence.rstrip('.')}.".split():
                length = int(RATE_HZ / words_a_s)
                words.append({"text": word, "start": at, "end": at + length * 9 // 10, "confidence": 900})
                at += length
            span = {"start": words[first]["start"], "end": words[-1]["end"]}
            segments.append({**span, "first": first, "words": len(words) - first})
            at += RATE_HZ // 2
        at += 3 * RATE_HZ
    track = {"track": 0, "language": language, "words": words, "segments": segments}
    return {"rate_hz": RATE_HZ, "tracks": [track]}


def document_input(name: str, file: str, document: Any, folder: Path) -> Input:
    """A JSON document as the artifact of one file that a task reads."""
    folder.mkdir(parents=True)
    (folder / file).write_text(json.dumps(document), encoding="utf-8")
    return Input(name, folder, list_files(folder), {"file": file}, "0" * 64)


def summary_task(
    folder: Path,
    transcript: Mapping[str, Any],
    *,
    cuts_s: Sequence[float] = (),
    shown: Sequence[tuple[float, float, str]] = (),
    tail_s: float = 2.0,
    **rules: int,
) -> Task:
    """The task of a summary: transcript, shots where there are cuts, texts on screen, rules other than the usual."""
    ends = [word["end"] for track in transcript["tracks"] for word in track["words"]]
    duration = max(ends, default=0) + int(tail_s * RATE_HZ)
    inputs = {"transcript": document_input("transcript", "transcript.json", transcript, folder / "transcript")}
    if cuts_s:
        borders = [0, *(round(cut * 90_000) for cut in cuts_s), duration * 90_000 // RATE_HZ]
        shots = [{"start": start, "end": end} for start, end in itertools.pairwise(borders)]
        scenes = {"timescale": 90_000, "frames": 1, "shots": shots}
        inputs["scenes"] = document_input("scenes", "scenes.json", scenes, folder / "scenes")
    if shown:
        lines = [{"start": int(a * 90_000), "end": int(b * 90_000), "text": text} for a, b, text in shown]
        screen = {"timescale": 90_000, "lines": lines}
        inputs["screen_text"] = document_input("screen_text", "screen_text.json", screen, folder / "screen_text")
    info = {"kind": "video", "audio": [{}], "duration": {"ticks": duration, "timescale": RATE_HZ}}
    told = summary_plan.parameters(info, {"models": {"writing": MODEL}, "prompts": PROMPTS})
    told["rules"] |= rules
    return Task("", told, folder / "work", inputs=inputs)


def extractive(ask: Ask, material: Mapping[str, Any], scratch: Path) -> tuple[bytes, str]:
    """The embedded model's answer: its bytes and format."""
    given = document_input("ask", extracting.MATERIAL, material, scratch / "ask")
    task = Task("", {"ask": ask.parameters, "release": {}}, scratch / "answer", inputs={"ask": given})
    made = extracting.answer(task)
    return (task.out / ANSWER_FILE).read_bytes(), str(made.facts["format"])


def drafted(step: str, material: Mapping[str, Any]) -> dict[str, Any]:
    """What the embedded model says to a step, as a value."""
    return {"part": extracting.part, "merge": extracting.merge, "check": extracting.check}[step](material)


def chat(value: Any, *, reason: str = "stop", refusal: str | None = None) -> tuple[bytes, str]:
    """A value as the text of a chat completion; a text as it is."""
    content = value if isinstance(value, str) or value is None else json.dumps(value)
    message = {"role": "assistant", "content": content, "refusal": refusal}
    body = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": {}}
    body["choices"][0]["finish_reason"] = reason  # type: ignore[index]
    return json.dumps(body).encode(), "openai.chat_json.v1"


@dataclass
class Author:
    """A model that answers as the embedded one does, but for what `spoil` makes of a draft or a check.

    `spoil(step, value)` gives the value or text that is answered, or the finished (bytes, format).
    """

    spoil: Callable[[str, dict[str, Any]], Any] = lambda step, value: value
    asked: tuple[str, ...] = ()

    def __call__(self, ask: Ask, material: Mapping[str, Any]) -> tuple[bytes, str]:
        self.asked = (*self.asked, ask.name)
        answer = self.spoil(ask.name, drafted(str(ask.parameters["step"]), material))
        return answer if isinstance(answer, tuple) else chat(answer)


@dataclass(frozen=True)
class Made:
    """A finished summary: the task as its contract gets it, all asks, the answers by name, the documents."""

    task: Task
    result: Result
    asks: tuple[Ask, ...]
    answers: Mapping[str, Input]

    @property
    def document(self) -> dict[str, Any]:
        assert self.task.made is not None
        return summary.read_summary(self.task.made)

    @property
    def states(self) -> dict[str, Any]:
        assert self.task.made is not None
        return json.loads(self.task.made.path(summary.STATES_FILE).read_text())  # type: ignore[no-any-return]


def summed_up(task: Task, answering: Answering | None = None, answers: Mapping[str, Input] | None = None) -> Made:
    """Run the operation with every answer it asks for, until it asks nothing more."""
    given: dict[str, Input] = dict(answers or {})
    asks: list[Ask] = []
    for number in range(20):
        running = replace(task, scratch=task.scratch / str(number), inputs={**task.inputs, **given})
        result = summary.make(running)
        if not result.asks:
            made = Input(
                "summary", running.out, list_files(running.out) if running.out.exists() else (), result.facts, ""
            )
            return Made(replace(running, inputs=task.inputs, made=made), result, tuple(asks), given)
        for ask in result.asks:
            asks.append(ask)
            material = json.loads((running.asks / ask.payload[summary.MATERIAL]).read_text(encoding="utf-8"))
            folder = task.scratch / "answers" / ask.name
            if answering is None:
                body, format_ = extractive(ask, material, task.scratch / "models" / ask.name)
            else:
                body, format_ = answering(ask, material)
            folder.mkdir(parents=True)
            (folder / ANSWER_FILE).write_bytes(body)
            given[ask.name] = Input(ask.name, folder, list_files(folder), {"format": format_, "task": "writing"}, "")
    raise AssertionError("the summary never ends asking")
