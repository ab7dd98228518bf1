"""What recognisers answer, read strictly: four formats become the same words, and nothing else is taken for words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.failures import ContractBroken
from processing.words.answers.speech import RATE_HZ, Speech, SpokenWord, Timing, read_speech

SAMPLES = 10 * RATE_HZ
SAID = [("And", 0.5, 0.8), ("so,", 0.8, 1.25), ("my", 1.5, 1.7), ("friends?", 1.7, 2.5)]


def openai(**changes: Any) -> dict[str, Any]:
    return {
        "task": "transcribe",
        "language": "english",
        "duration": 10.0,
        "text": "And so, my friends?",
        "words": [{"word": text.strip(",?"), "start": start, "end": end} for text, start, end in SAID],
        "segments": [
            {
                "id": 0, "seek": 0, "start": 0.5, "end": 2.5, "text": " And so, my friends?", "tokens": [1, 2],
                "temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 1.1, "no_speech_prob": 0.01,
            }
        ],
        **changes,
    }  # fmt: skip


def whisper(**changes: Any) -> dict[str, Any]:
    words = [{"start": start, "end": end, "word": f" {text}", "probability": 0.9} for text, start, end in SAID]
    return {
        "language": "en",
        "language_probability": 0.98,
        "duration": 10.0,
        "segments": [
            {
                "start": 0.5, "end": 2.5, "text": " And so, my friends?", "avg_logprob": -0.25,
                "compression_ratio": 1.1, "no_speech_prob": 0.01, "words": words,
            }
        ],
        **changes,
    }  # fmt: skip


def aws(**changes: Any) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for text, start, end in SAID:
        items.append(
            {
                "type": "pronunciation",
                "start_time": str(start),
                "end_time": str(end),
                "alternatives": [{"confidence": "0.9", "content": text.strip(",?")}],
            }
        )
        if text[-1] in ",?":
            items.append({"type": "punctuation", "alternatives": [{"confidence": "0.0", "content": text[-1]}]})
    results = {
        "language_code": "en-US",
        "transcripts": [{"transcript": "And so, my friends?"}],
        "items": items,
        "language_identification": [{"score": "0.97", "code": "en-US"}, {"score": "0.01", "code": "de-DE"}],
    }
    return {"jobName": "a", "accountId": "1", "status": "COMPLETED", "results": results, **changes}


def sphinx(**changes: Any) -> dict[str, Any]:
    words = [[text, round(start * RATE_HZ), round(end * RATE_HZ), 900] for text, start, end in SAID]
    return {
        "samples": SAMPLES, "language": "en", "frames": 170, "spoken": 200, "gain": -5, "certainty": 1, "words": words,
        **changes,
    }  # fmt: skip


FORMATS = {
    "openai.verbose_json.v1": openai,
    "whisper.v1": whisper,
    "aws.transcribe.v1": aws,
    "pocketsphinx.v1": sphinx,
}


def read(kind: str, document: Any, samples: int = SAMPLES) -> Speech:
    return read_speech(kind, document if isinstance(document, bytes) else json.dumps(document).encode(), samples)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_becomes_the_same_words(kind: str) -> None:
    found = read(kind, FORMATS[kind]())
    assert [(word.text, word.start, word.end) for word in found.words] == [
        (text, round(start * RATE_HZ), round(end * RATE_HZ)) for text, start, end in SAID
    ]
    assert (found.language or "").startswith("en")
    assert found.timing is Timing.WORD
    assert {word.confidence for word in found.words} == ({None} if kind.startswith("openai") else {900})


def test_what_a_model_says_of_itself_is_kept() -> None:
    for kind in ("openai.verbose_json.v1", "whisper.v1"):
        (passage,) = read(kind, FORMATS[kind]()).passages
        assert (passage.log_probability, passage.compression, passage.no_speech) == (-250, 110, 10)
    assert read("whisper.v1", whisper()).language_certainty == 980
    assert read("aws.transcribe.v1", aws()).language_certainty == 970
    fit = read("pocketsphinx.v1", sphinx()).fit
    assert fit is not None
    assert (fit.frames, fit.spoken, fit.gain, fit.certainty) == (170, 200, -5, 1)


def test_servers_that_leave_things_out_are_read_and_said_to_be_rough() -> None:
    """Gateways write the duration as text, the language as a code, and null for what they do not have."""
    bare = {"start": 0.5, "end": 2.5, "text": "And so, my friends?"}
    found = read("openai.verbose_json.v1", openai(words=None, segments=[bare], duration="10.0", language="en"))
    assert [word.text for word in found.words] == ["And", "so,", "my", "friends?"]
    assert found.timing is Timing.PASSAGE
    assert found.words[0].start == RATE_HZ // 2
    assert found.words[-1].end == 5 * RATE_HZ // 2
    assert found.passages[0].log_probability is None
    found = read("openai.verbose_json.v1", {"text": "And so, my friends?"})
    assert found.timing is Timing.PIECE
    assert found.words[-1].end == SAMPLES
    assert found.language is None
    del (document := whisper())["segments"][0]["words"]
    assert read("whisper.v1", document).timing is Timing.PASSAGE


def test_parts_of_a_word_are_put_together_but_not_in_languages_without_spaces() -> None:
    words = [
        {"start": 0.1, "end": 0.3, "word": " don", "probability": 0.9},
        {"start": 0.3, "end": 0.4, "word": "'t", "probability": 0.5},
    ]
    segment = {"start": 0.0, "end": 1.0, "text": " don't", "words": words}
    assert read("whisper.v1", whisper(segments=[segment])).words == (SpokenWord("don't", 1600, 6400, 500),)
    segment = {**segment, "words": [{**each, "word": letter} for each, letter in zip(words, "今日", strict=True)]}
    assert [each.text for each in read("whisper.v1", whisper(segments=[segment], language="ja")).words] == ["今", "日"]


def test_silence_is_an_answer_without_words() -> None:
    assert read("whisper.v1", whisper(segments=[])).words == ()
    assert read("openai.verbose_json.v1", openai(text="", words=[], segments=[])).words == ()


def test_times_that_models_get_a_little_wrong_are_put_right() -> None:
    words = [
        {"word": "one", "start": 1.0, "end": 1.0},  # no length
        {"word": "two", "start": 0.9, "end": 1.4},  # a little before the one before
        {"word": "three", "start": 1.3, "end": 1.6},  # into the one before
        {"word": "four", "start": 9.9, "end": 12.0},  # beyond the sound, as windows of 30 s are
    ]
    found = read("openai.verbose_json.v1", openai(words=words, text="one two three four")).words
    assert [(each.start, each.end) for each in found] == [
        (16_000, 16_160), (16_000, 20_800), (20_800, 25_600), (158_400, 160_000)
    ]  # fmt: skip


BROKEN: dict[str, tuple[str, Any, str]] = {
    "no bytes": ("whisper.v1", b"", "empty"),
    "cut off": ("whisper.v1", json.dumps(whisper()).encode()[:-40], "cut off"),
    "no JSON": ("openai.verbose_json.v1", b"I'm sorry, but I can't transcribe this.", "no JSON"),
    "NaN": ("whisper.v1", json.dumps(whisper(language_probability=float("nan"))).encode(), "no JSON"),
    "a list": ("whisper.v1", [1], "no JSON object"),
    "too deep": ("whisper.v1", b'{"a":' * 500 + b"1" + b"}" * 500, "nested"),
    "far too deep": ("whisper.v1", b"[" * 100_000, "no JSON"),
    "too long": ("whisper.v1", b" " * (33 * 1024 * 1024) + b"{}", "longer"),
    "an error": ("openai.verbose_json.v1", {"error": {"message": "model not found"}}, "model not found"),
    "a text in no format": ("whisper.v1", {"text": "hello"}, "no segments"),
    "no text": ("openai.verbose_json.v1", {"words": []}, "its text is no text"),
    "words fewer than text": ("openai.verbose_json.v1", openai(text="word " * 40), "4 words have times, of 40"),
    "an endless text": ("openai.verbose_json.v1", openai(text="a" * 10**6), "characters"),
    "times elsewhere": (
        "openai.verbose_json.v1",
        openai(words=[{"word": "a", "start": 90, "end": 91}], text="a"),
        "outside",
    ),
    "backwards": (
        "openai.verbose_json.v1",
        openai(words=[{"word": "a", "start": 5, "end": 6}, {"word": "b", "start": 1, "end": 2}], text="a b"),
        "back in time",
    ),
    "a huge time": (
        "openai.verbose_json.v1",
        b'{"text":"a","words":[{"word":"a","start":1e999,"end":1}]}',
        "not between",
    ),
    "a time of text": ("openai.verbose_json.v1", openai(words=[{"word": "a", "start": "x", "end": 1}]), "no number"),
    "a time of truth": ("openai.verbose_json.v1", openai(words=[{"word": "a", "start": True, "end": 1}]), "no number"),
    "a probability of five": ("whisper.v1", whisper(language_probability=5), "not between"),
    "a job that failed": ("aws.transcribe.v1", aws(status="FAILED"), "FAILED"),
    "a text without items": (
        "aws.transcribe.v1",
        aws(results={"transcripts": [{"transcript": "hello"}], "items": []}),
        "no word of it has a time",
    ),
    "an unknown item": (
        "aws.transcribe.v1",
        aws(results={"items": [{"type": "x", "alternatives": [{"content": "a"}]}]}),
        "type",
    ),
    "another piece's answer": ("pocketsphinx.v1", sphinx(samples=5), "5 samples"),
    "five parts": ("pocketsphinx.v1", sphinx(words=[["a", 1, 2, 3, 4]]), "items"),
    "an unknown format": ("oracle.v1", {"text": "x"}, "oracle.v1"),
    "half a character": ("openai.verbose_json.v1", b'{"text":"\\ud800"}', "half a character"),
    "too many words": ("pocketsphinx.v1", sphinx(words=[["a", 1, 2, 3]] * 200), "more than"),
    "a word of a page": ("whisper.v1", whisper(segments=[{"start": 0, "end": 1, "text": "a" * 500}]), "500 characters"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_is_refused_with_its_reason(name: str) -> None:
    kind, document, reason = BROKEN[name]
    with pytest.raises(ContractBroken) as caught:
        read(kind, document)
    assert reason in caught.value.sentence
    assert caught.value.cause.startswith("the model's answer cannot be used: ")
    assert len(caught.value.cause) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_anything_at_any_place_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    """Whatever stands where something else was expected: words inside the piece, or ContractBroken, no other error."""
    document = FORMATS[kind]()
    at: Any = document
    for _ in range(4):
        keys = sorted(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if isinstance(at[key], (dict, list)) and data.draw(st.booleans()):
            at = at[key]
            continue
        at[key] = data.draw(JSON)
        break
    try:
        found = read(kind, document)
    except ContractBroken:
        return
    assert all(0 <= each.start < each.end <= SAMPLES for each in found.words)
    assert all(each.text.strip() == each.text != "" for each in found.words)
