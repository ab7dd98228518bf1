"""What a summary is told: model, prompts, rules, the form of every answer. Pure, and imports no media library.

Belongs here: the recipe's parameters, bounds, JSON schemas. Does not belong here: the steps (summary_steps), reading
the transcript and writing the files (summary).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.words.screen_text_plan import no_model

CODE_VERSION = "1"  # raised when the same answers would give another summary
ASSET = "summary"
TASK = "writing"
PREFIX = f"{TASK}/"  # of the names of its questions
PART_PROMPT, MERGE_PROMPT, CHECK_PROMPT = "summary_part", "summary_merge", "summary_check"
PROMPTS = (PART_PROMPT, MERGE_PROMPT, CHECK_PROMPT)

RULES: Mapping[str, int] = {
    "least_words": 40,  # below that a summary is longer than what was said
    "pause_ms": 700,  # a pause this long ends a sentence where nothing is punctuated
    "sentence_words": 40,  # as many words end one in any case
    "part_tokens": 6_000,  # of transcript in one ask: small models take 8,000, their answer included
    "shown_tokens": 1_000,  # of texts on screen beside them
    "most_parts": 40,  # 240,000 tokens, about 19 hours of speech
    "merged_at_once": 8,  # drafts
    "answer_tokens": 2_000,  # of one answer
    "steps_a_repair": 4,  # the budget holds one repair for so many steps, and one at least
    "abstract": 6,  # sentences
    "chapters": 24,
    "chapter_s": 20,  # the shortest
    "keywords": 12,
    "cut_ms": 500,  # a cut this near to the pause before a sentence is where its chapter begins
}

_CITES = {"type": "array", "items": {"type": "integer"}}


def _listed(**fields: Any) -> dict[str, Any]:
    return {"type": "array", "items": _object(**fields)}


def _object(**fields: Any) -> dict[str, Any]:
    """Every field required and no other allowed: what providers call a strict schema."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


_TEXT = {"type": "string"}
DRAFT_SCHEMA = _object(
    abstract=_listed(text=_TEXT, cites=_CITES),
    chapters=_listed(title=_TEXT, begins={"type": "integer"}, cites=_CITES),
    keywords=_listed(text=_TEXT, cites=_CITES),
)
CHECK_SCHEMA = _object(items=_listed(id=_TEXT, supported={"type": "boolean"}, reason=_TEXT))


def applies(info: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """None where something may be said, else why there is nothing to sum up."""
    if info["kind"] == "image":
        return "stills are not summed up"
    if not info.get("audio"):
        return "it has no sound"
    return no_model(options, TASK)


def parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the asks besides the transcript."""
    return {
        "model": dict(options["models"][TASK]),
        "prompts": {name: dict(options["prompts"][name]) for name in PROMPTS},
        "duration": info["duration"],
        "rules": dict(RULES),
    }


def flaw(value: Any, schema: Mapping[str, Any], at: str = "the answer") -> str | None:
    """Why `value` is not of the form that `schema` says, as a sentence; None where it is.

    Understands what the schemas here are made of: objects with all their fields, arrays, strings, integers, booleans.
    """
    kind = schema["type"]
    if kind == "object":
        return _object_flaw(value, schema, at)
    if kind == "array":
        if not isinstance(value, list):
            return f"{at} is not a list"
        found = (flaw(item, schema["items"], f"{at}[{number}]") for number, item in enumerate(value))
        return next((each for each in found if each), None)
    expected = {"string": str, "integer": int, "boolean": bool}[kind]
    fits = isinstance(value, expected) and not (kind == "integer" and isinstance(value, bool))
    return None if fits else f"{at} is not of type {kind}"


def _object_flaw(value: Any, schema: Mapping[str, Any], at: str) -> str | None:
    if not isinstance(value, dict):
        return f"{at} is not an object"
    missing = [name for name in schema["required"] if name not in value]
    if missing:
        return f"{at} lacks {missing[0]}"
    extra = [name for name in value if name not in schema["properties"]]
    if extra:
        return f"{at} has a field {extra[0][:40]!r} that nobody asked for"
    found = (flaw(value[name], inner, f"{at}.{name}") for name, inner in schema["properties"].items())
    return next((each for each in found if each), None)
