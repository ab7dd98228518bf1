"""`aws.textract.v1`: what Amazon Textract's DetectDocumentText answers.

Belongs here: that format. Does not belong here: asking for it (resources/providers).

Source: Amazon Textract's API reference, DetectDocumentText: `Blocks` are pages, lines and words; a block has `Text`,
`Confidence` (0 to 100) and `Geometry`, whose `Polygon` has four points as shares of the page, clockwise from where the
text begins, so that one which stands on its head says so itself.
"""

from __future__ import annotations

from typing import Any

from processing.words.answers import strict
from processing.words.answers.boxes import SLACK, Box, Size, of_edges, of_shares, per_mille
from processing.words.answers.line import MOST_LINES, Line, line_text

FORMAT = "aws.textract.v1"
MOST_BLOCKS = 20 * MOST_LINES  # words are blocks of their own


def read(content: bytes, size: Size) -> list[Line]:
    """The lines of a picture of `size` pixels. Raises ContractBroken."""
    told = strict.document(content)
    if "Blocks" not in told:
        raise strict.broken("it has no blocks")
    blocks = [strict.mapping(each, "a block") for each in strict.listed(told["Blocks"], "blocks", MOST_BLOCKS)]
    lines = [_line(each, size) for each in blocks if each.get("BlockType") == "LINE"]
    if not lines and any(each.get("BlockType") == "WORD" for each in blocks):
        raise strict.broken("it has words, but no line")
    if len(lines) > MOST_LINES:
        raise strict.broken(f"it has {len(lines)} lines, more than {MOST_LINES}")
    return lines


def _line(told: dict[str, Any], size: Size) -> Line:
    geometry = strict.mapping(told.get("Geometry"), "a line's geometry")
    points = [strict.mapping(each, "a point") for each in strict.listed(geometry.get("Polygon"), "a polygon", 4)]
    if points and len(points) != 4:
        raise strict.broken("a polygon is not four points")
    box = of_shares([(_share(each.get("X")), _share(each.get("Y"))) for each in points], size) if points else None
    box = box or _edges(strict.mapping(geometry.get("BoundingBox"), "a line's box"), size)
    confidence = per_mille(told.get("Confidence"), "a line's confidence", 100)
    return Line(line_text(told.get("Text")), box, confidence, turned=bool(points) and box[0][0] > box[1][0])


def _edges(told: dict[str, Any], size: Size) -> Box:
    left, top, width, height = (_share(told.get(name)) for name in ("Left", "Top", "Width", "Height"))
    return of_edges(left, top, left + width, top + height, size)


def _share(value: Any) -> float:
    return strict.number(value, "a place", -SLACK, 1 + SLACK)
