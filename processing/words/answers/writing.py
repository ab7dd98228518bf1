"""Answers to asks of task `writing`, whatever their format.

Belongs here: which reader a format has. Does not belong here: reading (a module a format).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from processing.words.answers import bedrock_converse, extractive, openai_chat, strict
from processing.work import Input

READERS: Mapping[str, Callable[[bytes], str]] = {
    module.FORMAT: module.text_of for module in (extractive, openai_chat, bedrock_converse)
}


def text_of(answer: Input) -> str:
    """The text of an answer, in which the step's JSON should stand. Raises ContractBroken."""
    return strict.read_with(READERS, answer)
