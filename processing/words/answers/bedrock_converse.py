"""Answers of Amazon Bedrock's Converse operation (format bedrock.converse.v1).

Belongs here: finding the text, or the input of the one tool a model was told to answer with, and the ways in which a
response with status 200 is none. Does not belong here: what the text says (summary_steps), or asking
(resources/providers). Source: the API reference of Converse, `stopReason` and `ContentBlock`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from processing.words.answers import strict

FORMAT = "bedrock.converse.v1"
MOST_BLOCKS = 64
MOST_CHARACTERS = 400_000
COMPLETE = frozenset({"end_turn", "stop_sequence", "tool_use"})
WHY_NOT = {
    "max_tokens": "it was cut off at the most tokens that were asked for",
    "model_context_window_exceeded": "it was cut off where the model's window ends",
    "guardrail_intervened": "a guardrail withheld it",
    "content_filtered": "a content filter withheld it",
}


def text_of(content: bytes) -> str:
    """What the message says. Raises ContractBroken for what is empty, cut off or withheld."""
    found = strict.document(content)
    reason = str(found.get("stopReason"))
    if reason not in COMPLETE:
        ended = f"it ended for another reason than being complete: {strict.shown(reason)}"
        raise strict.broken(WHY_NOT.get(reason, ended))
    output = strict.mapping(found.get("output"), "the output")
    message = strict.mapping(output.get("message"), "the message")
    text = "".join(_texts(strict.listed(message.get("content"), "the content", MOST_BLOCKS)))
    if not text.strip():
        raise strict.broken("its text is empty")
    return text


def _texts(blocks: list[Any]) -> Iterator[str]:
    """Texts of a message's blocks; of a tool that is used, its input alone. Reasoning is passed over."""
    mappings = [strict.mapping(block, "a block of the content") for block in blocks]
    used = [strict.mapping(block["toolUse"], "the use of a tool") for block in mappings if "toolUse" in block]
    if used:
        yield json.dumps(strict.mapping(used[0].get("input"), "the input of the tool"), ensure_ascii=False)
        return
    for block in mappings:
        if "text" in block:
            yield strict.text(block["text"], "a text", MOST_CHARACTERS)
