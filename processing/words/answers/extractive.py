"""Answers of the embedded model of task `writing` (format extractive.v1).

Belongs here: reading them. Does not belong here: what a step makes of the text (summary_steps).
"""

from __future__ import annotations

import json

from processing.words.answers import strict

FORMAT = "extractive.v1"


def text_of(content: bytes) -> str:
    """The step's JSON, as text. Raises ContractBroken."""
    found = strict.document(content)
    if found.get("method") != "extractive":
        raise strict.broken("it does not say that it is extractive")
    return json.dumps(strict.mapping(found.get("answer"), "the answer"), ensure_ascii=False)
