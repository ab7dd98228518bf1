"""What an answer to a golden item comes to: the words, the names, the order that are compared with the truth.

Belongs here: one answer read as the operation of its task reads it, in a worker like any foreign bytes. Does not belong
here: the items, their questions or scores (resources/releases), or reading a format (answers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from processing.asking import ANSWER_FILE, AskTask
from processing.words.answers.lines import read_lines
from processing.words.answers.seen import read_seen
from processing.words.answers.speech import read_speech
from processing.words.answers.vectors import read_vectors
from processing.work import Input, Result, Task

ANSWER = "answer"
OPERATION = "processing.words.examined:make"


def make(task: Task) -> Result:
    """The fact `found` of the input `answer`. Parameters: "task", and what its reader needs of the item.

    speech: the words as a text ("samples"). reading: the lines as a text ("size"). vectors: how many texts lie no
    farther from the first than that of number "near" does ("texts": their count). labels: "names", whether there are
    "faces", and how many findings for a "moderation", None where nobody looked ("size"). Raises ContractBroken.
    """
    found = _FOUND[AskTask(task.parameters["task"])](task.inputs[ANSWER], task.parameters)
    return Result(facts={"found": found})


def _heard(answer: Input, told: Mapping[str, Any]) -> str:
    content = answer.path(ANSWER_FILE).read_bytes()
    return " ".join(word.text for word in read_speech(str(answer.facts["format"]), content, told["samples"]).words)


def _read(answer: Input, told: Mapping[str, Any]) -> str:
    width, height = told["size"]
    return " ".join(line.text for line in read_lines(answer, (width, height)))


def _nearer(answer: Input, told: Mapping[str, Any]) -> int:
    import numpy as np

    vectors = read_vectors(answer, told["texts"]).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = (vectors / np.where(lengths > 0, lengths, 1.0)) @ (vectors[0] / (lengths[0] or 1.0))
    others = [number for number in range(1, len(alike)) if number != told["near"]]
    return sum(bool(alike[number] >= alike[told["near"]]) for number in others)


def _seen(answer: Input, told: Mapping[str, Any]) -> dict[str, Any]:
    width, height = told["size"]
    seen = read_seen(answer, (width, height))
    return {
        "names": [label.name for label in seen.labels],
        "faces": bool(seen.faces),
        "moderation": None if seen.moderation is None else len(seen.moderation),
    }


_FOUND: Mapping[AskTask, Callable[[Input, Mapping[str, Any]], Any]] = {
    AskTask.SPEECH: _heard,
    AskTask.READING: _read,
    AskTask.VECTORS: _nearer,
    AskTask.LABELS: _seen,
}
