"""What labels are told: which model, how many pictures. Pure, no media library.

Belongs here: the recipe's parameters, whether there is anything to look at. Does not belong here: asking and putting
together (labels), which frames are kept (frames_plan).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.words.answers.openai_vision_labels import PROMPT
from processing.words.screen_text_plan import no_model, no_picture, prompt_of, told_of_pictures

ASSET = "labels"
CODE_VERSION = "1"  # raised when the same answers would give other labels
TASK = "labels"
MOST_TOKENS = 4000  # of an answer about one picture

RULES: Mapping[str, int] = {
    "most_frames": 240,  # one of each shot; of more shots than that, so many spread over the length
    "still_side": 1280,  # pixels of a still's longer side: services take 5 MB, which no PNG of such a picture reaches
    "at_once": 48,
    "least_confidence": 500,  # thousandths: what is less likely than not is no label
}


def applies(info: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """None where pictures can be looked at, else why not."""
    return no_picture(info) or no_model(options, TASK)


def parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the labels besides the pictures and the answers."""
    return told_of_pictures(info, options, TASK, prompt(options), RULES)


def prompt(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a model that sees is told."""
    return prompt_of(options, TASK, PROMPT)
