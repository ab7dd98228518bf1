"""Labels: asked once a shot, told with frame, time and box, and judged by a contract that looks at the pictures too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from media_assets.shown import LABELS
from processing.asking import Ask, AskTask
from processing.contracts.labels import contract
from processing.manifest import Outcome
from processing.words import labels_plan
from processing.words.labels import LIST_FILE, make
from processing.work import Task
from tests.asking_trial import finished
from tests.corpus import corpus_file
from tests.media import as_input, numbered_picture
from tests.media_picture import broken, film
from tests.test_screen_text import task_of as screen_text_task

OPTIONS = {"models": {"labels": {"id": "rekognition", "version": "2024", "sha256": "0" * 64, "languages": []}}}
BOX = {"Left": 0.25, "Top": 0.5, "Width": 0.5, "Height": 0.25}


def task_of(path: Path, folder: Path) -> Task:
    task = screen_text_task(path, folder)
    info = task.inputs["media_info"].facts
    return replace(task, parameters=labels_plan.parameters(info, OPTIONS))


def rekognition(ask: Ask, folder: Path) -> tuple[bytes, str]:
    """What the service would say: a label by how bright the picture is, a person in its middle, a face."""
    assert ask.task is AskTask.LABELS
    with Image.open(folder / "picture.png") as picture:
        brightness = float(np.asarray(picture.convert("L")).mean())
    scene = {"Name": "Day" if brightness > 100 else "Night", "Confidence": 80 + brightness / 20, "Instances": []}
    person = {"Name": "Person", "Confidence": 90.0, "Instances": [{"BoundingBox": BOX, "Confidence": 91.5}]}
    doubtful = {"Name": "Boat", "Confidence": 20.0, "Instances": []}
    told = {
        "labels": {"Labels": [scene, person, doubtful]},
        "moderation": {"ModerationLabels": [{"Name": "Smoking", "ParentName": "Tobacco", "Confidence": 61.0}]},
        "faces": {"FaceDetails": [{"BoundingBox": BOX, "Confidence": 99.0}]},
    }
    return json.dumps(told).encode(), "aws.rekognition.v1"


def saying(**told: Any) -> Callable[[Ask, Path], tuple[bytes, str]]:
    """A model that sees and says the same of every picture."""
    content = json.dumps({"labels": [], "moderation": [], "faces": [], **told})
    body = {"choices": [{"message": {"content": content, "refusal": None}, "finish_reason": "stop"}]}
    return lambda _ask, _folder: (json.dumps(body).encode(), "openai.vision_labels.v1")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Two seconds of a dark picture, two of a bright one, not asked about yet."""
    folder = tmp_path_factory.mktemp("labels")
    dark = numbered_picture(1, 640, 360) // 4
    bright = 255 - numbered_picture(2, 640, 360) // 4
    return task_of(film(folder / "clip.mkv", [dark] * 50 + [bright] * 50), folder)


@pytest.fixture(scope="module")
def labelled(clip: Task) -> Task:
    task, _ = finished(make, clip, rekognition)
    return task


def document_of(task: Task) -> dict[str, Any]:
    assert task.made is not None
    document: dict[str, Any] = json.loads(task.made.path(LIST_FILE).read_text())
    return document


def test_each_shot_is_asked_about_once_and_each_label_cites_it(labelled: Task) -> None:
    document = document_of(labelled)
    second = document["timescale"]
    scenes = [(each["name"], each["ticks"] / second) for each in document["labels"] if each["name"] in {"Day", "Night"}]
    assert scenes == [("Night", 0.0), ("Day", 2.0)]
    people = [each for each in document["labels"] if each["name"] == "Person"]
    assert [each["frame"] for each in people] == [0, 1]
    assert people[0]["box"] == [[160, 180], [480, 180], [480, 270], [160, 270]]
    assert people[0]["confidence"] == 915


def test_what_is_less_likely_than_not_is_no_label(labelled: Task) -> None:
    assert "Boat" not in {each["name"] for each in document_of(labelled)["labels"]}


def test_moderation_and_faces_are_told_with_their_frames(labelled: Task) -> None:
    document = document_of(labelled)
    assert [(each["name"], each["parents"], each["frame"]) for each in document["moderation"]] == [
        ("Smoking", ["Tobacco"], 0),
        ("Smoking", ["Tobacco"], 1),
    ]
    assert [each["confidence"] for each in document["faces"]] == [990, 990]
    assert labelled.made is not None
    assert (labelled.made.facts["labels"], labelled.made.facts["faces"]) == (4, 2)
    assert (labelled.made.facts["ai_generated"], labelled.made.facts["review"]) == (True, "unreviewed")


def test_what_nobody_looked_for_is_not_told_as_absent(clip: Task, tmp_path: Path) -> None:
    def without(ask: Ask, folder: Path) -> tuple[bytes, str]:
        told = json.loads(rekognition(ask, folder)[0])
        return json.dumps({"labels": told["labels"]}).encode(), "aws.rekognition.v1"

    task, result = finished(make, replace(clip, scratch=tmp_path / "scratch"), without)
    assert (document_of(task)["moderation"], result.facts["faces"]) == (None, None)
    assert broken(contract(task)) == []


def test_labels_keep_their_contract(labelled: Task) -> None:
    assert [v.clause for v in contract(labelled) if v.outcome is not Outcome.PASSED] == []


def test_a_still_has_labels_without_times(tmp_path: Path) -> None:
    task, _ = finished(make, task_of(corpus_file("image/Landscape_6.jpg"), tmp_path), rekognition)
    assert {each["ticks"] for each in document_of(task)["labels"]} == {None}
    assert broken(contract(task)) == []


def test_no_label_in_a_picture_that_shows_something_is_refused(clip: Task, tmp_path: Path) -> None:
    task, _ = finished(make, replace(clip, scratch=tmp_path / "scratch"), saying())
    assert broken(contract(task)) == ["nothing named where nothing is"]


def test_no_label_in_an_even_picture_may_be_true(tmp_path: Path) -> None:
    even = task_of(film(tmp_path / "even.mkv", [np.full((360, 640, 3), 90, np.uint8)] * 25), tmp_path)
    task, _ = finished(make, even, saying())
    assert broken(contract(task)) == []


@pytest.mark.parametrize(
    "name", ["I'm sorry, I can't help with that image", "A very long sentence about all that can be seen"]
)
def test_an_excuse_or_a_sentence_is_no_label(clip: Task, tmp_path: Path, name: str) -> None:
    label = {"name": name, "confidence": 900, "box": None}
    task, _ = finished(make, replace(clip, scratch=tmp_path / "scratch"), saying(labels=[label]))
    assert broken(contract(task)) == ["labels are names"]


def test_a_model_that_is_stuck_is_noticed(tmp_path: Path) -> None:
    shots = [numbered_picture(index * 37, 320, 180) // (1 + index % 2 * 3) for index in range(10)]
    path = film(tmp_path / "shots.mkv", [picture for picture in shots for _ in range(15)])
    label = {"name": "Person", "confidence": 900, "box": None}
    task, _ = finished(make, task_of(path, tmp_path), saying(labels=[label]))
    assert len(document_of(task)["frames"]) >= 8
    assert "labels follow the picture" in [v.clause for v in contract(task) if v.outcome is Outcome.WARNED]


def spoiled(task: Task, folder: Path, change: Callable[[dict[str, Any]], object], **facts: Any) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    document = json.loads((folder / LIST_FILE).read_text())
    change(document)
    (folder / LIST_FILE).write_text(json.dumps(document))
    return broken(contract(replace(task, made=as_input("labels", folder, {**task.made.facts, **facts}))))


def _first(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["labels"][0].update(changes)


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another name": (_first(name="Submarine"), "is what was answered"),
    "surer": (_first(confidence=999), "is what was answered"),
    "far too sure": (_first(confidence=9999), "citations resolve"),
    "another shot": (_first(frame=1), "citations resolve"),
    "no such frame": (_first(frame=7), "citations resolve"),
    "another time": (_first(ticks=5), "citations resolve"),
    "a time that is none": (_first(frame=None), "list readable"),
    "outside": (_first(box=[[0, 0], [641, 0], [641, 9], [0, 9]]), "boxes lie inside the picture"),
    "three corners": (_first(box=[[0, 0], [1, 0], [1, 9]]), "list readable"),
    "no name": (_first(name=""), "labels are names"),
    "a label gone": (lambda document: document["labels"].pop(), "is what was answered"),
    "emptied": (lambda document: document["labels"].clear(), "nothing named where nothing is"),
    "a finding gone": (lambda document: document["moderation"].clear(), "is what was answered"),
    "a face invented": (lambda document: document["faces"].append(document["faces"][0]), "is what was answered"),
    "moderation not looked for": (lambda document: document.update(moderation=None), "is what was answered"),
    "a frame gone": (lambda document: document["frames"].pop(), "citations resolve"),
    "no labels": (lambda document: document.pop("labels"), "list readable"),
    "another model": (lambda document: document.update(model={"id": "other"}), "facts agree"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(labelled: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(labelled, tmp_path / "spoiled", change)


def test_the_contract_refuses_wrong_facts_and_missing_answers(labelled: Task, tmp_path: Path) -> None:
    for number, facts in enumerate([{"labels": 9}, {"review": "approved"}, {"ai_generated": False}]):
        assert spoiled(labelled, tmp_path / str(number), lambda _: None, **facts) == ["facts agree"]
    without = {name: item for name, item in labelled.inputs.items() if not name.startswith("labels/")}
    assert broken(contract(replace(labelled, inputs=without))) == ["answers readable"]
    (tmp_path / "empty").mkdir()
    excused = as_input("labels", tmp_path / "empty", {"not_applicable": "nothing"})
    assert broken(contract(replace(labelled, made=excused))) == ["there is no picture to look at"]


def test_they_apply_only_where_a_model_is_configured() -> None:
    applies = LABELS.work.applies
    film_ = {"kind": "video", "video": {"a": 1}, "image": None}
    assert applies(film_, OPTIONS) is None
    assert applies(film_, {"models": {"reading": {}}}) == "no model for labels is configured"
    assert applies({"kind": "audio", "video": None, "image": None}, OPTIONS) == "the source has no picture"
