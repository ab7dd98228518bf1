"""What models write when they do not do what they were asked: excuses, and talk about the picture instead of its text.

Belongs here: knowing them by their words. Does not belong here: what follows from one (the contracts).

A film may show a subtitle that reads "I'm sorry, I can't do that": only what speaks as an assistant, or about the task,
is taken for an excuse without doubt.
"""

from __future__ import annotations

import re
import unicodedata

_CERTAIN = re.compile(
    r"\bas an? (ai|artificial intelligence|language) (language )?(model|assistant)\b"
    r"|\b(can ?not|can't|unable to|not able to|won't) (assist|help|comply|fulfil|provide|process|read|transcribe"
    r"|extract|analy[sz]e|view|identify|see) (you )?(with )?(that|this|the|any|your|it|images?|text|people)\b"
    r"|\b(there is|i see|i can see|contains) no (visible |readable |legible )?text\b"
    r"|\bno (visible|readable|legible) text\b"
    r"|\bi (do not|don't) have the (ability|capability)\b"
    r"|\b(here is|here's|the following is) the (text|transcription)\b"
    r"|\bthe (image|picture) (shows|contains|depicts|appears)\b",
    re.IGNORECASE,
)
_LIKELY = re.compile(
    r"^(i'm|i am|we're|we are) (very )?sorry\b.{0,30}\b(can't|cannot|can not|unable)\b|^i (cannot|can't|am unable)\b"
    r"|\bviolates? (our|the) (policy|policies|guidelines)\b",
    re.IGNORECASE,
)


def is_excuse(text: str) -> bool:
    """Whether a text speaks as an assistant that was asked about a picture."""
    return bool(_CERTAIN.search(_plain(text)))


def may_be_excuse(text: str) -> bool:
    """Whether a text is an excuse, or may be one and may as well stand in the picture."""
    return is_excuse(text) or bool(_LIKELY.search(_plain(text)))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).replace("\u2019", "'").split())
