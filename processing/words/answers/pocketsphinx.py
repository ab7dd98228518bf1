"""`pocketsphinx.v1`: what embedded/listening writes, all numbers whole.

Belongs here: that format. Does not belong here: listening.

    {"samples": 176000, "language": "en", "frames": 800, "spoken": 850, "gain": -5000, "certainty": 320000,
     "words": [["and", 4640, 11200, 920], ...]}

A word is its text, start and end in samples of the piece, confidence in thousandths. The other numbers are those of
`Fit`.
"""

from __future__ import annotations

from typing import Any

from processing.words.answers import strict
from processing.words.answers.speech import (
    MOST_WORD,
    RATE_HZ,
    Fit,
    Span,
    Speech,
    language_tag,
    most_words,
    placed,
)

MOST = 2**40  # of any sum: a day of frames times a million


def read(content: bytes, samples: int) -> Speech:
    """The answer about a piece of `samples` samples. Raises ContractBroken."""
    told = strict.document(content)
    heard = strict.integer(told.get("samples"), "samples", 0, MOST)
    if heard != samples:
        raise strict.broken(f"it is about {heard} samples, and {samples} were asked about")
    fit = Fit(
        strict.integer(told.get("frames"), "frames", 0, MOST),
        strict.integer(told.get("spoken"), "spoken", 0, MOST),
        strict.integer(told.get("gain"), "gain", -MOST, MOST),
        strict.integer(told.get("certainty"), "certainty", 0, MOST),
    )
    spans = [_word(each) for each in strict.listed(told.get("words"), "words", most_words(samples))]
    return Speech(placed(spans, samples), (), language_tag(told.get("language")), None, fit=fit)


def _word(value: Any) -> Span:
    parts = strict.listed(value, "a word", 4)
    if len(parts) != 4:
        raise strict.broken("a word has not four parts")
    return (
        strict.text(parts[0], "a word", MOST_WORD),
        strict.integer(parts[1], "a word's start", 0, MOST) / RATE_HZ,
        strict.integer(parts[2], "a word's end", 0, MOST) / RATE_HZ,
        strict.integer(parts[3], "a word's confidence", 0, 1000),
    )
