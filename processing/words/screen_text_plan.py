"""What the text of pictures is told: which model, how many frames, when two lines are one. Pure, no media library.

Belongs here: the recipe's parameters, whether there is anything to read. Does not belong here: asking and putting
together (screen_text), which frames are kept (frames_plan).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from processing.picture.fields_plan import shown_timescale
from processing.picture.ladder_plan import display_size
from processing.words.answers.openai_vision import PROMPT

ASSET = "screen_text"
CODE_VERSION = "1"  # raised when the same answers would give other lines
TASK = "reading"
MOST_TOKENS = 4000  # of an answer about one picture: a dense page has 2,000

RULES: Mapping[str, int] = {
    "most_frames": 480,  # asked about: six hours are read every 45 s, an hour wherever it changes, 7.5 s apart
    "still_side": 1920,  # pixels of a still's longer side: the embedded reader looks at no more
    "at_once": 48,  # questions written down at a time: 60 MB of pictures, and one that fails costs no more
    "same_text": 85,  # of 100: how alike two readings of one line are, digits apart, which must be the same
    "same_place": 30,  # of 100: how much of the two boxes is common to both
    "missed_frames": 1,  # in which a line need not be read to be one line: readers blink
    # A box this many times as wide as it is high holds more than one letter. What was read there is of a script that
    # the model does not know: it is told as a place that could not be read.
    "wide_box": 4,
}


def prompt_of(options: Mapping[str, Any], task: str, built_in: str) -> dict[str, Any]:
    """The prompt of a task: the one of the settings, else the one that is part of this code."""
    named = options.get("prompts", {}).get(task)
    if named:
        return dict(named)
    digest = hashlib.sha256(built_in.encode()).hexdigest()
    return {"id": task, "version": "built in", "sha256": digest, "text": built_in}


def no_model(options: Mapping[str, Any], task: str) -> str | None:
    """None where a task has a model for this source, else the sentence why it has none."""
    if options.get("models", {}).get(task):
        return None
    return str(options.get("no_model", {}).get(task) or f"no model for {task} is configured")


def told_of_pictures(
    info: Mapping[str, Any], options: Mapping[str, Any], task: str, prompt: Mapping[str, Any], rules: Mapping[str, int]
) -> dict[str, Any]:
    """What determines an output of questions about pictures, besides the pictures and the answers."""
    return {
        "model": dict(options["models"][task]),
        "prompt": dict(prompt),
        "picture": shown_size(info),
        "timeline": timeline(info, options),
        "rules": dict(rules),
    }


def timeline(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, int] | None:
    """Start, end and timescale of the moving picture; None for a still."""
    video = info.get("video")
    if not video:
        return None
    timescale = shown_timescale(info, options)
    factor = timescale // int(video["timescale"])
    return {"start": int(video["start"]) * factor, "end": int(video["end"]) * factor, "timescale": timescale}


def shown_size(info: Mapping[str, Any]) -> list[int]:
    """Width and height of the picture as it is displayed, upright."""
    return list(display_size(info)) if info.get("video") else [int(info["image"][side]) for side in ("width", "height")]


def no_picture(info: Mapping[str, Any]) -> str | None:
    """None where there is something to look at, else the sentence."""
    return None if info.get("video") or info.get("image") else "the source has no picture"


def applies(info: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """None where pictures can be read, else why not."""
    return no_picture(info) or no_model(options, TASK)


def parameters(info: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines the lines besides the pictures and the answers."""
    return told_of_pictures(info, options, TASK, prompt(options), RULES)


def prompt(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a model that sees is told."""
    return prompt_of(options, TASK, PROMPT)
