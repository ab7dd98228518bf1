"""Questions to a model: what a derivative cannot work out by itself and writes down for others to have answered.

Belongs here: the question as data, and reading an answer's facts. Does not belong here: who answers (resources/gateway)
or what an answer means (the operation that asked, processing/words/answers).

An operation returns its asks in `Result.asks` and is run again with each answer as an input of the ask's name; it ends
when it asks nothing more. Given the same answers it must ask the same. An answer is an artifact: its files are the raw
bytes (`ANSWER_FILE`), its facts say in which `format` they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ANSWER_FILE = "answer.json"


class AskTask(StrEnum):
    """What is asked for; one port of providers a task."""

    SPEECH = "speech"
    READING = "reading"
    WRITING = "writing"
    VECTORS = "vectors"
    LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Ask:
    """One question.

    `name` is unique within the derivative ("speech/0/0003"). `parameters` are all that shapes the answer besides the
    model and the payload (language, prompt, schema). `payload` maps roles to files below `Task.asks`, named by the
    ask's own folder. `media_s` is how much media it is about, `most_tokens` how long a text the answer may be.
    """

    name: str
    task: AskTask
    parameters: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, str] = field(default_factory=dict)
    media_s: float = 0.0
    most_tokens: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "task": self.task.value,
            "parameters": dict(self.parameters),
            "payload": dict(self.payload),
            "media_s": self.media_s,
            "most_tokens": self.most_tokens,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ask:
        return cls(
            value["name"],
            AskTask(value["task"]),
            value["parameters"],
            value["payload"],
            float(value["media_s"]),
            int(value["most_tokens"]),
        )
