"""What texts have in common: numbers written or spoken, names, words that say something."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.words import normaliser
from processing.words.wording import (
    clock_times,
    content,
    faithfulness,
    folded,
    is_title_case,
    names,
    said_numbers,
    stated_numbers,
    supported_share,
    tokens,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("in nineteen sixty one", "1961"),
        ("twenty twenty four", "2024"),
        ("forty thousand people", "40000"),
        ("three hundred and five", "305"),
        ("two million", "2000000"),
        ("room one oh four", "104"),
        ("twenty-six minutes", "26"),
        ("exactly 40,000 people", "40000"),
        ("a share of 3.5 percent", "3.5"),
        ("seven", "7"),
    ],
)
def test_a_spoken_number_is_understood(text: str, number: str) -> None:
    assert number in said_numbers(text, "en")
    assert number in said_numbers(f"so there were {text}, they say", "en")


@pytest.mark.parametrize("text", ["nineteen sixty", "sixty one", "thirty", "four hundred"])
def test_another_number_is_none_of_it(text: str) -> None:
    assert not {"1961", "30000", "305"} & said_numbers(text, "en")


def test_numbers_that_are_stated_are_found_but_not_small_words_and_times() -> None:
    assert stated_numbers("One of the two men met 12 others at 9:30 in room seventeen.", "en") == ["12", "17"]
    assert stated_numbers("Ein Mann und siebzehn Frauen", "de") == []


def test_times_of_day_are_seconds() -> None:
    assert clock_times("from 1:02 to 1:02:03") == [62, 3723]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The captain is Maria Lindqvist.", ["Maria", "Lindqvist"]),
        ("Nobody came. Everybody left.", []),
        ("Angela Merkel spoke.", ["Merkel"]),
        ("NASA agreed, and I did.", ["NASA"]),
        ('He said: "Maybe in Oslo."', ["Oslo"]),
        ("東京へ行きました。", []),
    ],
)
def test_names_are_told_by_their_capitals(text: str, found: list[str]) -> None:
    assert names(text) == found


def test_in_a_title_with_capitals_everywhere_they_say_nothing() -> None:
    assert is_title_case("The Wind Around Norway")
    assert not is_title_case("The wind around Norway")
    assert not is_title_case("Norway")


def test_words_of_one_root_are_one_and_little_words_none() -> None:
    assert content("The launched rockets are being launched", "en") == ["launc", "rocke", "launc"]
    assert folded("Élise’s") == "elise"
    assert tokens("島へ行く ferry") == ["島", "へ", "行", "く", "ferry"]


def test_what_is_supported_counts_words_that_say_something() -> None:
    assert supported_share("The ferry sails at night.", "At night they sail.", "en") == (2, 3)
    assert faithfulness([("The ferry sails.", "ferry"), ("", "")], "en") == Fraction(1, 2)
    assert faithfulness([], "en") == 1


@given(st.text(max_size=80))
def test_a_text_supports_itself_and_holds_its_own_numbers(text: str) -> None:
    found, wanted = supported_share(text, text, "en")
    assert found == wanted
    assert set(stated_numbers(text, "en")) <= said_numbers(text, "en")


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("Twenty-six, please!", "26 please", "en"),
        ("one zero zero nine oh two", "1009 02", "en"),
        ("Mister Jones' OK", "mr jones' okay", "en"),
        ("Straße – gesperrt", "straße gesperrt", "de"),
        ("我是中国人", "我 是 中国 人", "zh"),
    ],
)
def test_what_differs_in_writing_only_is_made_alike(one: str, other: str, language: str) -> None:
    assert normaliser.normalised(one, language) == normaliser.normalised(other, language)


def test_words_that_differ_stay_different() -> None:
    assert normaliser.normalised("ferry", "en") != normaliser.normalised("fairy", "en")
    assert normaliser.normalised("26", "de") == "26"


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normaliser.normalised(text, "en")
    assert normaliser.normalised(once, "en") == once
