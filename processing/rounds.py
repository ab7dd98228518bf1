"""An operation that asks, run again and again with the answers it was given, until it asks nothing more.

Belongs here: the loop and its bound, for everybody who runs such operations. Does not belong here: running (compute) or
answering (resources/gateway).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from processing.asking import Ask
from processing.failures import FAULT_OF_OURS, ContractBroken
from processing.work import Input, Result, Task

MOST_ROUNDS = 64  # an operation that still asks after so many rounds is broken: six hours of frames take ten
Run = Callable[[Task], Result]
Answered = Callable[[Task, Sequence[Ask]], Mapping[str, Input]]


def until_answered(task: Task, run: Run, answered: Answered) -> tuple[Task, Result]:
    """The task with all answers among its inputs, and its last result.

    `answered` gives an input for each question of the task that was just run, by name. Raises what both raise, and
    ContractBroken where it never ends.
    """
    for _ in range(MOST_ROUNDS):
        result = run(task)
        new = [ask for ask in result.asks if ask.name not in task.inputs]
        if not new:
            return task, result
        task = replace(task, inputs={**task.inputs, **answered(task, new)})
    raise ContractBroken(f"{task.operation} still asks after {MOST_ROUNDS} rounds", cure=FAULT_OF_OURS)
