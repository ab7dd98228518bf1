"""`rapidocr.v1`: what the embedded reader answers (words/embedded/reading).

Belongs here: that format. Does not belong here: reading pictures. Bytes of our own worker, and no more trusted for it:
what is read there came from a stranger's file.
"""

from __future__ import annotations

from typing import Any

from processing.words.answers import strict
from processing.words.answers.boxes import Box, Size, per_mille
from processing.words.answers.line import MOST_LINES, Line, line_text

FORMAT = "rapidocr.v1"


def read(content: bytes, size: Size) -> list[Line]:
    """The lines of a picture of `size` pixels. Raises ContractBroken."""
    told = strict.document(content)
    if (told.get("width"), told.get("height")) != size:
        raise strict.broken(f"it is about a picture of {told.get('width')} x {told.get('height')} pixels")
    if "lines" not in told:
        raise strict.broken("it lists no lines")
    return [_line(each, size) for each in strict.listed(told["lines"], "lines", MOST_LINES)]


def _line(value: Any, size: Size) -> Line:
    told = strict.mapping(value, "a line")
    if not isinstance(told.get("turned"), bool):
        raise strict.broken("a line does not say whether it is turned")
    confidence = per_mille(told.get("confidence"), "a line's confidence", 1)
    text = line_text(told.get("text")) if told.get("text") != "" else ""  # a place that could not be read
    return Line(text, _box(told.get("box"), size), confidence, told["turned"])


def _box(value: Any, size: Size) -> Box:
    points = [strict.listed(point, "a point", 2) for point in strict.listed(value, "a box", 4)]
    if len(points) != 4 or any(len(point) != 2 for point in points):
        raise strict.broken("a box is not four points")
    found = [(strict.integer(x, "a point", 0, size[0]), strict.integer(y, "a point", 0, size[1])) for x, y in points]
    return (found[0], found[1], found[2], found[3])
