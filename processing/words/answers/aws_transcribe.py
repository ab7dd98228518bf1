"""`aws.transcribe.v1`: the result file of a batch job of Amazon Transcribe.

Belongs here: that format. Does not belong here: starting jobs and fetching the file (resources/providers).

Source: Amazon Transcribe Developer Guide, "Data input and output". Numbers are texts; items are pronunciations with
times, or punctuation without, which belongs to the word before it; the first alternative is the best.
"""

from __future__ import annotations

from typing import Any

from processing.words.answers import strict
from processing.words.answers.speech import MOST_WORD, Span, Speech, language_tag, most_words, placed, thousandths

LONGEST_S = 24 * 3600.0
MOST_ALTERNATIVES = 10  # what the service offers at most


def read(content: bytes, samples: int) -> Speech:
    """The answer about a piece of `samples` samples. Raises ContractBroken."""
    told = strict.document(content)
    status = told.get("status", "COMPLETED")
    if status != "COMPLETED":
        raise strict.broken(f"the job ended as {strict.shown(str(status))}")
    results = strict.mapping(told.get("results"), "results")
    spans: list[Span] = []
    for each in strict.listed(results.get("items"), "items", 2 * most_words(samples)):
        item = strict.mapping(each, "an item")
        content_text, certainty = _best(item)
        if item.get("type") == "punctuation":
            if spans:
                text, start, end, sure = spans[-1]
                spans[-1] = (text + content_text, start, end, sure)
            continue
        if item.get("type") != "pronunciation":
            raise strict.broken(f"an item is of the type {strict.shown(str(item.get('type')))}")
        start = strict.number(item.get("start_time"), "a word's start", 0.0, LONGEST_S)
        spans.append((content_text, start, strict.number(item.get("end_time"), "its end", 0.0, LONGEST_S), certainty))
    whole = " ".join(
        strict.text(strict.mapping(each, "a transcript").get("transcript"), "its text", MOST_WORD * most_words(samples))
        for each in strict.listed(results.get("transcripts"), "transcripts", 16)
    )
    if whole.strip() and not spans:
        raise strict.broken("it has a text, but no word of it has a time")
    language, sure = _language(results)
    return Speech(placed(spans, samples), (), language, sure)


def _best(item: dict[str, Any]) -> tuple[str, int | None]:
    alternatives = strict.listed(item.get("alternatives"), "alternatives", MOST_ALTERNATIVES)
    if not alternatives:
        raise strict.broken("an item says nothing")
    best = strict.mapping(alternatives[0], "an alternative")
    text = strict.text(best.get("content"), "a word", MOST_WORD)
    if best.get("confidence") is None:
        return text, None
    return text, thousandths(strict.number(best["confidence"], "a word's confidence", -0.001, 1.001))


def _language(results: dict[str, Any]) -> tuple[str | None, int | None]:
    """What the job was told or found, and how sure it was where it looked for the language itself."""
    tag = language_tag(results.get("language_code"))
    for each in strict.listed(results.get("language_identification"), "language_identification", 100):
        guess = strict.mapping(each, "a guess")
        if language_tag(guess.get("code")) == tag:
            return tag, thousandths(strict.number(guess.get("score"), "a score", -0.001, 1.001))
    return tag, None
