"""`openai.vision_labels.v1`: what is to be seen, told by a model that sees, in the form that `SCHEMA` asks for.

Belongs here: that form, and what of it is believed. Does not belong here: the envelope (openai_chat), or asking
(resources/providers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.words.answers import openai_chat, strict
from processing.words.answers.boxes import PER_MILLE, Size, of_thousandths
from processing.words.answers.sight import MOST_LABELS, Face, Label, Seen, label_name

FORMAT = "openai.vision_labels.v1"
PROMPT = (
    "Name what is to be seen in the picture: things, scenes and activities, as short common nouns in English. For each "
    "give how sure you are in thousandths, and its box as whole thousandths of the picture's width and height (left, "
    "top, right, bottom), or null where it has no one place. Then list what a moderator would have to know, by "
    "category, and the box of every face. Empty lists where there is nothing. Do not say who anybody is."
)
_WHOLE: Mapping[str, Any] = {"type": "integer"}
_BOX: Mapping[str, Any] = {"type": "array", "items": _WHOLE}


def _listed(**fields: Any) -> Mapping[str, Any]:
    item = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return {"type": "array", "items": item}


SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "labels": _listed(name={"type": "string"}, confidence=_WHOLE, box={"anyOf": [_BOX, {"type": "null"}]}),
        "moderation": _listed(name={"type": "string"}, confidence=_WHOLE),
        "faces": _listed(box=_BOX, confidence=_WHOLE),
    },
    "required": ["labels", "moderation", "faces"],
    "additionalProperties": False,
}


def read(content: bytes, size: Size) -> Seen:
    """What is seen in a picture of `size` pixels. Raises ContractBroken, also for a refusal and what was cut off."""
    text = openai_chat.text_of(content)
    with strict.of_a_form():
        told = strict.document(text.encode())
        labels, moderation, faces = (_present(told, name) for name in ("labels", "moderation", "faces"))
        return Seen(
            tuple(_label(each, size) for each in labels),
            tuple(_label(each, size) for each in moderation),
            tuple(Face(of_thousandths(each.get("box"), "a face's box", size), _confidence(each)) for each in faces),
        )


def _present(told: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    if name not in told:
        raise strict.broken(f"it has no {name}")
    return [strict.mapping(each, name) for each in strict.listed(told[name], name, MOST_LABELS)]


def _label(told: Mapping[str, Any], size: Size) -> Label:
    box = None if told.get("box") is None else of_thousandths(told["box"], "a label's box", size)
    return Label(label_name(told.get("name")), _confidence(told), box)


def _confidence(told: Mapping[str, Any]) -> int:
    return strict.integer(told.get("confidence"), "a confidence", 0, PER_MILLE)
