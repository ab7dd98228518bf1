"""Vectors: one for each segment and each line on screen, citing where it stands, and judged as numbers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_assets.shown import EMBEDDINGS
from processing.asking import Ask, AskTask
from processing.contracts.embeddings import contract
from processing.failures import ContractBroken
from processing.manifest import Outcome
from processing.words import embeddings_plan
from processing.words.embeddings import LIST_FILE, TEXTS, VECTORS_FILE, make, texts_of
from processing.work import Input, Task
from tests.asking_trial import finished
from tests.media import as_input
from tests.media_picture import broken

OPTIONS = {"models": {"vectors": {"id": "titan", "version": "2", "sha256": "0" * 64, "languages": []}}}
SAID = ["good morning to all", "the gate closes soon", "we begin"]
SHOWN = ["Gate 27 closes", "Northern Station", "Gate 27 closes"]
DIMENSIONS = 16


def transcript(folder: Path) -> Input:
    """A transcript as its own operation writes it: words of a track, segments that name theirs."""
    words, segments = [], []
    for number, text in enumerate(SAID):
        start = number * 16_000
        segments.append({"start": start, "end": start + 9000, "first": len(words), "words": len(text.split())})
        words += [{"text": word, "start": start, "end": start + 9, "confidence": None} for word in text.split()]
    document = {"rate_hz": 16_000, "tracks": [{"track": 0, "language": "en", "words": words, "segments": segments}]}
    folder.mkdir(parents=True)
    (folder / "transcript.json").write_text(json.dumps(document))
    return as_input("transcript", folder, {"words": len(words)})


def screen_text(folder: Path) -> Input:
    lines = [{"text": text, "start": at * 90_000, "end": (at + 1) * 90_000} for at, text in enumerate(SHOWN)]
    folder.mkdir(parents=True)
    (folder / "screen_text.json").write_text(json.dumps({"timescale": 90_000, "lines": lines}))
    return as_input("screen_text", folder, {"lines": len(lines)})


def task_of(folder: Path) -> Task:
    inputs = {"transcript": transcript(folder / "transcript"), "screen_text": screen_text(folder / "screen_text")}
    parameters = embeddings_plan.parameters({}, OPTIONS)
    parameters["rules"] = {**parameters["rules"], "at_once": 2}
    return Task("", parameters, folder / "embeddings", inputs=inputs)


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A direction that follows from the text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    found: list[float] = np.random.default_rng(seed).normal(size=dimensions).round(6).tolist()
    return found


def embedding(ask: Ask, folder: Path, of: Callable[[str], list[float]] = vector) -> tuple[bytes, str]:
    assert ask.task is AskTask.VECTORS
    texts = json.loads((folder / TEXTS).read_text())["texts"]
    data = [{"index": at, "embedding": of(text)} for at, text in enumerate(texts)]
    return json.dumps({"object": "list", "data": data}).encode(), "openai.embeddings.v1"


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Task:
    task, _ = finished(make, task_of(tmp_path_factory.mktemp("vectors")), embedding)
    return task


def document_of(task: Task) -> dict[str, Any]:
    assert task.made is not None
    document: dict[str, Any] = json.loads(task.made.path(LIST_FILE).read_text())
    return document


def test_the_file_holds_a_vector_for_each_text_in_order(placed: Task) -> None:
    assert placed.made is not None
    numbers = np.frombuffer(placed.made.path(VECTORS_FILE).read_bytes(), "<f4").reshape(-1, DIMENSIONS)
    due = np.array([vector(text) for text in [*SAID, *SHOWN[:2]]], np.float32)
    assert np.array_equal(numbers, due)
    document = document_of(placed)
    assert (document["count"], document["dimensions"]) == (5, DIMENSIONS)
    assert placed.made.facts["ai_generated"] is True


def test_each_vector_cites_where_its_text_stands(placed: Task) -> None:
    cited = document_of(placed)["texts"]
    first, shown = cited[1], cited[3]
    assert (first["of"], first["entry"], first["track"]) == ("transcript", 1, 0)
    assert (first["start"], first["end"], first["timescale"]) == (16_000, 25_000, 16_000)
    assert (shown["of"], shown["entry"], shown["start"], shown["timescale"]) == ("screen_text", 0, 0, 90_000)


def test_a_line_that_comes_back_is_placed_once(placed: Task) -> None:
    """A station's logo in every shot would be most of an index."""
    assert [each.text for each in texts_of(placed.inputs, placed.parameters["rules"])] == [
        *SAID,
        "Gate 27 closes",
        "Northern Station",
    ]


def test_long_texts_are_cut_and_said_to_be(placed: Task) -> None:
    rules = {**placed.parameters["rules"], "most_letters": 8, "most_texts": 4}
    texts = texts_of(placed.inputs, rules)
    assert [(each.text, each.cut) for each in texts][:3] == [
        ("good mor", True),
        ("the gate", True),
        ("we begin", False),
    ]
    assert len(texts) == 4


def test_vectors_keep_their_contract(placed: Task) -> None:
    assert [v.clause for v in contract(placed) if v.outcome is not Outcome.PASSED] == []


def test_without_any_text_there_is_nothing_to_place(tmp_path: Path) -> None:
    silent = as_input("transcript", _empty(tmp_path / "silent"), {"not_applicable": "nobody speaks in it"})
    task = Task("", embeddings_plan.parameters({}, OPTIONS), tmp_path / "scratch", inputs={"transcript": silent})
    task, result = finished(make, task, embedding)
    assert "words" in result.facts["not_applicable"]
    assert broken(contract(task)) == []


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("of", "clause"),
    [
        (lambda text: [0.0] * DIMENSIONS, "no vector is nothing"),
        (lambda text: [1.0] * DIMENSIONS, "different texts are told apart"),
        (lambda text: [float(len(text))] * DIMENSIONS, "different texts are told apart"),  # one direction
    ],
)
def test_vectors_that_mean_nothing_are_refused(tmp_path: Path, of: Callable[[str], list[float]], clause: str) -> None:
    task, _ = finished(make, task_of(tmp_path), lambda ask, folder: embedding(ask, folder, of))
    assert clause in broken(contract(task))


def test_two_texts_in_one_place_are_said(tmp_path: Path) -> None:
    def lost(text: str) -> list[float]:
        return vector("the same" if text in SAID[:2] else text)

    task, _ = finished(make, task_of(tmp_path), lambda ask, folder: embedding(ask, folder, lost))
    verdicts = contract(task)
    assert broken(verdicts) == []
    assert [v.clause for v in verdicts if v.outcome is Outcome.WARNED] == ["different texts are told apart"]


def test_answers_of_other_dimensions_are_refused(tmp_path: Path) -> None:
    def changing(ask: Ask, folder: Path) -> tuple[bytes, str]:
        return embedding(ask, folder, lambda text: vector(text, 8 if ask.name == "vectors/0001" else 16))

    with pytest.raises(ContractBroken, match="dimensions"):
        finished(make, task_of(tmp_path), changing)


def test_too_few_vectors_are_refused(tmp_path: Path) -> None:
    def short(ask: Ask, folder: Path) -> tuple[bytes, str]:
        told = json.loads(embedding(ask, folder)[0])
        return json.dumps({**told, "data": told["data"][:1]}).encode(), "openai.embeddings.v1"

    with pytest.raises(ContractBroken, match="1 vectors, of 2"):
        finished(make, task_of(tmp_path), short)


def spoiled(task: Task, folder: Path, change: Callable[[dict[str, Any], Path], object], **facts: Any) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    document = json.loads((folder / LIST_FILE).read_text())
    change(document, folder / VECTORS_FILE)
    (folder / LIST_FILE).write_text(json.dumps(document))
    return broken(contract(replace(task, made=as_input("embeddings", folder, {**task.made.facts, **facts}))))


def _changed(change: Callable[[np.ndarray[Any, Any]], object]) -> Callable[[dict[str, Any], Path], object]:
    def write(_: dict[str, Any], file: Path) -> None:
        numbers = np.frombuffer(file.read_bytes(), "<f4").reshape(-1, DIMENSIONS).copy()
        change(numbers)
        file.write_bytes(numbers.tobytes())

    return write


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any], Path], object], str]] = {
    "a number changed": (_changed(lambda numbers: numbers[2].__setitem__(3, 9)), "is what was answered"),
    "two swapped": (_changed(lambda numbers: numbers.__setitem__([0, 1], numbers[[1, 0]])), "is what was answered"),
    "one zeroed": (_changed(lambda numbers: numbers[1].fill(0)), "no vector is nothing"),
    "no number": (_changed(lambda numbers: numbers[1].fill(np.nan)), "numbers are finite"),
    "all alike": (
        _changed(lambda numbers: numbers.__setitem__(slice(None), numbers[0])),
        "different texts are told apart",
    ),
    "cut off": (lambda _, file: file.write_bytes(file.read_bytes()[:-4]), "vectors are whole"),
    "emptied": (lambda _, file: file.write_bytes(b""), "vectors are whole"),
    "gone": (lambda _, file: file.unlink(), "files readable"),
    "a text gone": (lambda document, _: document["texts"].pop(), "every text has a vector"),
    "another place": (lambda document, _: document["texts"][3].update(entry=1), "citations resolve"),
    "another time": (lambda document, _: document["texts"][0].update(end=5), "citations resolve"),
    "other dimensions": (lambda document, _: document.update(dimensions=8), "vectors are whole"),
    "no texts": (lambda document, _: document.pop("texts"), "files readable"),
    "another model": (lambda document, _: document.update(model={"id": "other"}), "facts agree"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(placed: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(placed, tmp_path / "spoiled", change)


def test_the_contract_refuses_wrong_facts_and_missing_answers(placed: Task, tmp_path: Path) -> None:
    for number, facts in enumerate([{"count": 9}, {"review": "approved"}, {"ai_generated": False}]):
        assert spoiled(placed, tmp_path / str(number), lambda *_: None, **facts) == ["facts agree"]
    without = {name: item for name, item in placed.inputs.items() if not name.startswith("vectors/")}
    assert broken(contract(replace(placed, inputs=without))) == ["is what was answered"]
    excused = as_input("embeddings", _empty(tmp_path / "empty"), {"not_applicable": "nothing"})
    assert broken(contract(replace(placed, made=excused))) == ["there is no text to place"]


def test_they_apply_only_where_a_model_is_configured() -> None:
    assert EMBEDDINGS.work.applies({}, OPTIONS) is None
    assert EMBEDDINGS.work.applies({}, {}) == "no model for vectors is configured"
