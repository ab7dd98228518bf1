"""What was read in one picture, whoever read it: which reader understands which provider's format.

Belongs here: the choice of a reader by an answer's format, which way a line runs. Does not belong here: any one format.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

from processing.words.answers import aws_textract, openai_vision, rapidocr, strict
from processing.words.answers.boxes import Size
from processing.words.answers.line import Line
from processing.work import Input

READERS: Mapping[str, Callable[[bytes, Size], list[Line]]] = {
    rapidocr.FORMAT: rapidocr.read,
    aws_textract.FORMAT: aws_textract.read,
    openai_vision.FORMAT: openai_vision.read,
}


def read_lines(answer: Input, size: Size) -> list[Line]:
    """The lines of an answer about a picture of `size` pixels. Raises ContractBroken."""
    return strict.read_with(READERS, answer, size)


def direction(text: str) -> str:
    """Which way a line runs: "rtl" where most of its strong letters do (Unicode Standard Annex 9), else "ltr"."""
    kinds = [unicodedata.bidirectional(letter) for letter in text]
    return "rtl" if sum(kind in {"R", "AL"} for kind in kinds) > kinds.count("L") else "ltr"
