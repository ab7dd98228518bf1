"""What vectors are told: which model, how many texts of what length. Pure, no media library.

Belongs here: the recipe's parameters, whether there may be anything to place. Does not belong here: asking and putting
together (embeddings).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.words.screen_text_plan import no_model

ASSET = "embeddings"
CODE_VERSION = "1"  # raised when the same answers would give other vectors, or the same words other texts
TASK = "vectors"
TRANSCRIPT, SCREEN_TEXT = "transcript", "screen_text"

RULES: Mapping[str, int] = {
    "most_texts": 4096,  # of a source: six hours at a segment every five seconds. What comes after is not searched
    "at_once": 128,  # texts in one question
    "most_letters": 4000,  # of one text: a thousand tokens, half of what the smallest models take
    "least_letters": 2,  # a letter alone lies nowhere
}


def applies(_info: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """None where texts can be placed, else why not."""
    return no_model(options, TASK)


def parameters(_info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the vectors besides the texts and the answers."""
    return {"model": dict(options["models"][TASK]), "rules": dict(RULES)}
