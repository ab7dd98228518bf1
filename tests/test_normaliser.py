"""Text as error rates compare it: spelling and punctuation are no errors, words are."""

from __future__ import annotations

import jiwer
import pytest

from processing.words.normaliser import VERSION, normalised


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("And so, my fellow Americans: ask not!", "and so my fellow americans ask not"),
        ("Don’t [music] stop ♪ la la ♪ (laughs) 'now'", "don't stop now"),
        ("Mr Dashwood", "mister dashwood"),
        ("He is 21, she is 8, it is 1984", "he is twenty one she is eight it is one nine eight four"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("well-known   fact", "well known fact"),
        ("", ""),
    ],
)
def test_english_is_compared_as_it_is_said(written: str, said: str) -> None:
    assert normalised(written) == said


def test_other_languages_keep_their_numbers_and_letters() -> None:
    assert normalised("Ärger im 2. Stock, nicht wahr?", "de") == "ärger im 2 stock nicht wahr"
    assert normalised("今日は、雨。", "ja") == "今 日 は 雨"
    assert normalised("Так, да!", None) == "так да"


def test_it_is_idempotent_and_versioned() -> None:
    """Golden sets keep the version their rates were measured with."""
    text = "Mister O'Brien's 42 dogs"
    assert normalised(normalised(text)) == normalised(text) == "mister o'brien's forty two dogs"
    assert jiwer.wer(normalised("It's 5 o'clock."), normalised("it's five o'clock")) == 0
    assert VERSION == "1"
