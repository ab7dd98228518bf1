"""One line of text in a picture, as every reader of answers returns it.

Belongs here: the type and what a text must be to be one. Does not belong here: formats (aws_textract, openai_vision,
rapidocr).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from processing.words.answers import strict
from processing.words.answers.boxes import Box

MOST_LINES = 5000  # of one picture: a page of small print has 200
MOST_LETTERS = 2000  # of one line


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its text, its box in pixels of the picture that was asked about, its confidence in thousandths.

    `text` is empty where something stands that could not be read, `confidence` None where a provider gives none.
    `turned` says that the line stands on its head.
    """

    text: str
    box: Box
    confidence: int | None = None
    turned: bool = False


def line_text(value: Any) -> str:
    """A line's text on one line, without control characters. Raises ContractBroken where nothing is left."""
    found = strict.text(value, "a line", MOST_LETTERS)
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in found).split())
    if not plain:
        raise strict.broken("a line has no text")
    return plain
