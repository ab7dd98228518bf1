"""`whisper.v1`: what a provider writes down of faster-whisper's segments.

Belongs here: that format. Does not belong here: running the model (resources/providers).

    {"language": "en", "language_probability": 0.98, "duration": 11.0,
     "segments": [{"start": 0.0, "end": 3.2, "text": " And so", "avg_logprob": -0.2, "compression_ratio": 1.1,
                   "no_speech_prob": 0.01, "words": [{"start": 0.0, "end": 0.4, "word": " And", "probability": 0.9}]}]}

Source: faster-whisper's `Segment`, `Word` and `TranscriptionInfo`. Words carry their punctuation and the space before
them; a word without that space goes on the one before (as in "don" "'t").
"""

from __future__ import annotations

from typing import Any

from processing.words.answers import strict
from processing.words.answers.openai_verbose import LONGEST_S, of_passage, passage
from processing.words.answers.speech import (
    MOST_WORD,
    Span,
    Speech,
    Timing,
    language_tag,
    most_words,
    placed,
    thousandths,
)

UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})  # languages written without spaces between words


def read(content: bytes, samples: int) -> Speech:
    """The answer about a piece of `samples` samples. Raises ContractBroken."""
    told = strict.document(content)
    if "segments" not in told:
        raise strict.broken("it has no segments")
    language = language_tag(told.get("language"))
    passages, spans, timing = [], list[Span](), Timing.WORD
    for each in strict.listed(told["segments"], "segments", most_words(samples)):
        found = passage(each, samples)
        passages.append(found)
        words = strict.listed(each.get("words"), "words", 4 * most_words(samples))
        if words:
            spans += _joined([_word(word) for word in words], is_spaced=(language or "") not in UNSPACED)
        elif found.text.strip():
            spans += of_passage(found)
            timing = Timing.PASSAGE
    certainty = told.get("language_probability")
    sure = None if certainty is None else thousandths(strict.number(certainty, "language_probability", -0.001, 1.001))
    return Speech(placed(spans, samples), tuple(passages), language, sure, timing)


def _word(value: Any) -> Span:
    told = strict.mapping(value, "a word")
    return (
        strict.text(told.get("word"), "a word", 10 * MOST_WORD),
        strict.number(told.get("start"), "a word's start", -1.0, LONGEST_S),
        strict.number(told.get("end"), "a word's end", -1.0, LONGEST_S),
        thousandths(strict.number(told.get("probability"), "a word's probability", -0.001, 1.001)),
    )


def _joined(words: list[Span], *, is_spaced: bool) -> list[Span]:
    """Parts of a word put together; a word is as sure as its least sure part."""
    found: list[Span] = []
    for text, start, end, confidence in words:
        if found and is_spaced and text and not text[0].isspace():
            before = found[-1]
            least = min(before[3] or 0, confidence or 0)
            found[-1] = (before[0] + text, before[1], max(before[2], end), least)
        else:
            found.append((text, start, end, confidence))
    return found
