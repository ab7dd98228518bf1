"""`aws.rekognition.v1`: what Amazon Rekognition's three calls answer about one picture, under one roof.

Belongs here: that format. Does not belong here: asking for it (resources/providers).

The answer is `{"labels": DetectLabels, "moderation": DetectModerationLabels, "faces": DetectFaces}`, each as the
service wrote it; the last two are absent where they were not asked for. Source: Amazon Rekognition's API reference.
Confidences are per cent, boxes shares of the picture, a label with instances has a box for each.
"""

from __future__ import annotations

from typing import Any

from processing.words.answers import strict
from processing.words.answers.boxes import Box, Size, of_edges, per_mille
from processing.words.answers.sight import MOST_LABELS, Face, Label, Seen, label_name

FORMAT = "aws.rekognition.v1"
OVER = 1.0  # of a side: the box of what the frame cuts off reaches past its edge, and is cut there


def read(content: bytes, size: Size) -> Seen:
    """What is seen in a picture of `size` pixels. Raises ContractBroken."""
    told = strict.document(content)
    labels = [label for each in _present(told.get("labels"), "Labels") for label in _labels(each, size)]
    if len(labels) > MOST_LABELS:
        raise strict.broken(f"it has {len(labels)} labels, more than {MOST_LABELS}")
    moderation = faces = None
    if told.get("moderation") is not None:
        moderation = tuple(_moderation(each) for each in _present(told["moderation"], "ModerationLabels"))
    if told.get("faces") is not None:
        faces = tuple(_face(each, size) for each in _present(told["faces"], "FaceDetails"))
    return Seen(tuple(labels), moderation, faces)


def _present(value: Any, name: str) -> list[dict[str, Any]]:
    told = strict.mapping(value, f"the answer with {name}")
    if name not in told:
        raise strict.broken(f"it has no {name}")
    return [strict.mapping(each, name) for each in strict.listed(told[name], name, MOST_LABELS)]


def _labels(told: dict[str, Any], size: Size) -> list[Label]:
    """A label for each instance that has a place; one without a box where none has."""
    name = label_name(told.get("Name"))
    parents = tuple(
        label_name(strict.mapping(each, "a parent").get("Name"))
        for each in strict.listed(told.get("Parents"), "parents", MOST_LABELS)
    )
    found = []
    for each in strict.listed(told.get("Instances"), "instances", MOST_LABELS):
        instance = strict.mapping(each, "an instance")
        confidence = per_mille(instance.get("Confidence"), "an instance's confidence", 100)
        found.append(Label(name, confidence, _box(instance.get("BoundingBox"), size), parents))
    return found or [Label(name, per_mille(told.get("Confidence"), "a label's confidence", 100), None, parents)]


def _moderation(told: dict[str, Any]) -> Label:
    parent = told.get("ParentName")
    parents = (label_name(parent),) if parent else ()
    confidence = per_mille(told.get("Confidence"), "a finding's confidence", 100)
    return Label(label_name(told.get("Name")), confidence, None, parents)


def _face(told: dict[str, Any], size: Size) -> Face:
    return Face(_box(told.get("BoundingBox"), size), per_mille(told.get("Confidence"), "a face's confidence", 100))


def _box(value: Any, size: Size) -> Box:
    told = strict.mapping(value, "a box")
    left, top = (strict.number(told.get(name), "a box", -OVER, 1 + OVER) for name in ("Left", "Top"))
    width, height = (strict.number(told.get(name), "a box", 0, 1 + OVER) for name in ("Width", "Height"))
    return of_edges(left, top, left + width, top + height, size)
