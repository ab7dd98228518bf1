"""The embedded recogniser hears English in recordings of people, and publishes no nonsense of other languages.

The table over all files: `python -m benchmarks.listening`. What must not get worse stands here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jiwer
import pytest

from processing.asking import ANSWER_FILE
from processing.contracts.transcript import contract
from processing.words import transcript
from processing.words.answers.speech import Fit, read_speech
from processing.words.embedded import listening, listening_plan
from processing.words.embedded.listening_plan import ENOUGH_FRAMES, GAIN_WEIGHT, LEAST, LEAST_STATED, unlike
from processing.words.normaliser import normalised
from processing.words.piece_files import pcm_of
from processing.words.transcript import read_transcript
from processing.work import Task
from tests.corpus import corpus_file, rows
from tests.media_picture import broken
from tests.media_sound import as_input, write_sound
from tests.spoken import (
    answered,
    captioned,
    heard,
    judged,
    listening_answer,
    text_of,
    transcribed,
    transcript_task,
)


def reference(name: str) -> str:
    (row,) = [row for row in rows() if row["path"] == name]
    return normalised(row["truth"])


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("speech/cards-005.wav", 0.0),
        ("speech/sense_and_sensibility_01_austen_64kb-0870.wav", 0.35),
        ("speech/sense_and_sensibility_01_austen_64kb-0930.wav", 0.3),
        pytest.param("speech/jfk.flac", 0.35, marks=pytest.mark.slow),
        pytest.param("speech/vosk-test.wav", 0.35, marks=pytest.mark.slow),
    ],
)
def test_english_is_heard(tmp_path: Path, name: str, most: float) -> None:
    """Word error rates as measured, with a word or two of air: processors differ in the last bits of floats."""
    task, result = transcribed(corpus_file(name), tmp_path)
    assert "not_applicable" not in result.facts, result.facts
    assert jiwer.wer(reference(name), normalised(text_of(task))) <= most
    assert broken(contract(task)) == []


@pytest.mark.parametrize(
    "name",
    ["speech/leopard-test_ja.wav", pytest.param("speech/leopard-test_es.wav", marks=pytest.mark.slow)],
)
def test_another_language_is_refused_and_not_published_as_english(tmp_path: Path, name: str) -> None:
    _, result = transcribed(corpus_file(name), tmp_path)
    assert result.facts == {"not_applicable": "what is spoken in it is no English that the model understands"}


def test_words_lie_where_they_are_said(tmp_path: Path) -> None:
    """Four silent seconds before a recording move its words by four seconds."""
    name = "speech/cards-005.wav"
    import numpy as np

    from tests.media_sound import decoded

    spoken = decoded(corpus_file(name))
    path = write_sound(
        tmp_path / "late.wav",
        np.concatenate([np.zeros((1, 4 * 16_000)), spoken], axis=1),
        rate_hz=16_000,
        layout="mono",
    )
    late, _ = transcribed(path, tmp_path / "late")
    early, _ = transcribed(corpus_file(name), tmp_path / "early")
    pairs = list(zip(*(read_transcript(task.out)["tracks"][0]["words"] for task in (early, late)), strict=True))
    assert pairs
    for before, after in pairs:
        assert abs(after["start"] - before["start"] - 4 * 16_000) <= 800


def test_an_answer_is_whole_numbers_in_its_format_and_repeats(tmp_path: Path) -> None:
    source = heard(corpus_file("speech/cards-001.wav"), tmp_path)
    task = transcript_task(source, listening_plan.model(), tmp_path / "t")
    (ask,) = transcript.make(task).asks
    kind, content = listening_answer(ask, task.asks / ask.name)
    assert kind == "pocketsphinx.v1"
    samples = pcm_of(task.asks / ask.name / "audio.flac").size
    found = read_speech(kind, content, samples)
    assert [word.text for word in found.words] == ["ten", "of", "clubs"]
    assert found.fit is not None
    assert found.fit.spoken >= found.fit.frames > 50
    assert "." not in content.decode()
    again = Task(
        "", {"ask": {}, "release": {}}, tmp_path / "again", inputs={"ask": as_input("ask", task.asks / ask.name, {})}
    )
    listening.answer(again)
    assert (again.out / ANSWER_FILE).read_bytes() == content


def test_silence_has_no_words(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "ask").mkdir()
    write_sound(
        tmp_path / "ask" / "audio.flac",
        np.zeros((1, 32_000)),
        rate_hz=16_000,
        layout="mono",
        codec="flac",
        container="flac",
    )
    task = Task("", {"ask": {}, "release": {}}, tmp_path, inputs={"ask": as_input("ask", tmp_path / "ask", {})})
    listening.answer(task)
    document = json.loads((task.out / ANSWER_FILE).read_text())
    assert (document["words"], document["spoken"], document["samples"]) == ([], 0, 32_000)


@pytest.mark.parametrize(
    ("fit", "is_stated", "is_refused"),
    [
        (Fit(900, 1000, 0, 1000 * LEAST), False, False),
        (Fit(900, 1000, 0, 1000 * LEAST - 1), False, True),
        (Fit(900, 1000, 1000 * LEAST // GAIN_WEIGHT + 1, 0), False, False),
        (Fit(900, 1000, 0, 1000 * LEAST_STATED), True, False),  # the source says it is English
        (Fit(900, 1000, 0, 1000 * LEAST_STATED - 1), True, True),  # and yet it is nonsense
        (Fit(ENOUGH_FRAMES - 10, ENOUGH_FRAMES - 1, 5000, 900_000), False, True),  # too little to tell
        (Fit(ENOUGH_FRAMES - 10, ENOUGH_FRAMES - 1, 5000, 900_000), True, False),
        (Fit(0, 1000, 0, 0), True, True),
        (Fit(0, 0, 0, 0), False, True),
    ],
)
def test_what_is_believed(fit: Fit, is_stated: bool, is_refused: bool) -> None:
    assert (unlike(fit, is_stated=is_stated) is not None) is is_refused


def test_a_piece_in_another_language_is_left_out_of_an_english_transcript(tmp_path: Path) -> None:
    """Half a minute of an interview is in Spanish: its words are left out, and the transcript says so."""
    source = heard(corpus_file("speech/jfk.flac"), tmp_path)
    told = transcript_task(source, listening_plan.model(), tmp_path / "t")
    task = replace(told, parameters={**told.parameters, "pieces": {**told.parameters["pieces"], "longest_s": 6}})
    count = len(transcript.tracks_of(task)[0].pieces)
    assert count >= 2

    def answer(ask: object, payload: Path) -> tuple[str, bytes]:
        samples = pcm_of(payload / "audio.flac").size
        is_last = payload.name == f"{count - 1:04d}"
        document = {
            "samples": samples, "language": "en", "frames": 300, "spoken": 350, "gain": -3500 if is_last else 6000,
            "certainty": 350 * (100 if is_last else 700),
            "words": [["nonsense" if is_last else "ask", 8000, 16000, 500]],
        }  # fmt: skip
        return "pocketsphinx.v1", json.dumps(document).encode()

    again, result = answered(task, answer)
    assert "nonsense" not in text_of(judged(again, result))
    assert "ask" in text_of(judged(again, result))
    verdicts = {verdict.clause: verdict.outcome.value for verdict in contract(judged(again, result))}
    assert verdicts["track 0 is understood throughout"] == "warned"


def test_where_most_pieces_are_in_another_language_nothing_is_published(tmp_path: Path) -> None:
    source = heard(corpus_file("speech/jfk.flac"), tmp_path)
    told = transcript_task(source, listening_plan.model(), tmp_path / "t")
    task = replace(told, parameters={**told.parameters, "pieces": {**told.parameters["pieces"], "longest_s": 4}})
    count = len(transcript.tracks_of(task)[0].pieces)
    assert count >= 3

    def answer(ask: object, payload: Path) -> tuple[str, bytes]:
        samples = pcm_of(payload / "audio.flac").size
        is_english = payload.name == "0000"
        document = {
            "samples": samples, "language": "en", "frames": 300, "spoken": 350, "gain": 3000 if is_english else -500,
            "certainty": 350 * (900 if is_english else 20), "words": [["word", 8000, 16000, 500]],
        }  # fmt: skip
        return "pocketsphinx.v1", json.dumps(document).encode()

    _, result = answered(task, answer)
    assert result.facts == {"not_applicable": "the model understands less than half of what is spoken in it"}


def test_the_model_is_named_by_the_digest_of_its_files() -> None:
    found = listening_plan.model()
    assert len(found["sha256"]) == 64
    assert found["languages"] == ["en"]
    assert found["version"]


@pytest.mark.slow
def test_from_a_film_to_captions(tmp_path: Path) -> None:
    source = heard(corpus_file("speech/jfk.flac"), tmp_path)
    task, result = transcribed(corpus_file("speech/jfk.flac"), tmp_path / "again")
    done, made = captioned(judged(task, result), source.info, tmp_path / "captions")
    from processing.contracts.captions import contract as captions_contract

    assert broken(captions_contract(done)) == []
    assert made.facts["tracks"][0]["cues"] >= 2
