"""Where somebody speaks: found in speech, not in music, noise or silence, and judged by listening again."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.contracts.speech_map import contract
from processing.sound import plan, speech_plan
from processing.sound.speech import MAP_FILE, WINDOW, make, segments_in
from processing.work import Task
from tests.corpus import corpus_file
from tests.media import as_input
from tests.media_picture import broken
from tests.media_sound import noise, run_pass, write_sound

RULES = speech_plan.RULES


def speech_of(path: Path, folder: Path) -> Task:
    made = run_pass(path, folder / "pass", taps=[plan.FLAC_TAP])
    task = Task("", speech_plan.parameters(made.info, {}), folder / "speech", inputs=made.inputs)
    return replace(task, made=as_input("speech_map", task.out, make(task).facts))


def share(task: Task, track: int = 0) -> float:
    assert task.made is not None
    value = task.made.facts["tracks"][track]["speech_share"]
    return float(value["num"] / value["den"])


@pytest.mark.parametrize(("name", "least"), [("speech/jfk.flac", 0.5), ("speech/friday.mp4", 0.3)])
def test_speech_is_found_in_recordings_of_people(tmp_path: Path, name: str, least: float) -> None:
    task = speech_of(corpus_file(name), tmp_path)
    assert share(task) >= least
    assert broken(contract(task)) == []


def test_no_speech_is_found_in_rain_or_a_sine(tmp_path: Path) -> None:
    for number, name in enumerate(["audio/rain.mp3", "audio/sine_24le.wav"]):
        task = speech_of(corpus_file(name), tmp_path / str(number))
        assert share(task) < 0.02, name
        assert broken(contract(task)) == []


def test_noise_and_silence_are_no_speech_and_keep_the_contract(tmp_path: Path) -> None:
    for number, level in enumerate([0.0, 0.1]):
        path = write_sound(tmp_path / f"{number}.wav", noise(3, level=level))
        task = speech_of(path, tmp_path / str(number))
        assert share(task) == 0
        assert broken(contract(task)) == []


def test_speech_lies_where_it_was_put(tmp_path: Path) -> None:
    """A second of a speaker between silences, found within a quarter of a second."""
    from tests.media_sound import decoded

    spoken = decoded(corpus_file("speech/jfk.flac"))
    rate_hz = 44_100
    quiet = np.zeros((2, rate_hz * 3))
    piece = spoken[:, rate_hz // 2 : rate_hz * 2]
    path = write_sound(tmp_path / "piece.wav", np.concatenate([quiet, piece, quiet], axis=1), rate_hz=rate_hz)
    task = speech_of(path, tmp_path)
    assert task.made is not None
    (track,) = json.loads(task.made.path(MAP_FILE).read_text())["tracks"]
    assert track["segments"]
    assert track["segments"][0][0] >= 16_000 * 2.75
    assert track["segments"][-1][1] <= 16_000 * (4.5 + 0.5)


def windows(*spans: tuple[int, float]) -> list[int]:
    return [round(255 * value) for count, value in spans for _ in range(count)]


@pytest.mark.parametrize(
    ("probabilities", "segments"),
    [
        (windows((20, 0.1)), []),
        (windows((10, 0.0), (10, 0.9), (10, 0.0)), [(10, 20)]),
        (windows((10, 0.0), (3, 0.9), (10, 0.0)), []),  # a cough
        (windows((5, 0.0), (10, 0.9), (2, 0.0), (10, 0.9), (9, 0.0)), [(5, 27)]),  # a breath
        (windows((5, 0.0), (10, 0.9), (9, 0.0), (10, 0.9), (9, 0.0)), [(5, 15), (24, 34)]),
        (windows((5, 0.0), (10, 0.9), (10, 0.4), (9, 0.0)), [(5, 25)]),  # likely enough to go on, not to begin
        (windows((10, 0.4)), []),
        (windows((10, 0.9)), [(0, 10)]),
    ],
)
def test_segments_follow_from_probabilities(probabilities: list[int], segments: list[tuple[int, int]]) -> None:
    found = segments_in(probabilities, len(probabilities) * WINDOW, {**RULES, "pad_ms": 0})
    assert [(each.start // WINDOW, each.end // WINDOW) for each in found] == segments


@given(st.lists(st.integers(0, 255), max_size=120), st.integers(0, WINDOW - 1))
def test_any_segments_are_in_order_apart_and_inside(probabilities: list[int], short: int) -> None:
    samples = max(0, len(probabilities) * WINDOW - short)
    found = segments_in(probabilities, samples, RULES)
    assert all(0 <= each.start < each.end <= samples for each in found)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return speech_of(corpus_file("speech/jfk.flac"), tmp_path_factory.mktemp("speech"))


def spoiled(task: Task, folder: Path, change: Callable[[dict[str, Any], Path], object], **facts: Any) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    document = json.loads((folder / MAP_FILE).read_text())
    change(document, folder)
    (folder / MAP_FILE).write_text(json.dumps(document))
    tracks = [{**track, **facts} for track in task.made.facts["tracks"]]
    return broken(contract(replace(task, made=as_input("speech_map", folder, {**task.made.facts, "tracks": tracks}))))


def _silence(_: dict[str, Any], folder: Path) -> None:
    file = folder / "speech-0.bin"
    file.write_bytes(bytes(file.stat().st_size))


def _shifted(document: dict[str, Any], _: Path) -> None:
    document["tracks"][0]["segments"] = [[a + 8000, b + 8000] for a, b in document["tracks"][0]["segments"]]


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any], Path], object], str]] = {
    "no track": (lambda document, _: document["tracks"].clear(), "every track has its map"),
    "shorter": (lambda document, _: document["tracks"][0].update(samples=5), "track 0 is as long as the track"),
    "moved": (_shifted, "track 0 has the segments its probabilities give"),
    "emptied": (
        lambda document, _: document["tracks"][0].update(segments=[]),
        "track 0 has the segments its probabilities give",
    ),
    "outside": (
        lambda document, _: document["tracks"][0].update(segments=[[0, 10**9]]),
        "track 0 has segments in order inside the track",
    ),
    "blank probabilities": (_silence, "track 0 is what is heard"),
    "cut off": (
        lambda _, folder: (folder / "speech-0.bin").write_bytes((folder / "speech-0.bin").read_bytes()[:-9]),
        "track 0 has a probability for each window",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(spoken: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert clause in spoiled(spoken, tmp_path / "spoiled", change)


def test_the_contract_refuses_a_wrong_sum_and_no_map(spoken: Task, tmp_path: Path) -> None:
    assert "track 0 is summed up rightly" in spoiled(spoken, tmp_path / "a", lambda *_: None, segments=99)
    assert spoken.made is not None
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / MAP_FILE).write_text("{")
    made = as_input("speech_map", empty, spoken.made.facts)
    assert broken(contract(replace(spoken, made=made))) == ["map readable"]


def test_the_model_is_part_of_the_recipe() -> None:
    told = speech_plan.parameters({"audio": [{}]}, {})
    assert len(told["model"]["sha256"]) == 64
    assert told["model"]["version"]
