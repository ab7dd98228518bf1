"""A golden item of writing put through what it is for: a summary step by step, and its contract.

Belongs here: the item as a task, what came of it. Does not belong here: answering and running (the caller says how),
the steps themselves (processing/words), scoring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from processing.asking import ANSWER_FILE, Ask
from processing.failures import WorkFailure
from processing.manifest import Outcome, Verdict, list_files
from processing.rounds import until_answered
from processing.words import summary_plan
from processing.work import NOT_APPLICABLE, Input, Result, Task, resolve
from resources.releases.golden_sets import RATE_HZ, Item

OPERATION, CONTRACT = "processing.words.summary:make", "processing.contracts.summary:contract"


class Examiners(Protocol):
    """Who runs tasks and contracts, and who answers: the raw bytes of an answer and their format."""

    def run(self, task: Task) -> Result: ...

    def check(self, task: Task) -> Sequence[Verdict]: ...

    def answer(self, ask: Ask, files: Mapping[str, Path]) -> tuple[bytes, str]: ...


class Here:
    """Tasks and contracts in this process, for models of this installation."""

    def run(self, task: Task) -> Result:
        """The operation's result."""
        result: Result = resolve(task.operation)(task)
        return result

    def check(self, task: Task) -> Sequence[Verdict]:
        """The contract's verdicts."""
        verdicts: Sequence[Verdict] = resolve(task.operation)(task)
        return verdicts


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
    examiners: Examiners,
) -> Trial:
    """The summary that a release gives of an item of writing, and what its contract says.

    A failure of the summary is a result of the trial, not of this function.
    """

    def answered(task: Task, asks: Sequence[Ask]) -> Mapping[str, Input]:
        return {ask.name: kept(ask, task.asks, scratch / "answers" / ask.name, examiners) for ask in asks}

    try:
        task, result = until_answered(_task(item, identity, prompts, scratch), examiners.run, answered)
    except WorkFailure as failure:
        return Trial(None, failure.sentence)
    if NOT_APPLICABLE in result.facts:
        return Trial(None, str(result.facts[NOT_APPLICABLE]))
    made = Input(summary_plan.ASSET, task.out, list_files(task.out), result.facts, "")
    judging = scratch / "judging"
    judging.mkdir()
    verdicts = examiners.check(replace(task, operation=CONTRACT, scratch=judging, made=made))
    return Trial(json.loads(made.path(str(result.facts["file"])).read_bytes()), "", tuple(verdicts))


def kept(ask: Ask, asks: Path, folder: Path, examiners: Examiners) -> Input:
    """The answer to an ask whose files lie below `asks`, written down in `folder`."""
    body, format_ = examiners.answer(ask, {role: asks / path for role, path in ask.payload.items()})
    folder.mkdir(parents=True)
    (folder / ANSWER_FILE).write_bytes(body)
    return Input(ask.name, folder, list_files(folder), {"format": format_}, "")


def _task(item: Item, identity: Mapping[str, Any], prompts: Mapping[str, Mapping[str, str]], scratch: Path) -> Task:
    document = item.document()
    folder, work = scratch / "transcript", scratch / "work"
    for each in (folder, work):
        each.mkdir(parents=True)
    (folder / "transcript.json").write_text(json.dumps(document["transcript"]), encoding="utf-8")
    info = {
        "kind": "audio",
        "audio": [{}],
        "duration": {"ticks": document["duration"], "timescale": RATE_HZ},
    }
    options = {"models": {summary_plan.TASK: identity}, "prompts": prompts}
    transcript = Input("transcript", folder, list_files(folder), {}, item.sha256)
    return Task(OPERATION, summary_plan.parameters(info, options), work, inputs={"transcript": transcript})
