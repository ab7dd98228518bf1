"""Every answer that comes with status 200 and says nothing, or what nobody said, fails before it is published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processing.contracts.summary import contract
from processing.failures import ContractBroken
from processing.manifest import Outcome, list_files
from processing.words.summary import STATES_FILE, SUMMARY_FILE
from resources.releases.golden_sets import golden_set
from tests.media_picture import broken
from tests.summaries import ISLANDS, RATE_HZ, Author, Made, chat, summary_task, summed_up, transcript_of

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("good")
    shown = [(1.0, 40.0, "Captain Lindqvist welcomes you, tours from 25")]
    return summed_up(summary_task(folder, transcript_of(ISLANDS), cuts_s=[6.0, 31.0], shown=shown))


def judged(made: Made, folder: Path, change: Change = lambda _: None, states: Change = lambda _: None) -> Any:
    """The verdicts on a copy after `change` of the summary; the statements of the states follow it."""
    assert made.task.made is not None
    shutil.copytree(made.task.made.folder, folder)
    document, told = (json.loads((folder / name).read_text()) for name in (SUMMARY_FILE, STATES_FILE))
    change(document)
    drafts = [step for step in told["steps"] if step["phase"] != "check"]
    drafts[-1]["answer"]["abstract"] = [{"text": each["text"]} for each in document["abstract"]]
    drafts[-1]["answer"]["chapters"] = [{"title": each["title"]} for each in document["chapters"]]
    drafts[-1]["answer"]["keywords"] = [{"text": each["text"]} for each in document["keywords"]]
    states(told)
    (folder / SUMMARY_FILE).write_text(json.dumps(document))
    (folder / STATES_FILE).write_text(json.dumps(told))
    counts = {name: len(document[name]) for name in ("abstract", "chapters", "keywords")}
    facts = {**made.task.made.facts, **counts}
    item = replace(made.task.made, folder=folder, files=list_files(folder), facts=facts)
    return contract(replace(made.task, made=item))


def test_a_good_summary_keeps_all_of_it_without_a_warning(good: Made, tmp_path: Path) -> None:
    verdicts = judged(good, tmp_path / "copy")
    assert {verdict.outcome for verdict in verdicts} == {Outcome.PASSED}
    assert len(verdicts) >= 20


def say(text: str, at: int = 0) -> Change:
    return lambda document: document["abstract"][at].update(text=text)


def title(text: str, at: int = 1) -> Change:
    return lambda document: document["chapters"][at].update(title=text)


def keyword(text: str) -> Change:
    return lambda document: document["keywords"][0].update(text=text)


def everywhere(text: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        for number, each in enumerate(document["abstract"]):
            each["text"] = f"{text} {'again ' * number}".strip()

    return change


def _second_is_first(document: dict[str, Any]) -> None:
    document["abstract"][1] = dict(document["abstract"][0])


def _all_of_it(document: dict[str, Any]) -> None:
    document["abstract"][0]["text"] = " ".join(ISLANDS.split())


def _no_cites(document: dict[str, Any]) -> None:
    document["abstract"][0]["cites"] = []


def _cite(**changes: int) -> Change:
    return lambda document: document["abstract"][0]["cites"][0].update(changes)


def _late_start(document: dict[str, Any]) -> None:
    document["chapters"][0]["start"] = RATE_HZ


def _early_end(document: dict[str, Any]) -> None:
    document["chapters"][-1]["end"] -= RATE_HZ


def _overlap(document: dict[str, Any]) -> None:
    document["chapters"][0]["end"] += RATE_HZ


def _off_the_boundary(document: dict[str, Any]) -> None:
    document["chapters"][0]["end"] += 2 * RATE_HZ
    document["chapters"][1]["start"] += 2 * RATE_HZ


def _tiny_chapter(document: dict[str, Any]) -> None:
    first = document["chapters"][0]
    at = first["cites"][0]["start"]
    document["chapters"].insert(0, {**first, "end": at})
    first.update(start=at, boundary="speech", title="The harbour")


def _swapped(document: dict[str, Any]) -> None:
    document["chapters"].reverse()


def _one_title(document: dict[str, Any]) -> None:
    for chapter in document["chapters"]:
        chapter["title"] = "Ferry"


def _strange_titles(document: dict[str, Any]) -> None:
    for number, chapter in enumerate(document["chapters"]):
        chapter["title"] = ("Galaxies", "Telescopes", "Comets")[number]


def _foreign_chapter_cites(document: dict[str, Any]) -> None:
    document["chapters"][1]["cites"] = document["chapters"][0]["cites"]


def _repeated_keyword(document: dict[str, Any]) -> None:
    document["keywords"][1] = dict(document["keywords"][0])


MUTATIONS: dict[str, tuple[Change, str]] = {
    "no abstract": (lambda document: document.update(abstract=[]), "says something"),
    "blank abstract": (say(" ... "), "says something"),
    "one word": (say("Ferry."), "says something"),
    "no chapters": (lambda document: document.update(chapters=[]), "says something"),
    "blank title": (title("--"), "says something"),
    "refusal": (say("I'm sorry, but I can't help with that."), "is no refusal"),
    "refusal as a model": (say("As an AI language model, I cannot watch the ferry leave pier nine."), "is no refusal"),
    "refusal for policy": (say("This ferry violates our content policy."), "is no refusal"),
    "refusal for want of input": (say("No transcript was provided, please provide the ferry text."), "is no refusal"),
    "refusal in German": (say("Tut mir leid, dabei kann ich nicht helfen."), "is no refusal"),
    "refusal in a title": (title("I cannot summarize this"), "is no refusal"),
    "lorem ipsum": (say("Lorem ipsum dolor sit amet, the ferry."), "is no boilerplate"),
    "template": (say("The ferry to [insert place] leaves every hour."), "is no boilerplate"),
    "braces": (say("The ferry leaves {{time}} from pier nine."), "is no boilerplate"),
    "placeholder keyword": (keyword("N/A"), "is no boilerplate"),
    "schema's word": (title("string"), "is no boilerplate"),
    "numbered titles": (title("Chapter 2"), "is no boilerplate"),
    "prompt repeated": (say("Sum up what follows, step summary_part, as told."), "is no boilerplate"),
    "filler": (everywhere("This video discusses various topics and offers valuable insights."), "is no boilerplate"),
    "the same twice": (_second_is_first, "is no boilerplate"),
    "no citation": (_no_cites, "citations resolve"),
    "a citation of no sentence": (_cite(sentence=4000), "citations resolve"),
    "a citation elsewhere": (_cite(start=0), "citations resolve"),
    "a citation outside the media": (_cite(end=10**9), "citations resolve"),
    "another number": (say("The ferry to the islands leaves every hour from pier 12."), "no number is invented"),
    "a number in words": (
        say("The ferry to the islands leaves every hour from pier seventeen."),
        "no number is invented",
    ),
    "a number in a title": (title("Wind of 80 knots"), "no number is invented"),
    "a time": (say("At 19:45 the ferry to the islands leaves from the pier."), "no time is invented"),
    "a name": (say("The ferry of Captain Haddock leaves every hour from pier nine."), "no name is invented"),
    "a name that begins": (say("Angela Merkel takes the ferry to the islands every hour."), "no name is invented"),
    "an acronym": (say("NASA runs the ferry to the islands from pier nine."), "no name is invented"),
    "a name in a title": (title("Wind on the islands of Norway"), "no name is invented"),
    "a keyword nobody said": (keyword("submarine"), "keywords were said"),
    "a keyword twice": (_repeated_keyword, "keywords were said"),
    "a chapter that begins late": (_late_start, "chapters cover the media in order"),
    "a chapter that ends early": (_early_end, "chapters cover the media in order"),
    "chapters that overlap": (_overlap, "chapters cover the media in order"),
    "chapters in another order": (_swapped, "chapters cover the media in order"),
    "a chapter in the middle of a word": (_off_the_boundary, "chapters begin at shots or speech"),
    "a chapter of a second": (_tiny_chapter, "chapters last"),
    "titles of another talk": (_strange_titles, "titles name what their chapters say"),
    "one title for all": (_one_title, "chapters have titles of their own"),
    "a chapter that rests on another": (_foreign_chapter_cites, "chapters rest on their own speech"),
    "another talk": (everywhere("A telescope shows galaxies far beyond our own milky way."), "is what was said"),
    "one sentence of another talk": (
        say("A telescope shows galaxies far beyond our own milky way."),
        "every sentence has to do with what it cites",
    ),
    "another language": (
        everywhere("Die Fähre fährt jede Stunde und ist für die Kinder umsonst, der Wind ist am Morgen nicht schwach."),
        "is in the language of what was said",
    ),
    "the transcript again": (_all_of_it, "is shorter than what was said"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_says_nothing_or_what_nobody_said_fails(good: Made, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in broken(judged(good, tmp_path / "spoiled", change))


@pytest.mark.parametrize(
    "text",
    [
        "A ferry sails to the islands hourly from pier 9.",  # figures for words
        "Every hour a ferry leaves pier nine for the islands.",
        "The ferry leaves for the islands at 0:04 from pier nine.",  # a time inside what it cites
        "Lindqvist's ferry leaves for the islands from pier nine.",  # a name that is shown meanwhile
        "The ferry leaves from pier nine, with tours from 25.",  # a number that is shown
    ],
)
def test_what_was_said_may_be_said_otherwise(good: Made, tmp_path: Path, text: str) -> None:
    assert broken(judged(good, tmp_path / "copy", say(text))) == []


def test_what_speakers_say_themselves_is_neither_refusal_nor_filler(tmp_path: Path) -> None:
    text = ISLANDS.replace("Now let us talk about", "I'm sorry to say so, but this video is about")
    made = summed_up(summary_task(tmp_path, transcript_of(text)))

    def quote(document: dict[str, Any]) -> None:
        sentence = next(each for each in sentences if "sorry" in each.text)
        cite = {"sentence": sentence.number, "start": sentence.start, "end": sentence.end}
        document["abstract"][0] = {"text": sentence.text, "cites": [cite]}

    from processing.words.summary import read_book

    sentences = read_book(made.task).sentences
    assert broken(judged(made, tmp_path / "copy", quote)) == []


def test_warnings_are_of_style_or_of_what_cannot_be_told(good: Made, tmp_path: Path) -> None:
    changes: dict[str, Change] = {
        "comes to the point": say("In this video the ferry to the islands leaves every hour from pier nine."),
        "titles name what their chapters say": title("Questions and answers"),
        "has keywords": lambda document: document.update(keywords=[]),
        "chapters have titles of their own": lambda document: document["chapters"][2].update(
            title=document["chapters"][1]["title"]
        ),
        "no word with a capital is strange": title("Strong Winds Around Norway"),
    }
    for number, (clause, change) in enumerate(changes.items()):
        verdicts = judged(good, tmp_path / str(number), change)
        assert broken(verdicts) == [], clause
        assert clause in [each.clause for each in verdicts if each.outcome is Outcome.WARNED]


def test_german_nouns_are_no_invented_names(tmp_path: Path) -> None:
    """Every noun has a capital there: a strange one warns, for it may be a fair word for what was said."""
    talk = """
    Die Fähre zu den Inseln fährt jede Stunde vom Hafen ab. Im letzten Jahr fuhren viele Leute mit der Fähre. Kinder
    fahren auf der Fähre umsonst mit. Der Wind ist am Morgen stark und am Abend schwach. Bei Nebel fährt die Fähre
    langsamer als sonst. Karten für die Fähre gibt es am Hafen.
    """
    made = summed_up(summary_task(tmp_path, transcript_of(talk, language="de")))
    verdicts = judged(made, tmp_path / "copy", say("Die Fähre zu den Inseln fährt jede Stunde, ein Schiff im Hafen."))
    assert broken(verdicts) == []
    assert [each.clause for each in verdicts if each.outcome is Outcome.WARNED] == ["no word with a capital is strange"]
    verdicts = judged(made, tmp_path / "name", say("Jede Stunde fährt mit der Fähre Angela Merkel zu den Inseln."))
    assert "no name is invented" in broken(verdicts)


def test_an_abstract_of_the_beginning_alone_warns(tmp_path: Path) -> None:
    """What a model says that was given a transcript cut off on its way."""
    items = golden_set("writing").items
    topics = [items[number].document()["sentences"] for number in (0, 4, 8)]
    talk = "\n\n".join(" ".join(sentence["text"] for sentence in topic) for topic in topics)
    made = summed_up(summary_task(tmp_path, transcript_of(talk)))

    def only_beginning(document: dict[str, Any]) -> None:
        document["abstract"] = [each for each in document["abstract"] if each["cites"][0]["sentence"] < 18]

    assert warned(judged(made, tmp_path / "a")) == []
    assert warned(judged(made, tmp_path / "b", only_beginning)) == ["draws on more than the beginning"]


def warned(verdicts: Any) -> list[str]:
    return [each.clause for each in verdicts if each.outcome is Outcome.WARNED]


@pytest.mark.parametrize(
    "states",
    [
        lambda told: told.update(phase="check"),
        lambda told: told["steps"].pop(),
        lambda told: told["steps"].clear(),
        lambda told: told.update(spent_tokens=told["budget_tokens"] + 1),
        lambda told: told["steps"][0]["answer"]["abstract"].pop(),
        lambda told: told["steps"][-1]["answer"][0].update(supported=False),
    ],
)
def test_states_that_do_not_lead_to_it_fail(good: Made, tmp_path: Path, states: Change) -> None:
    assert "its steps lead to it" in broken(judged(good, tmp_path / "copy", states=states))


@pytest.mark.parametrize(
    ("facts", "clause"),
    [
        ({"ai_generated": False}, "says that a model made it"),
        ({"review": ""}, "says that a model made it"),
        ({"model": {"id": "another"}}, "says that a model made it"),
        ({"abstract": 99}, "facts agree"),
    ],
)
def test_facts_that_say_otherwise_fail(good: Made, facts: dict[str, Any], clause: str) -> None:
    made = good.task.made
    assert made is not None
    assert clause in broken(contract(replace(good.task, made=replace(made, facts={**made.facts, **facts}))))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("chapters"),
        lambda document: document["abstract"][0]["cites"][0].pop("start"),
        lambda document: document["chapters"][0].update(start="0"),
        lambda document: document["abstract"][0].update(cites=7),
        lambda document: document.update(abstract={"text": "x"}),
    ],
)
def test_a_document_of_another_form_fails_and_breaks_nothing(good: Made, tmp_path: Path, change: Change) -> None:
    made = good.task.made
    assert made is not None
    shutil.copytree(made.folder, tmp_path / "copy")
    document = json.loads((tmp_path / "copy" / SUMMARY_FILE).read_text())
    change(document)
    (tmp_path / "copy" / SUMMARY_FILE).write_text(json.dumps(document))
    item = replace(made, folder=tmp_path / "copy", files=list_files(tmp_path / "copy"))
    assert broken(contract(replace(good.task, made=item)))


def test_a_file_that_is_cut_off_fails(good: Made, tmp_path: Path) -> None:
    made = good.task.made
    assert made is not None
    shutil.copytree(made.folder, tmp_path / "copy")
    file = tmp_path / "copy" / SUMMARY_FILE
    file.write_bytes(file.read_bytes()[:-40])
    item = replace(made, folder=tmp_path / "copy", files=list_files(tmp_path / "copy"))
    assert broken(contract(replace(good.task, made=item))) == ["can be read"]


def drafts(change: Change) -> Author:
    """A model whose drafts are spoiled, and whose check lets everything pass."""

    def spoil(name: str, value: dict[str, Any]) -> Any:
        for item in value.get("items", ()):
            item["supported"] = True
        if "abstract" in value:
            change(value)
        return value

    return Author(spoil)


VACUOUS: dict[str, Any] = {
    "no text": Author(lambda *_: chat("")),
    "no content": Author(lambda *_: chat(None)),
    "cut off": Author(lambda _, value: chat(value, reason="length")),
    "filtered": Author(lambda _, value: chat(value, reason="content_filter")),
    "refused": Author(lambda *_: chat(None, refusal="I can't help with that.")),
    "no choices": Author(lambda *_: (b'{"choices": []}', "openai.chat_json.v1")),
    "an error with status 200": Author(lambda *_: (b'{"error": {"message": "overloaded"}}', "openai.chat_json.v1")),
    "no JSON": Author(lambda *_: (b"<html>busy</html>", "openai.chat_json.v1")),
    "prose": Author(lambda *_: chat("It is a talk about a harbour.")),
    "another schema": Author(lambda *_: chat({"summary": "It is a talk about a harbour."})),
    "empty lists": Author(lambda *_: chat({"abstract": [], "chapters": [], "keywords": []})),
    "empty texts": drafts(everywhere("")),
    "refusal in the schema": drafts(everywhere("I'm sorry, but I can't assist with that.")),
    "filler in the schema": drafts(everywhere("This video covers important aspects of various things.")),
    "another talk in the schema": drafts(everywhere("Telescopes show galaxies beyond our milky way.")),
    "an unknown format": Author(lambda *_: (b"{}", "nobody.v1")),
}


@pytest.mark.parametrize("name", VACUOUS)
def test_no_vacuous_200_is_published(tmp_path: Path, name: str) -> None:
    task = summary_task(tmp_path, transcript_of(ISLANDS))
    try:
        made = summed_up(task, VACUOUS[name])
    except ContractBroken:
        return  # at the first item, and no more is paid for
    assert broken(contract(made.task))
