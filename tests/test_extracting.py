"""The embedded model that writes: it quotes, always the same, in any language, and answers every step."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from processing.asking import AskTask
from processing.contracts.summary import contract
from processing.failures import ContractBroken
from processing.words.embedded import extracting, extracting_plan
from processing.words.wording import tokens
from processing.work import Task
from resources.compute.local import LocalCompute
from resources.compute.permits import Permits
from resources.providers.embedded import Embedded
from resources.providers.port import Question
from resources.releases.registry import read_registry
from tests.media_picture import broken
from tests.summaries import ISLANDS, document_input, summary_task, summed_up, transcript_of

JAPANESE = (
    "島へ行く船は毎時九番の桟橋から出ます。. 切符は桟橋の売店で買えます。. 子供は無料で船に乗れます。. "
    "去年は船で四万人が島へ行きました。. 風は朝に強く夕方に弱いです。. 夏に雨は少ないですが海から冷たい霧が来ます。"
)


def material(text: str = ISLANDS, language: str | None = "en", **wanted: int) -> dict[str, Any]:
    sentences = [sentence.strip() for sentence in text.replace("\n", " ").split(". ") if sentence.strip()]
    told = [
        {
            "n": number,
            "start_ms": number * 6000,
            "end_ms": number * 6000 + 5000,
            "pause_ms": 1000,
            "cut": False,
            "text": sentence.rstrip(".") + ".",
        }
        for number, sentence in enumerate(sentences)
    ]
    return {
        "step": "part",
        "language": language,
        "wanted": {"abstract": 3, "chapters": 3, "keywords": 6, **wanted},
        "sentences": told,
    }


def test_the_abstract_quotes_sentences_and_says_which() -> None:
    given = material()
    for claim in extracting.part(given)["abstract"]:
        (number,) = claim["cites"]
        assert claim["text"] == given["sentences"][number]["text"]


def test_no_two_sentences_of_an_abstract_say_the_same() -> None:
    twice = ISLANDS.strip().replace("\n\n", " ") + " The ferry to the islands leaves every hour from pier nine."
    texts = [claim["text"] for claim in extracting.part(material(twice, abstract=6))["abstract"]]
    assert len(texts) == len(set(texts)) == 6


def test_keywords_are_said_and_cite_where() -> None:
    given = material()
    found = extracting.part(given)["keywords"]
    assert [word["text"] for word in found][:2] == ["fish soup", "islands"]
    for word in found:
        for number in word["cites"]:
            said = [token.casefold() for token in tokens(given["sentences"][number]["text"])]
            assert all(any(token.startswith(part.casefold()[:5]) for token in said) for part in tokens(word["text"]))


def test_a_long_pause_or_a_cut_makes_a_chapter_likelier() -> None:
    plain, paused, cut = material(chapters=2), material(chapters=2), material(chapters=2)
    (first,) = [chapter["begins"] for chapter in extracting.part(plain)["chapters"][1:]]
    elsewhere = 9 if first != 9 else 5
    paused["sentences"][elsewhere]["pause_ms"] = 60_000
    cut["sentences"][elsewhere].update(cut=True, pause_ms=60_000)

    def score(given: dict[str, Any]) -> list[int]:
        return [chapter["begins"] for chapter in extracting.part(given)["chapters"][1:]]

    assert elsewhere in (*score(paused), *score(cut))


def test_the_same_material_gets_the_same_answer_byte_for_byte(tmp_path: Path) -> None:
    bodies = set()
    for number in range(3):
        given = document_input("ask", extracting.MATERIAL, material(), tmp_path / f"ask{number}")
        task = Task("", {"ask": {}, "release": {}}, tmp_path / str(number), inputs={"ask": given})
        facts = extracting.answer(task).facts
        assert facts == {"format": "extractive.v1", "usage": {}}
        bodies.add((task.out / "answer.json").read_bytes())
    assert len(bodies) == 1
    assert json.loads(bodies.pop())["method"] == "extractive"


def test_a_check_supports_what_occurs_in_the_citations_alone() -> None:
    given = {
        "step": "check",
        "language": "en",
        "items": [
            {"id": "abstract/0", "text": "The ferry leaves from pier nine.", "cites": [1]},
            {"id": "abstract/1", "text": "The ferry leaves from pier nine.", "cites": [2]},
        ],
        "sentences": [{"n": 1, "text": "It leaves pier nine, the ferry."}, {"n": 2, "text": "The ferry is blue."}],
    }
    verdicts = [item["supported"] for item in extracting.check(given)["items"]]
    assert verdicts == [True, False]


@pytest.mark.parametrize("language", ["ja", None])
def test_scripts_without_spaces_are_summed_up(tmp_path: Path, language: str | None) -> None:
    document = transcript_of(JAPANESE, language="ja", words_a_s=0.5)
    words = document["tracks"][0]["words"]
    for word in words:
        word["text"] = word["text"].removesuffix(".")
    document["tracks"][0]["language"] = language
    made = summed_up(summary_task(tmp_path, document, least_words=3))
    assert broken(contract(made.task)) == []
    assert "船" in made.document["abstract"][0]["text"]
    assert all(len(keyword["text"]) >= 2 for keyword in made.document["keywords"])


def test_a_language_without_a_list_passes_over_its_common_words() -> None:
    """Finnish has no list here: what most sentences hold is taken for a word that says little."""
    talk = "Lautta on iso. Saari on kaukana. Meri on kylmä. Lautta on hidas. Saari on pieni. Lautta on vanha. "
    talk += "Kala on hyvää. Meri on syvä. Saari on vihreä. Lautta on täynnä. Tuuli on kova. Sää on hyvä. "
    found = [word["text"] for word in extracting.part(material(talk, "fi"))["keywords"]]
    assert "on" not in found
    assert "Lautta" in found[:2]


def test_material_with_hardly_a_word_still_gets_an_answer_of_the_form() -> None:
    for text in ("Yes.", "The. And. Of.", "Uh uh uh. Uh uh."):
        answer = extracting.part(material(text))
        assert answer["abstract"]
        assert answer["chapters"][0]["begins"] == 0


def test_a_step_nobody_knows_is_refused(tmp_path: Path) -> None:
    given = document_input("ask", extracting.MATERIAL, {"step": "paint"}, tmp_path / "ask")
    with pytest.raises(ContractBroken, match="paint"):
        extracting.answer(Task("", {}, tmp_path / "work", inputs={"ask": given}))


def test_its_identity_is_its_code_and_its_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    extracting_plan.model.cache_clear()
    model = extracting_plan.model()
    assert (model["id"], model["version"], len(model["sha256"])) == ("extractive", "1.0.0", 64)
    changed = tmp_path / "stop_words.py"
    changed.write_text("STOP_WORDS = {}\n")

    class Spec:
        origin = str(changed)

    real = extracting_plan.importlib.util.find_spec
    monkeypatch.setattr(
        "processing.words.embedded.extracting_plan.importlib.util.find_spec",
        lambda name: Spec() if name.endswith("stop_words") else real(name),
    )
    extracting_plan.model.cache_clear()
    assert extracting_plan.model()["sha256"] != model["sha256"]
    extracting_plan.model.cache_clear()


def test_a_locked_down_worker_answers_within_the_bounds_of_its_release(tmp_path: Path) -> None:
    """As the provider asks it: no network, bounded memory, the payload as a file of its own."""
    (release,) = read_registry().used(AskTask.WRITING)
    (tmp_path / "material.json").write_text(json.dumps(material()), encoding="utf-8")
    compute = LocalCompute(Permits(1, folder=tmp_path / "permits"), workers=1)
    question = Question(
        task=AskTask.WRITING,
        release=release.settings,
        parameters={"step": "part", "language": "en"},
        payload={"material.json": tmp_path / "material.json"},
        idempotency_key="a-key",
        deadline_s=60.0,
        most_tokens=2000,
    )
    try:
        answer = Embedded(compute, tmp_path / "scratch").answer(question, threading.Event())
    finally:
        compute.close()
    assert answer.format == "extractive.v1"
    assert json.loads(answer.body)["answer"] == extracting.part(material())
