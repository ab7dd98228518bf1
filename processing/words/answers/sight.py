"""The types of what is seen in a picture: labels, findings for a moderator, faces.

Belongs here: those. Does not belong here: formats (aws_rekognition, openai_vision_labels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from processing.words.answers import strict
from processing.words.answers.boxes import Box

MOST_LABELS = 1000  # of one picture: services give 1000 at the most
MOST_NAME = 200  # letters


@dataclass(frozen=True, slots=True)
class Label:
    """A thing, scene or activity: confidence in thousandths, `box` where it has a place, broader terms in `parents`."""

    name: str
    confidence: int
    box: Box | None = None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Face:
    """A face and where it is. Whose it is is not asked."""

    box: Box
    confidence: int


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was seen. `moderation` and `faces` are None where they were not looked for."""

    labels: tuple[Label, ...]
    moderation: tuple[Label, ...] | None
    faces: tuple[Face, ...] | None


def label_name(value: Any) -> str:
    """A label's name, on one line. Raises ContractBroken where it has none."""
    found = " ".join(strict.text(value, "a label", MOST_NAME).split())
    if not found or not found.isprintable():
        raise strict.broken("a label has no name")
    return found
