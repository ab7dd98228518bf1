"""Words are found where they are said, shown or known, in many languages, and no longer than they are there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.house import House
from resources.search.documents import documents_of
from resources.search.taking_in import catch_up
from resources.search.words import Document, Hit, NothingAsked, Piece, Words, config_of
from tests.house import house, make, take_in
from tests.pages_trial import SIGN, sign

__all__ = ["house"]


@pytest.fixture
def words(ledger_url: str) -> Iterator[Words]:
    found = Words(ledger_url)
    yield found
    found.close()


def said(*texts: str, language: str | None = "en", kind: str = "transcript", recipe: str = "r") -> Document:
    return Document(kind, recipe, language, tuple(Piece(1000 * number, text) for number, text in enumerate(texts)))


def found(words: Words, asked: str, **told: object) -> list[tuple[str, int | None]]:
    return [(hit.source, hit.start_ms) for hit in words.find(asked, limit=20, **told)]  # type: ignore[arg-type]


def test_a_word_is_found_where_it_is_said(words: Words) -> None:
    words.take_in("a", "1", [said("the ferry leaves at nine", "children travel for free")])
    words.take_in("b", "1", [said("bees are kept behind the school")])
    assert words.find("ferry", limit=20) == [Hit("a", "transcript", 0, "the ferry leaves at nine")]
    assert found(words, "children") == [("a", 1000)]
    assert found(words, "ferry children") == [("a", 0), ("a", 1000)]
    assert found(words, "ferry bees") == []
    assert found(words, "ferry or bees") == [("a", 0), ("b", 0)] or found(words, "ferry or bees") == [
        ("b", 0),
        ("a", 0),
    ]
    assert found(words, '"travel for free"') == [("a", 1000)]
    assert found(words, "ferry -children") == []


@pytest.mark.parametrize(
    ("language", "text", "asked"),
    [
        ("en", "the ferries were leaving", "ferry leaves"),
        ("de-AT", "die Häuser am See", "Haus"),
        ("fr", "les abeilles dorment", "abeille"),
        ("ja", "今日は 天気 です", "天気"),
        (None, "GATE 27 closes", "gate 27"),
        ("xx", "something spoken", "SOMETHING"),
    ],
)
def test_words_are_found_in_the_forms_of_their_language(
    words: Words, language: str | None, text: str, asked: str
) -> None:
    words.take_in("a", "1", [said(text, language=language)])
    words.take_in("b", "1", [said("nothing of the kind", language="en")])
    assert found(words, asked) == [("a", 0)]


def test_a_new_version_takes_the_place_of_the_old_and_nothing_is_found_twice(words: Words) -> None:
    words.take_in("a", "1", [said("the ferry", recipe="1"), said("harbour", kind="screen_text")])
    words.take_in("a", "2", [said("the bridge", recipe="2"), said("harbour", kind="screen_text")])
    assert found(words, "ferry") == []
    assert found(words, "bridge") == [("a", 0)]
    assert len(words.find("harbour", limit=20)) == 1
    words.take_in("a", "3", [said("the bridge", recipe="2")])
    assert found(words, "harbour") == []


def test_what_is_removed_is_not_found(words: Words) -> None:
    words.take_in("a", "1", [said("the ferry")])
    words.remove("a")
    words.remove("never there")
    assert found(words, "ferry") == []


def test_kinds_can_be_asked_for(words: Words) -> None:
    words.take_in("a", "1", [said("the ferry"), said("ferry", kind="screen_text")])
    assert {hit.kind for hit in words.find("ferry", limit=20)} == {"transcript", "screen_text"}
    assert {hit.kind for hit in words.find("ferry", limit=20, kinds=["screen_text"])} == {"screen_text"}


@pytest.mark.parametrize("asked", ["", "   ", "\0", "& | ! ( )", "'", "\\"])
def test_a_question_without_a_word_is_told(words: Words, asked: str) -> None:
    with pytest.raises(NothingAsked):
        words.find(asked, limit=20)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_whatever_is_asked_is_answered_or_told(words: Words, asked: str) -> None:
    words.take_in("a", "1", [said("the ferry leaves at nine")])
    with contextlib.suppress(NothingAsked):
        words.find(asked.encode("utf-8", "ignore").decode(), limit=5)


def test_rules_are_those_of_the_language() -> None:
    assert [config_of(tag) for tag in ("en-US", "de", "zh", "", None)] == [
        "english",
        "german",
        "simple",
        "simple",
        "simple",
    ]


def test_a_source_is_found_as_soon_as_it_is_released(house: House, tmp_path: Path) -> None:
    (registration,) = take_in(house, sign(tmp_path))
    make(house, registration)
    (hit,) = [hit for hit in house.search.find(SIGN.split()[0], limit=20) if hit.kind == "screen_text"]
    assert hit.source == registration.source_key
    assert hit.start_ms is None
    assert [hit.kind for hit in house.search.find("png", limit=20)] == ["file"]
    assert {document.kind for document in documents_of(house, house.ledger.source(registration.source_key))} == {
        "file",
        "screen_text",
    }


def test_a_name_that_is_no_text_is_found_by_what_can_be_read_of_it(house: House, tmp_path: Path) -> None:
    path = sign(tmp_path).rename(tmp_path / os.fsdecode(b"harbour \xff\xfe.png"))
    (registration,) = take_in(house, path)
    make(house, registration)
    assert [hit.source for hit in house.search.find("harbour", limit=20)] == [registration.source_key]


def test_what_was_missed_is_taken_in_before_anybody_searches(house: House, tmp_path: Path) -> None:
    (registration,) = take_in(house, sign(tmp_path))
    make(house, registration)
    house.search.remove(registration.source_key)
    assert house.search.find("png", limit=20) == []
    assert catch_up(house) == 1
    assert catch_up(house) == 0
    assert len(house.search.find("png", limit=20)) == 1


@pytest.mark.parametrize("asked", ["ferry -harbour", "ferry -harbours", 'ferry -"grey harbour"'])
@pytest.mark.parametrize("language", ["en", None])
def test_what_must_not_be_there_is_not(words: Words, asked: str, language: str | None) -> None:
    take = lambda source, text: words.take_in(  # noqa: E731
        source, f"release-{source}", [Document("transcript", source, language, (Piece(0, text), Piece(9, "all else")))]
    )
    take("one", "the ferry leaves the grey harbour")
    take("two", "the ferry leaves the grey island")
    hits = words.find(asked, limit=5)
    expected = {"two"} if language or "harbours" not in asked else {"one", "two"}
    assert {hit.source for hit in hits} == expected
    assert "all else" not in [hit.text for hit in hits], "a piece is shown for what it says"
