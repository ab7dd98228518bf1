"""`openai.vision.v1`: lines of text, told by a model that sees, in the form that `SCHEMA` asks for.

Belongs here: that form, and what of it is believed. Does not belong here: the envelope (openai_chat), or asking
(resources/providers).

A model that writes can write anything: an excuse instead of a text, boxes outside the picture, one line without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.words.answers import openai_chat, strict
from processing.words.answers.boxes import PER_MILLE, Size, of_thousandths
from processing.words.answers.line import MOST_LINES, Line, line_text

FORMAT = "openai.vision.v1"
PROMPT = (
    "Copy every line of text that can be read in the picture, letter by letter as it stands there, from top to bottom. "
    "Do not translate, correct, complete or describe anything. For each line give its box as whole thousandths of the "
    "picture's width and height (left, top, right, bottom), and how sure you are in thousandths. Answer with an empty "
    "list where nothing is written."
)
_BOX: Mapping[str, Any] = {"type": "array", "items": {"type": "integer"}}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "box": _BOX, "confidence": {"type": "integer"}},
                "required": ["text", "box", "confidence"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["lines"],
    "additionalProperties": False,
}


def read(content: bytes, size: Size) -> list[Line]:
    """The lines of a picture of `size` pixels. Raises ContractBroken, also for a refusal and what was cut off."""
    text = openai_chat.text_of(content)
    with strict.of_a_form():
        told = strict.document(text.encode())
        if "lines" not in told:
            raise strict.broken("it lists no lines")
        return [_line(each, size) for each in strict.listed(told["lines"], "lines", MOST_LINES)]


def _line(value: Any, size: Size) -> Line:
    told = strict.mapping(value, "a line")
    confidence = strict.integer(told.get("confidence"), "a line's confidence", 0, PER_MILLE)
    return Line(line_text(told.get("text")), of_thousandths(told.get("box"), "a line's box", size), confidence)
