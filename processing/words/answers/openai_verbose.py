"""`openai.verbose_json.v1`: what /v1/audio/transcriptions answers with response_format=verbose_json.

Belongs here: that format, with times of words and of segments, and what other servers of the same interface leave out.
Does not belong here: asking for it (resources/providers).

Source: the OpenAI API reference, "The transcription object (Verbose JSON)". Times are seconds from the beginning of the
file; words carry no punctuation, the text does. Servers of the same interface write the duration as text, language as
a code instead of a name, and null for words, segments or any measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processing.words.answers import strict
from processing.words.answers.speech import (
    MOST_WORD,
    RATE_HZ,
    Passage,
    Span,
    Speech,
    Timing,
    as_written,
    language_tag,
    most_words,
    placed,
    spread,
    thousandths,
)

LONGEST_S = 24 * 3600.0
LOST = 0.5  # words with times that are fewer than this of the words in the text were cut off


def read(content: bytes, samples: int) -> Speech:
    """The answer about a piece of `samples` samples. Raises ContractBroken."""
    told = strict.document(content)
    most_text = MOST_WORD * most_words(samples)
    text = strict.text(told.get("text"), "its text", most_text)
    passages = tuple(
        passage(each, samples) for each in strict.listed(told.get("segments"), "segments", most_words(samples))
    )
    timed = [_word(each) for each in strict.listed(told.get("words"), "words", most_words(samples))]
    length_s = samples / RATE_HZ
    if timed:
        if len(timed) < LOST * len(text.split()):
            raise strict.broken(f"{len(timed)} words have times, of {len(text.split())} in its text")
        spans, timing = as_written(timed, text), Timing.WORD
    elif passages:
        spans, timing = [span for each in passages for span in of_passage(each)], Timing.PASSAGE
    else:
        spans, timing = spread(text, 0.0, length_s), Timing.PIECE
    if text.strip() and not spans:
        raise strict.broken("it has a text, but no word of it has a time")
    return Speech(placed(spans, samples), passages, language_tag(told.get("language")), None, timing)


def passage(value: Any, samples: int) -> Passage:
    """One segment of Whisper's own shape, here and in `whisper.v1`: seconds become samples, shares thousandths."""
    told = strict.mapping(value, "a segment")
    start_s = strict.number(told.get("start"), "a segment's start", -1.0, LONGEST_S)
    end_s = strict.number(told.get("end"), "a segment's end", -1.0, LONGEST_S)
    if end_s < start_s:
        raise strict.broken(f"a segment ends at {end_s:.2f} s, before it begins")
    end = min(samples, max(0, round(end_s * RATE_HZ)))
    return Passage(
        strict.text(told.get("text"), "a segment's text", MOST_WORD * most_words(samples)),
        min(end, max(0, round(start_s * RATE_HZ))),
        end,
        _scaled(told, "avg_logprob", -100.0, 0.1, 1000),
        _scaled(told, "compression_ratio", 0.0, 10_000.0, 100),
        None if told.get("no_speech_prob") is None else thousandths(_share(told["no_speech_prob"], "no_speech_prob")),
    )


def of_passage(found: Passage) -> list[Span]:
    """The words of a passage without times of their own, spread over it."""
    return spread(found.text, found.start / RATE_HZ, found.end / RATE_HZ)


def _word(value: Any) -> Span:
    told = strict.mapping(value, "a word")
    start_s = strict.number(told.get("start"), "a word's start", -1.0, LONGEST_S)
    end_s = strict.number(told.get("end"), "a word's end", -1.0, LONGEST_S)
    certainty = told.get("probability")
    return (
        strict.text(told.get("word"), "a word", 10 * MOST_WORD),
        start_s,
        end_s,
        None if certainty is None else thousandths(_share(certainty, "a word's probability")),
    )


def _share(value: Any, what: str) -> float:
    return strict.number(value, what, -0.001, 1.001)


def _scaled(told: Mapping[str, Any], name: str, least: float, most: float, times: int) -> int | None:
    return None if told.get(name) is None else round(strict.number(told[name], name, least, most) * times)
