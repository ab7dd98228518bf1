"""A summary points at what was said, asks step by step within its budget, and goes on where it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.contracts.summary import contract
from processing.failures import ContractBroken, OutOfBudget
from processing.words import summary, summary_plan
from processing.words.summary_steps import (
    FOLLOWS,
    Draft,
    Machine,
    Phase,
    Sentence,
    budget_for,
    parts_of,
)
from tests.media_picture import broken
from tests.summaries import ISLANDS, MODEL, PROMPTS, RATE_HZ, Author, chat, summary_task, summed_up, transcript_of


def task_of(folder: Path, text: str = ISLANDS, **more: Any) -> Any:
    return summary_task(folder, transcript_of(text), **more)


def test_a_talk_is_summed_up_with_citations_that_say_the_same(tmp_path: Path) -> None:
    made = summed_up(task_of(tmp_path))
    assert broken(contract(made.task)) == []
    sentences = {each.number: each for each in summary.read_book(made.task).sentences}
    document = made.document
    assert len(document["abstract"]) == 3
    for claim in document["abstract"]:
        (cite,) = claim["cites"]
        assert claim["text"] == sentences[cite["sentence"]].text
        assert (cite["start"], cite["end"]) == (sentences[cite["sentence"]].start, sentences[cite["sentence"]].end)
    texts = " ".join(claim["text"] for claim in document["abstract"])
    assert all(word in texts for word in ("ferry", "wind", "soup"))  # something of each of its three topics
    assert {keyword["text"] for keyword in document["keywords"]} >= {"ferry", "fish soup"}


def test_chapters_begin_where_topics_do(tmp_path: Path) -> None:
    made = summed_up(task_of(tmp_path))
    starts = [chapter["start"] for chapter in made.document["chapters"]]
    sentences = summary.read_book(made.task).sentences
    assert starts == [0, sentences[6].start, sentences[11].start]
    assert made.document["chapters"][-1]["end"] == made.document["duration"]


def test_a_chapter_begins_with_the_shot_that_begins_in_its_pause(tmp_path: Path) -> None:
    sentences = summary.read_book(task_of(tmp_path / "a")).sentences
    cut_s = (sentences[6].start - RATE_HZ) / RATE_HZ
    made = summed_up(task_of(tmp_path / "b", cuts_s=[5.0, cut_s]))
    second = made.document["chapters"][1]
    assert (second["start"], second["boundary"]) == (round(cut_s * RATE_HZ), "shot")
    assert broken(contract(made.task)) == []


def test_it_says_that_a_model_made_it_which_one_and_how(tmp_path: Path) -> None:
    facts = summed_up(task_of(tmp_path / "a")).result.facts
    assert facts["ai_generated"] is True
    assert facts["review"] == "unreviewed"
    assert facts["method"] == "extractive"
    assert facts["model"] == {name: MODEL[name] for name in ("id", "version", "sha256")}
    assert [step["step"] for step in facts["steps"]] == ["part/0000", "check"]
    assert summed_up(task_of(tmp_path / "b"), Author()).result.facts["method"] == "generative"


def test_too_few_words_are_not_summed_up(tmp_path: Path) -> None:
    made = summed_up(task_of(tmp_path, "Nobody said much today. It was over soon."))
    assert made.result.facts == {"not_applicable": "8 words were said, and a summary needs 40 at least"}
    assert not made.task.out.exists()
    assert made.asks == ()
    assert broken(contract(made.task)) == []


def test_a_claim_that_too_little_was_said_is_checked(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    made = replace(summed_up(task).task)
    assert made.made is not None
    lazy = replace(made, made=replace(made.made, facts={"not_applicable": "nothing was said"}))
    assert broken(contract(lazy)) == ["does not apply for a reason"]


def test_what_the_model_does_not_know_the_language_of_is_not_summed_up(tmp_path: Path) -> None:
    task = summary_task(tmp_path, transcript_of(ISLANDS, language="pt-BR"))
    knows = replace(task, parameters={**task.parameters, "model": {**MODEL, "languages": ["en", "pt"]}})
    assert summary.make(knows).asks
    strange = replace(task, parameters={**task.parameters, "model": {**MODEL, "languages": ["en", "de"]}})
    assert summary.make(strange).facts == {"not_applicable": "it is in pt-BR, which the model a-model does not know"}


def test_without_a_transcript_there_is_nothing_to_sum_up(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    assert summary.make(replace(task, inputs={})).facts == {"not_applicable": "there is no transcript"}


def test_each_ask_carries_prompt_schema_language_and_bounds(tmp_path: Path) -> None:
    part, check = summed_up(task_of(tmp_path)).asks
    assert (part.name, check.name) == ("writing/part/0000", "writing/check")
    assert part.parameters["prompt"] == PROMPTS["summary_part"]
    assert check.parameters["prompt"] == PROMPTS["summary_check"]
    assert part.parameters["schema"]["required"] == ["abstract", "chapters", "keywords"]
    assert part.parameters["language"] == "en"
    assert part.most_tokens == part.parameters["most_tokens"] == summary_plan.RULES["answer_tokens"]


def test_the_material_is_numbered_sentences_with_times(tmp_path: Path) -> None:
    task = task_of(tmp_path, shown=[(0, 4, "HARBOUR TOURS"), (9000, 9001, "later")])
    (ask,) = summary.make(task).asks
    material = json.loads((task.asks / ask.payload["material.json"]).read_text())
    second = material["sentences"][1]
    assert second["n"] == 1
    assert second["text"] == "The ferry to the islands leaves every hour from pier nine."
    assert second["pause_ms"] > 400
    assert second["confidence"] == 900
    assert second["end_ms"] > second["start_ms"] > 1000
    assert [text["text"] for text in material["shown"]] == ["HARBOUR TOURS"]


def test_of_what_is_shown_the_lasting_is_given_along_once_and_within_bounds(tmp_path: Path) -> None:
    shown = [(0, 1, "HARBOUR TOURS"), (0, 20, "Pier nine"), (21, 40, "HARBOUR TOURS"), (3, 3.1, "a passing bus " * 9)]
    task = task_of(tmp_path, shown=shown, shown_tokens=60)
    (ask,) = summary.make(task).asks
    material = json.loads((task.asks / ask.payload["material.json"]).read_text())
    assert [(text["text"], text["start_ms"]) for text in material["shown"]] == [
        ("Pier nine", 0),
        ("HARBOUR TOURS", 21_000),
    ]


def test_a_long_talk_is_summed_up_in_parts_and_merged(tmp_path: Path) -> None:
    made = summed_up(task_of(tmp_path, part_tokens=150, merged_at_once=2))
    names = [step["step"] for step in made.states["steps"]]
    parts = [name for name in names if name.startswith("part/")]
    assert len(parts) >= 3
    assert "merge/0/0000" in names
    assert "merge/1/0000" in names
    assert names[-1] == "check"
    assert broken(contract(made.task)) == []
    cited = [cite["sentence"] for claim in made.document["abstract"] for cite in claim["cites"]]
    assert max(cited) >= 11  # its last part was not forgotten


def test_with_the_same_answers_it_asks_the_same(tmp_path: Path) -> None:
    task = task_of(tmp_path / "a", part_tokens=200)
    first = summary.make(task)
    again = summary.make(replace(task, scratch=tmp_path / "again"))
    assert first.asks == again.asks
    for ask in first.asks:
        file = ask.payload["material.json"]
        assert (task.asks / file).read_bytes() == (tmp_path / "again" / "asks" / file).read_bytes()


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    """A run that died between two answers goes on with the one that is missing."""
    task = task_of(tmp_path / "a", part_tokens=200)
    whole = summed_up(task)
    known = dict(list(whole.answers.items())[:2])
    resumed = summed_up(replace(task, scratch=tmp_path / "b"), answers=known)
    assert {ask.name for ask in resumed.asks} == {ask.name for ask in whole.asks} - set(known)
    assert resumed.document == whole.document
    assert resumed.states == whole.states


def test_an_answer_of_the_wrong_form_is_repaired_once(tmp_path: Path) -> None:
    def once(name: str, value: dict[str, Any]) -> Any:
        return "Here is your summary!" if name == "writing/part/0000" else value

    author = Author(once)
    made = summed_up(task_of(tmp_path), author)
    assert author.asked == ("writing/part/0000", "writing/part/0000/repair", "writing/check")
    assert made.states["steps"][0]["repaired"] is True
    assert made.states["spent_tokens"] == 3 * summary_plan.RULES["answer_tokens"]
    assert broken(contract(made.task)) == []


def test_a_repair_is_told_what_was_wrong(tmp_path: Path) -> None:
    seen: list[Any] = []

    def author(ask: Any, material: Any) -> tuple[bytes, str]:
        seen.append(material)
        return Author()(ask, material) if ask.name.endswith("/repair") else chat({"abstract": []})

    with pytest.raises(ContractBroken):
        summed_up(task_of(tmp_path), author)
    assert seen[1]["fault"] == "the answer lacks chapters"
    assert seen[1]["previous"] == '{"abstract": []}'
    assert seen[1]["sentences"] == seen[0]["sentences"]


def test_a_second_answer_of_the_wrong_form_ends_it(tmp_path: Path) -> None:
    author = Author(lambda name, value: "not JSON")
    with pytest.raises(ContractBroken, match="and so has its repair"):
        summed_up(task_of(tmp_path), author)
    assert author.asked == ("writing/part/0000", "writing/part/0000/repair")


def test_repairs_end_with_the_budget(tmp_path: Path) -> None:
    """Four parts, a merge and a check may be repaired once between them, not each."""
    author = Author(lambda name, value: value if name.endswith("/repair") else "no")
    with pytest.raises(ContractBroken, match="budget of 14000 tokens holds no further ask"):
        summed_up(task_of(tmp_path, part_tokens=200), author)
    assert len(author.asked) == 4  # nothing more is paid for once it cannot end well


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda value: value["abstract"][0]["cites"].append(999), "cites sentence 999"),
        (lambda value: value["abstract"][0]["cites"].clear(), "cites 0 sentences"),
        (lambda value: value["chapters"][0].update(begins=-1), "begins with a sentence that was not given"),
        (lambda value: value["chapters"].reverse(), "not in order"),
        (lambda value: value.update(notes="x"), "nobody asked for"),
        (lambda value: value["abstract"][0].update(text=7), "is not of type string"),
        (lambda value: value["abstract"][0].update(cites=[True]), "is not of type integer"),
        (lambda value: value["abstract"].extend(value["abstract"] * 5), "may have 1 to 6"),
        (lambda value: value["abstract"][0].update(text="ferry " * 400), "may have 1 to 1000"),
    ],
)
def test_what_the_form_forbids_is_repaired(tmp_path: Path, change: Any, fault: str) -> None:
    told: list[str] = []

    def author(ask: Any, material: Any) -> tuple[bytes, str]:
        told.append(str(material.get("fault", "")))

        def spoil(name: str, value: dict[str, Any]) -> Any:
            if name == "writing/part/0000":
                change(value)
            return value

        return Author(spoil)(ask, material)

    made = summed_up(task_of(tmp_path), author)
    assert fault in told[1]
    assert broken(contract(made.task)) == []


def test_what_the_check_finds_unsupported_is_dropped_and_told(tmp_path: Path) -> None:
    def doubt(name: str, value: dict[str, Any]) -> Any:
        for item in value.get("items", ()):
            if item["id"] == "abstract/1":
                item.update(supported=False, reason="nobody says so")
        return value

    made = summed_up(task_of(tmp_path), Author(doubt))
    assert len(made.document["abstract"]) == 2
    assert made.states["dropped"] == [{"id": "abstract/1", "supported": False, "reason": "nobody says so"}]
    assert broken(contract(made.task)) == []


def test_a_check_that_supports_nothing_ends_it(tmp_path: Path) -> None:
    def doubt(name: str, value: dict[str, Any]) -> Any:
        for item in value.get("items", ()):
            item["supported"] = False
        return value

    with pytest.raises(ContractBroken, match="nothing is left to publish"):
        summed_up(task_of(tmp_path), Author(doubt))


def test_a_check_must_judge_every_statement(tmp_path: Path) -> None:
    def forget(name: str, value: dict[str, Any]) -> Any:
        if name == "writing/check":
            value["items"].pop()
        return value

    author = Author(forget)
    assert broken(contract(summed_up(task_of(tmp_path), author).task)) == []
    assert author.asked[-1] == "writing/check/repair"


def test_an_empty_answer_ends_it_at_the_first_step(tmp_path: Path) -> None:
    author = Author(lambda name, value: {"abstract": [], "chapters": [], "keywords": []})
    with pytest.raises(ContractBroken, match="the answer to part/0000 is empty"):
        summed_up(task_of(tmp_path), author)
    assert author.asked == ("writing/part/0000",)


def test_a_transcript_beyond_all_steps_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(OutOfBudget, match="2 parts of 50"):
        summary.make(task_of(tmp_path, part_tokens=50, most_parts=2))


def test_the_track_with_the_most_words_is_summed_up(tmp_path: Path) -> None:
    document = transcript_of(ISLANDS)
    short = transcript_of("Testing, one, two.")["tracks"][0]
    document["tracks"] = [short, {**document["tracks"][0], "track": 1, "language": "en"}]
    task = summary_task(tmp_path, document)
    book = summary.read_book(task)
    assert (book.track, book.language) == (1, "en")
    assert summed_up(task).result.facts["track"] == 1


def test_sentences_without_punctuation_end_in_pauses_and_at_the_most_words(tmp_path: Path) -> None:
    words = [{"text": f"w{n}", "start": n * 4000, "end": n * 4000 + 3000, "confidence": 1} for n in range(100)]
    for word in words[50:]:
        word["start"] += 2 * RATE_HZ
        word["end"] += 2 * RATE_HZ
    track = {"track": 0, "language": "en", "words": words}
    track["segments"] = [{"start": 0, "end": words[-1]["end"], "first": 0, "words": 100}]
    task = summary_task(tmp_path, {"rate_hz": RATE_HZ, "tracks": [track]})
    lengths = [len(sentence.text.split()) for sentence in summary.read_book(task).sentences]
    assert lengths == [40, 10, 40, 10]
    assert summary.read_book(task).sentences[2].pause > 2 * RATE_HZ


def test_words_behind_the_end_of_the_media_are_not_cited(tmp_path: Path) -> None:
    task = task_of(tmp_path, tail_s=-20.0)
    book = summary.read_book(task)
    assert max(sentence.end for sentence in book.sentences) <= book.duration
    assert broken(contract(summed_up(task).task)) == []


def test_it_applies_where_something_may_be_said_and_a_model_is_configured() -> None:
    options = {"models": {"writing": MODEL}}
    assert summary_plan.applies({"kind": "image"}, options) == "stills are not summed up"
    assert summary_plan.applies({"kind": "video", "audio": []}, options) == "it has no sound"
    assert summary_plan.applies({"kind": "audio", "audio": [{}]}, {}) == "no model for writing is configured"
    assert summary_plan.applies({"kind": "audio", "audio": [{}]}, options) is None


def test_model_and_prompts_are_part_of_the_recipe() -> None:
    info = {"kind": "audio", "audio": [{}], "duration": {"ticks": 1, "timescale": 1}}
    told = summary_plan.parameters(info, {"models": {"writing": MODEL}, "prompts": PROMPTS})
    assert told["model"]["sha256"] == "a" * 64
    assert {prompt["sha256"] for prompt in told["prompts"].values()} == {"b" * 64}


def test_no_phase_is_left_but_by_its_own_ways() -> None:
    machine = Machine([], {}, "en", 0)
    with pytest.raises(ValueError, match="done does not follow part"):
        machine._enter(Phase.DONE)
    assert FOLLOWS[Phase.CHECK] == {Phase.DONE}


@given(st.lists(st.integers(1, 400), min_size=1, max_size=200), st.integers(100, 3000))
def test_parts_hold_every_sentence_once_in_order(lengths: list[int], tokens: int) -> None:
    sentences = [Sentence(n, n * 10, n * 10 + 5, "x" * length) for n, length in enumerate(lengths)]
    rules = {**summary_plan.RULES, "part_tokens": tokens, "most_parts": 10_000}
    parts = parts_of(sentences, rules)
    assert [sentence for part in parts for sentence in part] == sentences
    assert all(parts)


@given(st.integers(1, 40))
def test_the_budget_holds_every_planned_step_and_a_repair_at_least(parts: int) -> None:
    budget = budget_for(parts, summary_plan.RULES)
    steps, level = parts + 1, parts
    while level > 1:
        level = -(-level // summary_plan.RULES["merged_at_once"])
        steps += level
    assert budget.planned == steps
    assert sum(budget.repair() for _ in range(1000)) == max(1, steps // 4)
    budget.asked = steps
    assert budget.spent == budget.total


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda c: st.lists(c, max_size=3)))
def test_no_answer_breaks_the_reading_of_its_form(value: Any) -> None:
    assert summary_plan.flaw(value, summary_plan.DRAFT_SCHEMA)
    assert (
        summary_plan.flaw({"abstract": value, "chapters": [], "keywords": []}, summary_plan.DRAFT_SCHEMA) or value == []
    )


def test_a_draft_comes_back_from_its_json() -> None:
    value = {
        "abstract": [{"text": "One\nline \x07 of it", "cites": [1]}],
        "chapters": [{"title": "It", "begins": 1, "cites": [1]}],
        "keywords": [],
    }
    assert Draft.from_json(value).abstract[0].text == "One line of it"
    assert Draft.from_json(Draft.from_json(value).to_json()) == Draft.from_json(value)
