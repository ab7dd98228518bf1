"""Words that people correct: what becomes of them in time, and of all that came of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_assets.declared import declared
from media_assets.spec import works_of
from processing.contracts.corrected import summary as contract
from processing.contracts.corrected import transcript as transcript_contract
from processing.manifest import Outcome, list_files
from processing.words import corrected
from processing.words.answers.speech import most_words
from processing.words.corrections import (
    Correction,
    NotCorrect,
    clean,
    correct_summary,
    correct_transcript,
    in_words,
    places_of_summary,
    places_of_transcript,
    retimed,
    written_in_transcript,
)
from processing.words.corrections_plan import UNCORRECTED
from processing.work import Input, Task
from resources.corrections import correct, reviewable
from resources.explain import explain
from resources.house import House
from resources.ledger.corrections import InTheWay
from resources.ledger.moves import UnknownSource
from resources.ledger.states import AssetState
from resources.reverify import verify_source
from resources.search.asking import said
from tests.corpus import corpus_file
from tests.database import database
from tests.house import make, take_in
from tests.pages_trial import made_house
from tests.summaries import ISLANDS, summary_task, summed_up, transcript_of

WORKS = works_of(declared())
SECOND = 16_000


def word(text: str, start: int, end: int) -> dict[str, Any]:
    return {"text": text, "start": start, "end": end, "confidence": 900, "piece": 0}


OWN = [word("ask", 0, 4000), word("not", 5000, 8000), word("watt", 9000, 12000), word("your", 12000, 16000)]


def times(words: Sequence[Any]) -> list[tuple[str, int, int]]:
    return [(each["text"], each["start"], each["end"]) for each in words]


class TestTimes:
    def test_what_stays_keeps_its_time_and_how_sure_the_model_was(self) -> None:
        found = retimed(OWN, ["Ask", "not,", "what", "your"], SECOND)
        expected = [("Ask", 0, 4000), ("not,", 5000, 8000), ("what", 9000, 12000), ("your", 12000, 16000)]
        assert times(found) == expected
        assert [each["confidence"] for each in found] == [900, 900, None, 900]

    def test_words_share_the_time_of_what_they_stand_for_by_their_letters(self) -> None:
        found = retimed(OWN, ["ask", "nothing", "at", "all", "your"], SECOND)
        assert times(found)[1:4] == [("nothing", 5000, 9083), ("at", 9083, 10250), ("all", 10250, 12000)]
        assert times(found)[4] == ("your", 12000, 16000)

    def test_a_word_that_was_missed_is_said_within_the_one_before(self) -> None:
        found = retimed(OWN, ["ask", "not", "for", "watt", "your"], SECOND)
        assert times(found)[1:3] == [("not", 5000, 6500), ("for", 6500, 8000)]
        assert times(found)[3] == ("watt", 9000, 12000)

    def test_a_word_before_the_first_makes_all_share(self) -> None:
        found = retimed(OWN, ["please", "ask", "not", "watt", "your"], SECOND)
        assert found[0]["start"] == 0
        assert found[-1]["end"] == SECOND

    def test_what_is_gone_takes_no_time(self) -> None:
        assert times(retimed(OWN, ["ask", "your"], SECOND)) == [("ask", 0, 4000), ("your", 12000, 16000)]
        assert retimed(OWN, [], SECOND) == []

    def test_more_than_can_be_said_is_refused(self) -> None:
        with pytest.raises(NotCorrect, match="more than can be said"):
            retimed([word("a", 0, 5)], ["x"] * 9, 5)

    @given(
        texts=st.lists(st.sampled_from(["ask", "not", "watt", "your", "a", "whole", "other", "sentence"]), max_size=12),
        borders=st.lists(st.integers(0, 4000), min_size=8, max_size=8),
    )
    def test_whatever_is_written_is_in_order_and_inside(self, texts: list[str], borders: list[int]) -> None:
        starts = sorted(borders[:4])
        own = [word(each["text"], at, at + 1 + more) for each, at, more in zip(OWN, starts, borders[4:], strict=True)]
        until = max(each["end"] for each in own)
        try:
            found = retimed(own, texts, until)
        except NotCorrect:
            room = until - own[0]["start"]
            assert len(texts) > most_words(room) or room < 2 * sum(map(len, texts))
            return
        assert [each["text"] for each in found] == texts
        assert all(own[0]["start"] <= each["start"] < each["end"] <= until for each in found)
        assert [each["start"] for each in found] == sorted(each["start"] for each in found)


TRACK = {"track": 0, "language": "en", "samples": 20_000, "pieces": []}
TRANSCRIPT = {
    "rate_hz": 16_000,
    "tracks": [
        {
            **TRACK,
            "words": [*OWN, word("country", 17_000, 19_000)],
            "segments": [
                {"start": 0, "end": 16_000, "first": 0, "words": 4},
                {"start": 17_000, "end": 19_000, "first": 4, "words": 1},
            ],
        }
    ],
}
SUMMARY = {
    "abstract": [{"text": "He asks.", "cites": [{"sentence": 0, "start": 0, "end": 9}]}],
    "chapters": [{"title": "Asking", "start": 0, "end": 20, "boundary": "start", "cites": []}],
    "keywords": [{"text": "country", "cites": [{"sentence": 1, "start": 10, "end": 19}]}],
}


def correction(place: str, text: str) -> Correction:
    return Correction(place, text, "Ann", "2026-01-01T00:00:00+00:00")


class TestDocuments:
    def test_a_segment_that_is_emptied_is_gone_and_the_others_keep_their_names(self) -> None:
        made = correct_transcript(TRANSCRIPT, [correction("0/0", "")])
        assert [(place.id, place.text) for place in places_of_transcript(made)] == [("0/17000", "country")]
        assert made["tracks"][0]["segments"] == [{"start": 17_000, "end": 19_000, "first": 0, "words": 1}]

    def test_nothing_at_all_is_no_transcript(self) -> None:
        with pytest.raises(NotCorrect, match="must say something"):
            correct_transcript(TRANSCRIPT, [correction("0/0", ""), correction("0/17000", "")])

    def test_parts_of_a_summary_change_and_go_and_keep_what_they_cite(self) -> None:
        made = correct_summary(SUMMARY, [correction("chapters/0", "A question"), correction("keywords/0", "")])
        assert [(place.id, place.text) for place in places_of_summary(made)] == [
            ("abstract/0", "He asks."),
            ("chapters/0", "A question"),
        ]
        assert made["abstract"] == SUMMARY["abstract"]

    @pytest.mark.parametrize(
        ("place", "text", "sentence"),
        [("chapters/0", "", "title"), ("abstract/0", "", "say something"), ("abstract/7", "x", "no place")],
    )
    def test_what_cannot_be_is_told(self, place: str, text: str, sentence: str) -> None:
        with pytest.raises(NotCorrect, match=sentence):
            correct_summary(SUMMARY, [correction(place, text)])

    def test_texts_are_kept_as_words_are(self) -> None:
        assert clean("  a\n\tcafe\u0301 <b>\u200b ") == "a caf\u00e9 b"
        with pytest.raises(NotCorrect, match="letters"):
            written_in_transcript(TRANSCRIPT, "0/0", "x" * 101)
        assert in_words("東京 Tower 2", {"language": "ja"}) == ["東", "京", "Tower", "2"]

    @pytest.mark.parametrize("text", ["今日は Open AI です", "今日は", "長" * 12])
    def test_a_language_without_spaces_is_written_without(self, text: str) -> None:
        spoken = {**TRANSCRIPT, "tracks": [{**TRANSCRIPT["tracks"][0], "language": "ja"}]}
        written = written_in_transcript(spoken, "0/0", text)
        made = correct_transcript(spoken, [correction("0/0", written)])
        assert written == text.replace(" ", "")
        assert places_of_transcript(made)[0].text == written

    def test_more_words_than_anybody_says_are_refused(self) -> None:
        with pytest.raises(NotCorrect, match="more than can be said"):
            correct_transcript(TRANSCRIPT, [correction("0/0", "word " * 60)])


def corrected_summary(folder: Path, *corrections: Correction) -> Task:
    """A summary that a machine made, corrected: the task as its contract gets it."""
    machine = summed_up(summary_task(folder / "machine", transcript_of(ISLANDS))).task.made
    assert machine is not None
    told = {"corrections": [asdict(each) for each in corrections], "accepted": None}
    task = Task("", told, folder / "person", inputs={UNCORRECTED: replace(machine, name=UNCORRECTED)})
    result = corrected.summary(task)
    return replace(task, made=Input("summary", task.out, list_files(task.out), result.facts, ""))


class TestSummaries:
    def test_a_corrected_summary_keeps_its_contract_and_names_people(self, tmp_path: Path) -> None:
        task = corrected_summary(tmp_path, correction("abstract/0", "Ferries leave."), correction("keywords/1", ""))
        assert task.made is not None
        assert task.made.facts["review"] == "corrected"
        assert task.made.facts["reviewed_by"] == ["Ann"]
        before = task.inputs[UNCORRECTED].facts
        assert task.made.facts["keywords"] == before["keywords"] - 1
        assert [verdict.clause for verdict in contract(task) if verdict.outcome is not Outcome.PASSED] == []

    @pytest.mark.parametrize(
        ("spoil", "clause"),
        [
            (lambda made: made["abstract"][0].update(text="Boats leave."), "says what it was corrected to"),
            (lambda made: made["chapters"].pop(), "says what it was corrected to"),
            (lambda made: made["keywords"][0]["cites"][0].update(start=7), "keywords rest on what they rested on"),
            (lambda made: made.update(language="de"), "is else as it was"),
        ],
    )
    def test_one_that_says_something_else_does_not(self, tmp_path: Path, spoil: Any, clause: str) -> None:
        task = corrected_summary(tmp_path, correction("abstract/0", "Ferries leave."))
        path = task.out / "summary.json"
        made = json.loads(path.read_text())
        spoil(made)
        path.write_text(json.dumps(made))
        assert clause in [verdict.clause for verdict in contract(task) if verdict.outcome is Outcome.FAILED]

    @pytest.mark.parametrize("fact", ["review", "reviewed_by", "ai_generated", "model", "abstract"])
    def test_one_that_is_told_of_wrongly_does_not(self, tmp_path: Path, fact: str) -> None:
        task = corrected_summary(tmp_path, correction("abstract/0", "Ferries leave."))
        assert task.made is not None
        wrong = replace(task, made=replace(task.made, facts={**task.made.facts, fact: None}))
        assert any(verdict.outcome is Outcome.FAILED for verdict in contract(wrong))


@pytest.fixture(scope="module")
def spoken(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, ledger_template: str
) -> Iterator[tuple[House, str]]:
    """A house with one speech, made."""
    folder = tmp_path_factory.mktemp("corrections")
    with (
        database(postgres_url, ledger_template) as ledger_url,
        made_house(folder, ledger_url, corpus_file("speech/jfk.flac")) as (house, keys),
    ):
        yield house, keys[0]


def again(house: House) -> None:
    """What a run makes of the source after it."""
    (registration,) = take_in(house, corpus_file("speech/jfk.flac"))
    make(house, registration)


def captions(house: House, key: str) -> str:
    row = house.ledger.states(key)["captions"]
    made = house.store.find("captions", str(row.recipe_hash))
    assert made is not None
    return house.store.as_input(made, "captions").path("captions-0.vtt").read_text()


class TestASpeech:
    """In order: each goes on from what the one before left."""

    def test_a_correction_makes_what_came_of_the_words_stale_and_due(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        words = reviewable(house, WORKS, key, "transcript")
        assert (words.review, words.version) == ("unreviewed", 0)
        assert "zeppelin" not in captions(house, key)
        place = words.places[0]
        sentence = correct(
            house,
            WORKS,
            key,
            "transcript",
            author=" Ann  Lee ",
            version=0,
            texts={place.place: f"{place.text} zeppelin"},
        )
        assert sentence.startswith("its transcript: 1 place corrected; ")
        states = house.ledger.states(key)
        for name in ("transcript", "captions", "release", "dossier"):
            assert states[name].state is AssetState.STALE, name
            assert states[name].cause == "transcript was reviewed by Ann Lee"
        assert states["loudness"].state is AssetState.READY
        (left,) = [item for item in house.ledger.unfinished() if item.source_key == key]
        assert {"transcript", "captions", "release", "dossier"} <= set(left.assets)

    def test_the_next_run_makes_them_of_the_corrected_words(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        again(house)
        states = house.ledger.states(key)
        assert {row.state for row in states.values()} <= {AssetState.READY, AssetState.NOT_APPLICABLE}
        made = house.store.find("transcript", str(states["transcript"].recipe_hash))
        assert made is not None
        assert made.facts["review"] == "corrected"
        assert made.facts["reviewed_by"] == ["Ann Lee"]
        assert made.facts["ai_generated"] is True
        assert "zeppelin" in captions(house, key)
        assert "a person corrected the transcript" in captions(house, key)
        assert [hit.source for hit in said(house, "zeppelin", limit=5)][:1] == [key]
        words = reviewable(house, WORKS, key, "transcript")
        assert words.places[0].author == "Ann Lee"
        assert words.places[0].was is not None
        assert "zeppelin" not in words.places[0].was

    def test_it_is_explained_in_a_sentence(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        found = explain(house, key, ui=None)
        assert any(
            "transcript was made anew: of what the machine wrote and people said" in each for each in found.changed
        )
        assert any("its words were reviewed, by Ann Lee (1 place corrected)" in each for each in found.changed)

    def test_what_is_published_can_be_verified_and_is_told_by_the_page(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        for found in verify_source(house, WORKS, house.ledger.source(key)):
            assert not found.problems, found
        row = house.ledger.states(key)["dossier"]
        made = house.store.find("dossier", str(row.recipe_hash))
        assert made is not None
        page = house.store.as_input(made, "dossier").path("index.html").read_text()
        assert "corrected, reviewed by Ann Lee" in page
        assert "zeppelin" in page

    @pytest.mark.parametrize(
        ("spoil", "clause"),
        [
            (lambda track: track["words"][0].update(text="else"), "says what it was corrected to"),
            (lambda track: track["words"][-1].update(end=track["samples"] + 1), "words in order inside the media"),
            (lambda track: track.update(samples=track["samples"] + 1), "is as long as the track"),
            (lambda track: track["segments"].pop(), "says what it was corrected to"),
            (lambda track: track.update(language="de"), "is else as it was"),
        ],
    )
    def test_a_transcript_that_says_something_else_breaks_its_contract(
        self, spoken: tuple[House, str], tmp_path: Path, spoil: Any, clause: str
    ) -> None:
        house, key = spoken
        row = house.ledger.states(key)["transcript"]
        made = house.store.find("transcript", str(row.recipe_hash))
        assert made is not None
        inputs = {}
        for name, digest in made.made_of.items():
            found = house.store.find("transcript" if name == UNCORRECTED else name, digest)
            assert found is not None
            inputs[name] = house.store.as_input(found, name)
        document = json.loads(house.store.as_input(made, "transcript").path("transcript.json").read_text())
        spoil(document["tracks"][0])
        (tmp_path / "transcript.json").write_text(json.dumps(document))
        judged = Input("transcript", tmp_path, list_files(tmp_path), made.facts, "")
        verdicts = transcript_contract(Task("", made.recipe["parameters"], tmp_path, inputs=inputs, made=judged))
        assert any(clause in verdict.clause for verdict in verdicts if verdict.outcome is Outcome.FAILED)

    def test_who_did_not_see_the_last_correction_is_told(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        place = reviewable(house, WORKS, key, "transcript").places[0].place
        with pytest.raises(InTheWay, match="somebody corrected"):
            correct(house, WORKS, key, "transcript", author="Bob", version=0, texts={place: "mine"})

    def test_the_machines_own_text_takes_a_correction_back(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        words = reviewable(house, WORKS, key, "transcript")
        place = words.places[0]
        correct(
            house,
            WORKS,
            key,
            "transcript",
            author="Bob",
            version=words.version,
            texts={place.place: str(place.was)},
        )
        again(house)
        row = house.ledger.states(key)["transcript"]
        made = house.store.find("transcript", str(row.recipe_hash))
        assert made is not None
        assert made.facts["review"] == "unreviewed"
        assert "zeppelin" not in captions(house, key)

    def test_words_are_accepted_as_they_are(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        words = reviewable(house, WORKS, key, "transcript")
        correct(house, WORKS, key, "transcript", author="Bob", version=words.version, texts={})
        again(house)
        assert reviewable(house, WORKS, key, "transcript").review == "accepted"
        assert "accepted it" in captions(house, key)
        kinds = [event.kind for event in house.ledger.events_of(key, limit=500) if event.actor == "Bob"]
        assert kinds.count("corrected") == 2

    @pytest.mark.parametrize(
        ("asset", "author", "texts", "error", "sentence"),
        [
            ("captions", "Bob", {}, NotCorrect, "cannot be corrected; transcript, summary can"),
            ("summary", "Bob", {}, InTheWay, "has no summary that could be corrected"),
            ("transcript", " \u200b", {}, NotCorrect, "names its author"),
            ("transcript", "Bob", {"0/1": "x"}, NotCorrect, "no place"),
            ("transcript", "Bob", {"0/1": "x " * 3000}, NotCorrect, "too long"),
        ],
    )
    def test_what_cannot_be_corrected_is_told_and_changes_nothing(
        self,
        spoken: tuple[House, str],
        asset: str,
        author: str,
        texts: dict[str, str],
        error: type[Exception],
        sentence: str,
    ) -> None:
        house, key = spoken
        before = house.ledger.states(key)
        version = reviewable(house, WORKS, key, "transcript").version
        with pytest.raises(error, match=sentence):
            correct(house, WORKS, key, asset, author=author, version=version, texts=texts)
        assert house.ledger.states(key) == before

    def test_all_that_was_said_is_taken_back(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        version = reviewable(house, WORKS, key, "transcript").version
        sentence = correct(house, WORKS, key, "transcript", author="Bob", version=version, texts={}, withdrawn=True)
        assert sentence.startswith("its transcript: all that was said of it is taken back; captions")
        again(house)
        assert reviewable(house, WORKS, key, "transcript").review == "unreviewed"

    def test_a_correction_that_could_not_be_made_can_be_taken_back(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        words = reviewable(house, WORKS, key, "transcript")
        texts = {words.places[0].place: "other words"}
        correct(house, WORKS, key, "transcript", author="Bob", version=words.version, texts=texts)
        house.ledger.move(key, "transcript", AssetState.FAILED, actor="test", cause="for a test")
        version = reviewable(house, WORKS, key, "transcript").version
        correct(house, WORKS, key, "transcript", author="Bob", version=version, texts={}, withdrawn=True)
        again(house)
        row = house.ledger.states(key)["transcript"]
        assert (row.state, reviewable(house, WORKS, key, "transcript").review) == (AssetState.READY, "unreviewed")

    def test_words_that_became_others_meanwhile_leave_nothing_of_before(self, spoken: tuple[House, str]) -> None:
        """Captions were at work on the old words while these were corrected."""
        house, key = spoken
        words = reviewable(house, WORKS, key, "transcript")
        texts = {words.places[0].place: "other words"}
        house.ledger.move(key, "captions", AssetState.RUNNING, actor="test")
        correct(house, WORKS, key, "transcript", author="Bob", version=words.version, texts=texts)
        house.ledger.move(key, "captions", AssetState.READY, actor="test")
        (registration,) = take_in(house, corpus_file("speech/jfk.flac"))
        make(house, registration, "transcript")
        assert house.ledger.states(key)["captions"].state is AssetState.STALE
        again(house)
        assert "other words" in captions(house, key)

    def test_a_source_that_is_not_there_is_told(self, spoken: tuple[House, str]) -> None:
        with pytest.raises(UnknownSource):
            reviewable(spoken[0], WORKS, "nobody", "transcript")

    def test_what_is_being_made_is_not_corrected(self, spoken: tuple[House, str]) -> None:
        house, key = spoken
        version = reviewable(house, WORKS, key, "transcript").version
        house.ledger.move(key, "transcript", AssetState.RUNNING, actor="test")
        with pytest.raises(InTheWay, match="running now"):
            correct(house, WORKS, key, "transcript", author="Bob", version=version, texts={})
        again(house)
