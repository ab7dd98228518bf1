"""What must be said of everything that a model made, whatever it is.

Belongs here: facts that all such outputs share. Does not belong here: what any one of them is; each has a contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from processing.words.corrections_plan import UNREVIEWED
from processing.work import Task


def disagreeing(facts: Mapping[str, Any], due: Mapping[str, Any], task: Task) -> Iterable[str]:
    """What facts say other than is due, among it that a model made it, which one, and that nobody looked at it yet."""
    yield from (f"{name} is {facts.get(name)}, due {value}" for name, value in due.items() if facts.get(name) != value)
    if due["model"] != task.parameters["model"]:
        yield "another model is named than was asked"
    if facts.get("review") != UNREVIEWED or facts.get("ai_generated") is not True:
        yield "it does not say that a model made it and nobody has looked at it"
