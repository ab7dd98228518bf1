"""Operations that ask, run as production runs them: until they ask no more, with answers of a test's choice.

Belongs here: answers as inputs, nothing asked twice. Does not belong here: assertions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from processing.asking import ANSWER_FILE, Ask
from processing.rounds import until_answered
from processing.words.embedded import reading
from processing.work import Input, Result, Task
from tests.media import as_input

Answering = Callable[[Ask, Path], tuple[bytes, str]]  # the question and its folder; the answer's bytes and format


def finished(make: Callable[[Task], Result], task: Task, answering: Answering) -> tuple[Task, Result]:
    """The task with all answers among its inputs and with what it made, and its last result."""
    kept = task.scratch.parent / f"{task.scratch.name}-answers"
    asked: list[str] = []

    def run(task: Task) -> Result:
        for folder in (task.out, task.asks):
            shutil.rmtree(folder, ignore_errors=True)
        task.scratch.mkdir(parents=True, exist_ok=True)
        result = make(task)
        for ask in result.asks:
            assert ask.name not in asked, "asked twice"
            asked.append(ask.name)
        return result

    def answered(task: Task, asks: Sequence[Ask]) -> dict[str, Input]:
        found = {}
        for ask in asks:
            assert Ask.from_json(json.loads(json.dumps(ask.to_json()))) == ask
            content, format_ = answering(ask, task.asks / ask.name)
            found[ask.name] = answer(kept / ask.name, content, format_, ask.name)
        return found

    task, result = until_answered(task, run, answered)
    task.out.mkdir(exist_ok=True)
    return replace(task, made=as_input("made", task.out, result.facts)), result


def answer(folder: Path, content: bytes, format_: str, name: str = "answer") -> Input:
    """An answer as an operation finds it among its inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ANSWER_FILE).write_bytes(content)
    return as_input(name, folder, {"format": format_, "task": "", "release": {}, "usage": {}})


def question(ask: Ask, folder: Path, scratch: Path) -> Task:
    """The task of an embedded model that is asked."""
    roles = {path.name for path in folder.iterdir()}
    assert roles == set(ask.payload), "payload and files differ"
    parameters = {"ask": dict(ask.parameters), "release": {}}
    return Task("", parameters, scratch, inputs={"ask": as_input("ask", folder, {})})


def embedded(ask: Ask, folder: Path) -> tuple[bytes, str]:
    """What the embedded reader answers."""
    task = question(ask, folder, folder.parent / f"{folder.name}-embedded")
    facts: Mapping[str, Any] = reading.answer(task).facts
    return (task.out / ANSWER_FILE).read_bytes(), facts["format"]
