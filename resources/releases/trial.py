"""A golden item put through what it is for: a summary step by step, or one answer as text.

Belongs here: the item as a task, the loop over its asks, what an answer comes to. Does not belong here: answering (the
caller says how), the steps themselves (processing/words), scoring.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.asking import ANSWER_FILE, MOST_ROUNDS, Ask
from processing.failures import ContractBroken, WorkFailure
from processing.manifest import Outcome, Verdict, list_files
from processing.words import summary, summary_plan
from processing.words.summary_steps import SAMPLES_A_S
from processing.work import NOT_APPLICABLE, Input, Result, Task
from resources.releases.golden_sets import Item

Answering = Callable[[Ask, Mapping[str, Path]], tuple[bytes, str]]


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of an item: the summary, or None and why; the task whose contract can judge it."""

    document: Mapping[str, Any] | None
    why: str
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether there is a summary and its contract has nothing against it."""
        return self.document is not None and all(verdict.outcome is not Outcome.FAILED for verdict in self.verdicts)


def summarised(
    item: Item,
    identity: Mapping[str, Any],
    prompts: Mapping[str, Mapping[str, str]],
    scratch: Path,
    answering: Answering,
) -> Trial:
    """The summary that a release gives of an item of writing, and what its contract says.

    `answering(ask, files)` gives the raw bytes of an answer and their format; `files` are the ask's payload by role.
    A failure of the summary is a result of the trial, not of this function.
    """
    task = _task(item, identity, prompts, scratch)
    try:
        done = _asked(task, answering)
    except WorkFailure as failure:
        return Trial(None, failure.sentence)
    if NOT_APPLICABLE in done.result.facts:
        return Trial(None, str(done.result.facts[NOT_APPLICABLE]))
    from processing.contracts.summary import contract

    made = Input(summary_plan.ASSET, done.task.out, list_files(done.task.out), done.result.facts, "")
    verdicts = contract(Task("", task.parameters, scratch, inputs=done.task.inputs, made=made))
    return Trial(summary.read_summary(made), "", tuple(verdicts))


@dataclass(frozen=True, slots=True)
class _Done:
    task: Task
    result: Result


def _task(item: Item, identity: Mapping[str, Any], prompts: Mapping[str, Mapping[str, str]], scratch: Path) -> Task:
    document = item.document()
    folder = scratch / "transcript"
    folder.mkdir(parents=True)
    (folder / summary.TRANSCRIPT_FILE).write_text(json.dumps(document["transcript"]), encoding="utf-8")
    info = {
        "kind": "audio",
        "audio": [{}],
        "duration": {"ticks": document["duration"], "timescale": SAMPLES_A_S},
    }
    options = {"models": {summary_plan.TASK: identity}, "prompts": prompts}
    transcript = Input("transcript", folder, list_files(folder), {}, item.sha256)
    return Task("", summary_plan.parameters(info, options), scratch, inputs={"transcript": transcript})


def _asked(task: Task, answering: Answering) -> _Done:
    """The operation run again with the answers so far, until it asks nothing more. Raises its failures."""
    inputs = dict(task.inputs)
    for number in range(MOST_ROUNDS):
        running = Task("", task.parameters, task.scratch / f"round-{number}", inputs=dict(inputs))
        result = summary.make(running)
        if not result.asks:
            return _Done(running, result)
        for ask in result.asks:
            body, format_ = answering(ask, {role: running.asks / path for role, path in ask.payload.items()})
            folder = task.scratch / "answers" / ask.name
            folder.mkdir(parents=True)
            (folder / ANSWER_FILE).write_bytes(body)
            inputs[ask.name] = Input(ask.name, folder, list_files(folder), {"format": format_}, "")
    raise ContractBroken(f"the summary still asks after {MOST_ROUNDS} rounds")


def heard(answer: Input, item: Item) -> str:
    """The words of an answer about an item of speech. Raises ContractBroken for one that cannot be used."""
    from processing.words.answers.speech import read_speech

    told = read_speech(str(answer.facts["format"]), answer.path(ANSWER_FILE).read_bytes(), item.samples)
    return " ".join(word.text for word in told.words)


def shown(answer: Input, item: Item) -> str:
    """The lines of an answer about an item of reading, one after the other. Raises ContractBroken as `heard`."""
    from PIL import Image

    from processing.words.answers.lines import read_lines

    with Image.open(item.path) as picture:
        return " ".join(line.text for line in read_lines(answer, picture.size))
