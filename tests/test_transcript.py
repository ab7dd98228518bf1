"""A transcript is asked for piece by piece, put together, and fails when it is none: empty, cut off, made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_assets.spoken import DECLARATIONS
from processing.asking import ANSWER_FILE, Ask, AskTask
from processing.contracts.transcript import contract
from processing.failures import ContractBroken
from processing.manifest import Outcome
from processing.sound.speech import read_map
from processing.words import transcript, transcript_plan
from processing.words.answers.speech import RATE_HZ
from processing.words.embedded.listening_plan import model
from processing.words.piece_files import pcm_of
from processing.words.transcript import TRANSCRIPT_FILE, read_transcript
from processing.work import Result, Task, resolve
from tests.corpus import corpus_file
from tests.media_picture import broken
from tests.media_sound import as_input, noise, tone, write_sound
from tests.spoken import SCRIBE, Answerer, Heard, answered, heard, judged, transcript_task, verbose

JFK = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
# When each word begins and ends in the recording, in seconds, by ear and eye on its waveform; within a tenth.
JFK_TIMES = (
    (0.4, 0.7), (0.7, 1.0), (1.0, 1.25), (1.25, 1.6), (1.6, 2.3), (3.35, 3.9), (3.95, 4.4), (5.4, 5.7), (5.7, 5.9),
    (5.9, 6.45), (6.45, 6.65), (6.65, 6.9), (6.9, 7.15), (7.15, 7.75), (8.15, 8.6), (8.6, 8.9), (8.9, 9.15),
    (9.15, 9.4), (9.4, 9.6), (9.6, 9.8), (9.8, 10.0), (10.0, 10.5),
)  # fmt: skip
STORY_WORDS = [
    "harbour",
    "master",
    "came",
    "down",
    "quay",
    "that",
    "morning",
    "found",
    "boat",
    "gone",
    "nobody",
    "had",
    "seen",
    "leave",
    "rope",
    "lay",
    "there",
    "cut",
    "clean",
    "through",
    "beside",
    "single",
    "glove",
    "which",
    "put",
    "into",
    "pocket",
    "without",
    "word",
    "walked",
    "back",
    "hill",
    "told",
    "wife",
    "laughed",
    "then",
    "looked",
    "sea",
    "long",
    "time",
]
SPOKEN = [(word, start, end) for word, (start, end) in zip(JFK.split(), JFK_TIMES, strict=True)]


@pytest.fixture(scope="module")
def jfk(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    return heard(corpus_file("speech/jfk.flac"), tmp_path_factory.mktemp("jfk"))


def made_of(source: Heard, answer: Answerer, folder: Path, *, language: str | None = None) -> tuple[Task, Result]:
    task, result = answered(transcript_task(source, SCRIBE, folder, language=language), answer)
    return judged(task, result), result


@pytest.fixture(scope="module")
def good(jfk: Heard, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return made_of(jfk, verbose(SPOKEN), tmp_path_factory.mktemp("good"), language="en")[0]


def test_the_first_round_asks_with_the_very_sound(jfk: Heard, tmp_path: Path) -> None:
    task = transcript_task(jfk, SCRIBE, tmp_path, language="en-US")
    (ask,) = transcript.make(task).asks
    assert (ask.name, ask.task, ask.parameters) == ("speech/0/0000", AskTask.SPEECH, {"language": "en"})
    ((_, file),) = ask.payload.items()
    whole = pcm_of(jfk.inputs["flac/0"].folder / "audio.flac")
    piece = pcm_of(task.asks / file)
    assert ask.media_s == pytest.approx(piece.size / RATE_HZ)
    segments = read_map(jfk.inputs["speech_map"].folder)["tracks"][0]["segments"]
    start = max(0, segments[0][0] - 300 * 16)
    assert np.array_equal(piece, whole[start : start + piece.size])
    assert start + piece.size >= segments[-1][1]
    assert not task.out.exists()


def test_asked_again_it_asks_the_same_and_only_what_has_no_answer(jfk: Heard, tmp_path: Path) -> None:
    told = transcript_task(jfk, SCRIBE, tmp_path / "a")
    task = replace(told, parameters={**told.parameters, "pieces": {**told.parameters["pieces"], "longest_s": 6}})
    asks = transcript.make(task).asks
    assert len(asks) > 1
    assert transcript.make(replace(task, scratch=tmp_path / "b")).asks == asks
    first = as_input(asks[0].name, task.asks / asks[0].name, {})
    rest = transcript.make(replace(task, scratch=tmp_path / "c", inputs={**task.inputs, asks[0].name: first})).asks
    assert rest == asks[1:]
    assert not (tmp_path / "c" / "asks" / asks[0].name).exists()


def test_a_transcript_says_what_was_answered_and_by_whom(good: Task) -> None:
    assert broken(contract(good)) == []
    assert good.made is not None
    facts = good.made.facts
    assert (facts["ai_generated"], facts["review"], facts["language"]) == (True, "unreviewed", "en")
    assert facts["answers"] == [{"format": "openai.verbose_json.v1", "release": SCRIBE}]
    (track,) = read_transcript(good.out)["tracks"]
    assert " ".join(word["text"] for word in track["words"]) == JFK
    for word, (_, start, end) in zip(track["words"], SPOKEN, strict=True):
        at = track["pieces"][0]["start"]
        assert abs(word["start"] - at - start * RATE_HZ) <= 1
        assert abs(word["end"] - at - end * RATE_HZ) <= 1
    assert facts["tracks"][0]["covered"]["num"] == facts["tracks"][0]["covered"]["den"]


def test_pieces_of_one_recording_give_one_text(jfk: Heard, tmp_path: Path) -> None:
    """Each piece is answered with the words that lie in it, as a model would; what two pieces share is there once."""
    told = transcript_task(jfk, SCRIBE, tmp_path, language="en")
    task = replace(told, parameters={**told.parameters, "pieces": {**told.parameters["pieces"], "longest_s": 5}})
    cut = transcript.tracks_of(task)[0].pieces
    assert len(cut) > 2

    def answer(ask: Ask, payload: Path) -> tuple[str, bytes]:
        piece = cut[int(ask.name[-4:])]
        start_s, end_s = piece.start / RATE_HZ, piece.end / RATE_HZ
        own = [(w, a - start_s, b - start_s) for w, a, b in SPOKEN if a >= start_s and b <= end_s]
        return verbose(own)(ask, payload)

    again, result = answered(task, answer)
    (track,) = read_transcript(again.out)["tracks"]
    assert " ".join(word["text"] for word in track["words"]) == JFK
    assert broken(contract(judged(again, result))) == []


def test_where_nobody_speaks_nothing_is_asked(tmp_path: Path) -> None:
    sounds = {"silence": noise(3, level=0.0), "noise": noise(3), "tone": tone([(3, -20)]), "blink": noise(0.2)}
    for name, samples in sounds.items():
        source = heard(write_sound(tmp_path / f"{name}.wav", samples), tmp_path / name)
        result = transcript.make(transcript_task(source, SCRIBE, tmp_path / name / "transcript"))
        assert result == Result(facts={"not_applicable": "nobody speaks in it"}), name


def test_a_silent_track_beside_a_spoken_one_is_refused_alone(jfk: Heard, tmp_path: Path) -> None:
    """A film with a commentary track that nobody recorded."""
    path = write_sound(tmp_path / "silence.wav", noise(3, level=0.0))
    silent = heard(path, tmp_path / "silent")
    spoken, quiet = jfk.inputs["speech_map"], silent.inputs["speech_map"]
    both = tmp_path / "both"
    shutil.copytree(spoken.folder, both)
    shutil.copy(quiet.folder / "speech-0.bin", both / "speech-1.bin")
    document = json.loads((both / "speech.json").read_text())
    document["tracks"].append({**read_map(quiet.folder)["tracks"][0], "track": 1})
    (both / "speech.json").write_text(json.dumps(document))
    facts = {"tracks": [*spoken.facts["tracks"], {"track": 1, "probabilities": "speech-1.bin"}]}
    inputs = {**jfk.inputs, "flac/1": silent.inputs["flac/0"], "speech_map": as_input("speech_map", both, facts)}
    info = {**jfk.info, "audio": [{"language": "en"}, {"language": "fr"}]}
    task, result = answered(transcript_task(Heard(info, inputs, tmp_path), SCRIBE, tmp_path / "t"), verbose(SPOKEN))
    assert result.facts["refused"] == [{"track": 1, "reason": "nobody speaks in it"}]
    assert [track["track"] for track in result.facts["tracks"]] == [0]
    assert broken(contract(judged(task, result))) == []


def test_a_model_that_hears_nobody_is_believed(jfk: Heard, tmp_path: Path) -> None:
    """Whisper's own rule: no speech at 0.6 and more, and unsure of what it wrote all the same."""
    segment = {"start": 0, "end": 9, "text": "Thank you.", "no_speech_prob": 0.9, "avg_logprob": -1.4}
    _, result = made_of(jfk, verbose([], text="Thank you.", segments=[segment]), tmp_path)
    assert result.facts == {"not_applicable": "the model hears nobody speak in it"}


def test_the_contract_takes_no_excuse_where_somebody_speaks(jfk: Heard, good: Task, tmp_path: Path) -> None:
    segment = {"start": 0, "end": 9, "text": "Thank you.", "no_speech_prob": 0.9, "avg_logprob": -1.4}
    task, result = made_of(jfk, verbose([], text="Thank you.", segments=[segment]), tmp_path / "unheard")
    unheard = as_input("transcript", tmp_path / "nothing", result.facts)
    silent = replace(unheard, facts={"not_applicable": "nobody speaks in it"})
    assert broken(contract(replace(task, made=unheard))) == []
    assert broken(contract(replace(task, made=silent))) == ["does not apply for its reason"]
    assert broken(contract(replace(good, made=unheard))) == ["does not apply for its reason"]


def test_it_applies_where_a_language_of_the_model_may_be_heard() -> None:
    def why(kind: str, audio: list[dict[str, Any]], **options: Any) -> str | None:
        return transcript_plan.applies({"kind": kind, "audio": audio}, {"models": {"speech": model()}, **options})

    assert why("image", []) == "stills have no speech"
    assert why("video", []) == "the source has no sound"
    assert why("video", [{}]) is None
    assert why("video", [{"language": "en-GB"}]) is None
    assert why("audio", [{"language": "es"}]) == "its language is es, and the model listens to en only"
    assert why("audio", [{}], language="de") == "its language is de, and the model listens to en only"
    assert why("audio", [{"language": "en"}], language="de") is None  # the file knows better
    assert why("video", [{"language": "es"}, {}]) is None
    assert (
        transcript_plan.applies({"kind": "audio", "audio": [{"language": "es"}]}, {"models": {"speech": SCRIBE}})
        is None
    )


def test_of_each_language_one_track_is_wanted() -> None:
    tracks: list[dict[str, Any]] = [
        {"language": "de"},
        {"language": "en"},
        {"language": "en", "default": True},
        {"language": None},
        {"language": None},
        {"language": "fr"},
        {"language": "it"},
        {"language": "es"},
    ]
    assert [each["track"] for each in transcript_plan.wanted(tracks, {}, [])] == [0, 2, 3, 5]
    assert transcript_plan.wanted(tracks, {}, ["en"]) == [
        {"track": 2, "language": "en"}, {"track": 3, "language": None}
    ]  # fmt: skip


def at_once(words: Sequence[str], start: float = 0.4, end: float = 10.5) -> list[tuple[str, float, float]]:
    step = (end - start) / len(words)
    return [(word, start + number * step, start + (number + 0.9) * step) for number, word in enumerate(words)]


GERMAN = "Und deshalb meine lieben Landsleute fragt nicht was das Land für euch tun kann sondern was ihr für das Land"
CREDITS = "Subtitles by the Amara.org community. Thanks for watching and subscribe."
EXCUSE = "I'm sorry, but I can not transcribe this audio file for you today."
VACUOUS: dict[str, tuple[Answerer, str]] = {
    "empty": (verbose([]), "has a word"),
    "one word": (verbose(SPOKEN[:1]), "covers what is said"),
    "cut off": (verbose(SPOKEN[:12]), "is not cut off"),
    "another language": (verbose(at_once(GERMAN.split()), "german"), "is heard in that language"),
    "translated, and said to be the original": (verbose(at_once(GERMAN.split())), "is written in that language"),
    "other letters": (verbose(at_once(["и", "так", "мои", "сограждане"] * 5)), "is written in that language's letters"),
    "a loop": (verbose(at_once(["and", "so", "my", "fellow"] * 6)), "does not go round in circles"),
    "one word for ever": (verbose(at_once(["so"] * 20)), "does not go round in circles"),
    "too much": (verbose(at_once([f"word{n}" for n in range(90)])), "says no more than people can"),
    "credits": (
        verbose(
            at_once(
                ["Subtitles", "by", "the", "Amara.org", "community.", "Thanks", "for", "watching", "and", "subscribe."]
            )
        ),
        "says nothing that models make up",
    ),
    "an excuse": (
        verbose(
            at_once(
                [
                    "I'm",
                    "sorry,",
                    "but",
                    "I",
                    "can",
                    "not",
                    "transcribe",
                    "this",
                    "audio",
                    "file",
                    "for",
                    "you",
                    "today.",
                ]
            )
        ),
        "is an answer, no excuse",
    ),
}


@pytest.mark.parametrize("name", VACUOUS)
def test_every_kind_of_vacuous_answer_fails(jfk: Heard, tmp_path: Path, name: str) -> None:
    answer, clause = VACUOUS[name]
    task, _ = made_of(jfk, answer, tmp_path, language="en")
    assert f"track 0 {clause}" in broken(contract(task))


def test_an_answer_that_is_no_answer_fails_with_its_reason(jfk: Heard, tmp_path: Path) -> None:
    task = transcript_task(jfk, SCRIBE, tmp_path)
    with pytest.raises(ContractBroken, match="cut off"):
        answered(task, lambda _ask, _payload: ("whisper.v1", b'{"segments": ['))


@pytest.fixture(scope="module")
def quiet_end(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """The recording with twenty seconds of silence after it, twice."""
    from tests.media_sound import decoded

    folder = tmp_path_factory.mktemp("quiet")
    spoken = decoded(corpus_file("speech/jfk.flac"))[:, ::2]
    quiet = np.zeros((2, 4 * 22_050))
    path = write_sound(folder / "a.wav", np.concatenate([spoken, quiet, quiet[:, :22_050]], axis=1), rate_hz=22_050)
    return heard(path, folder)


def test_words_where_nobody_speaks_fail(quiet_end: Heard, tmp_path: Path) -> None:
    """A model that was given silence as well goes on talking in it."""
    task = transcript_task(quiet_end, SCRIBE, tmp_path, language="en")
    done, result = answered(task, verbose(SPOKEN))
    document = read_transcript(done.out)
    last = document["tracks"][0]["words"][-1]
    for number in range(8):
        start = last["end"] + (1 + number // 3) * RATE_HZ + number * 1600
        document["tracks"][0]["words"].append({**last, "text": f"w{number}", "start": start, "end": start + 1600})
    (done.out / TRANSCRIPT_FILE).write_text(json.dumps(document))
    found = broken(contract(judged(done, result)))
    assert "track 0 says nothing where nobody speaks" in found


def test_farewells_that_somebody_says_are_only_warned_of(jfk: Heard, tmp_path: Path) -> None:
    words = [*SPOKEN[:18], *at_once(["Thanks", "for", "watching."], 9.4, 10.5)]
    task, _ = made_of(jfk, verbose(words), tmp_path, language="en")
    verdicts = {verdict.clause: verdict.outcome for verdict in contract(task)}
    assert verdicts["track 0 says nothing that models make up"] is Outcome.WARNED
    assert broken(contract(task)) == []


def of_a_talk(
    folder: Path, words: list[tuple[str, float, float]], *, seconds: int = 60, **answer: Any
) -> dict[str, Outcome]:
    """What is said of a transcript of somebody who speaks from 1 s to the end, with a breath every four seconds."""
    segments = [[16_000 * at, 16_000 * at + 62_000] for at in range(1, seconds, 4)]
    (folder / "map").mkdir(parents=True)
    track = {"track": 0, "samples": 16_000 * (seconds + 1), "segments": segments}
    (folder / "map" / "speech.json").write_text(json.dumps({"tracks": [track]}))
    (folder / "map" / "speech-0.bin").write_bytes(bytes([255]) * (16_000 * (seconds + 1) // 512 + 1))
    spoken = as_input("speech_map", folder / "map", {"tracks": [{"track": 0, "probabilities": "speech-0.bin"}]})
    info = {"kind": "audio", "audio": [{"language": "en"}], "duration": {"ticks": seconds + 1, "timescale": 1}}
    task = transcript_task(Heard(info, {"speech_map": spoken}, folder), SCRIBE, folder / "t")
    ((piece,),) = (track.pieces for track in transcript.tracks_of(task))
    own = [(text, start - piece.start / RATE_HZ, end - piece.start / RATE_HZ) for text, start, end in words]
    kind, content = verbose(own, **answer)(Ask("speech/0/0000", AskTask.SPEECH), folder)
    (folder / "answer").mkdir()
    (folder / "answer" / ANSWER_FILE).write_bytes(content)
    answers = {"speech/0/0000": as_input("answer", folder / "answer", {"format": kind, "release": SCRIBE})}
    task = replace(task, inputs={**task.inputs, **answers})
    verdicts = contract(judged(task, transcript.make(task)))
    return {verdict.clause.removeprefix("track 0 "): verdict.outcome for verdict in verdicts}


TALK = [(f"{STORY_WORDS[n % len(STORY_WORDS)]}{n % 7}", 1 + n / 2, 1.4 + n / 2) for n in range(118)]


def test_a_talk_passes_every_clause(tmp_path: Path) -> None:
    assert set(of_a_talk(tmp_path, TALK).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(
    ("name", "words", "clause", "outcome"),
    [
        ("a minute of which half is said", TALK[:50], "covers what is said", Outcome.FAILED),
        ("a sixth left out", TALK[:40] + TALK[65:], "leaves out no stretch of speech", Outcome.WARNED),
        ("a third left out in parts", TALK[:20] + TALK[36:60] + TALK[76:], "covers what is said", Outcome.WARNED),
        ("the last quarter cut off", TALK[:85], "is not cut off", Outcome.FAILED),
        ("the last sentence missing", TALK[:108], "is not cut off", Outcome.PASSED),
        ("a word every eight seconds", TALK[::16], "says as much as a speaker does", Outcome.FAILED),
        ("a long refrain", [(f"refrain{n % 21}", a, b) for n, (_, a, b) in enumerate(TALK)],
         "does not go round in circles", Outcome.FAILED),
        ("a refrain sung twice", [(f"refrain{n}" if n < 21 else f"refrain{n - 21}" if n < 42 else w, a, b)
                                  for n, (w, a, b) in enumerate(TALK)], "does not go round in circles", Outcome.PASSED),
        ("a poor vocabulary", [(("yes", "no", "well", "maybe")[n * n % 4], a, b) for n, (_, a, b) in enumerate(TALK)],
         "does not repeat itself much", Outcome.WARNED),
    ],
)  # fmt: skip
def test_clauses_fail_or_warn_as_they_were_chosen(
    tmp_path: Path, name: str, words: list[tuple[str, float, float]], clause: str, outcome: Outcome
) -> None:
    assert of_a_talk(tmp_path, words)[clause] is outcome, name


def test_what_a_model_says_of_itself_is_passed_on(tmp_path: Path) -> None:
    passage = {"start": 0, "end": 59, "text": "x", "avg_logprob": -1.2}
    assert of_a_talk(tmp_path / "a", TALK, segments=[passage])["is sure of its passages"] is Outcome.WARNED
    text = " ".join(word for word, _, _ in TALK)
    assert of_a_talk(tmp_path / "b", [], text=text)["has times of words"] is Outcome.WARNED


def test_words_a_model_is_unsure_of_are_warned_of(jfk: Heard, tmp_path: Path) -> None:
    words = [{"word": f" {word}", "start": a, "end": b, "probability": 0.2} for word, a, b in SPOKEN]
    segment = {"start": 0, "end": 10.5, "text": JFK, "words": words}
    answer = json.dumps({"language": "en", "segments": [segment]}).encode()
    task, _ = made_of(jfk, lambda _ask, _payload: ("whisper.v1", answer), tmp_path)
    verdicts = {verdict.clause: verdict.outcome for verdict in contract(task)}
    assert verdicts["track 0 is sure of its words"] is Outcome.WARNED
    assert broken(contract(task)) == []


def test_a_language_that_nobody_states_or_the_model_does_not_have(jfk: Heard, tmp_path: Path) -> None:
    task, _ = made_of(jfk, verbose(SPOKEN, language="elvish"), tmp_path / "a")
    verdicts = {verdict.clause: verdict.outcome for verdict in contract(task)}
    assert verdicts["track 0 says its language"] is Outcome.WARNED
    german = {**SCRIBE, "languages": ["de"]}
    task, result = answered(transcript_task(jfk, german, tmp_path / "b"), verbose(SPOKEN))
    assert "track 0 is in a language of the model" in broken(contract(judged(task, result)))


Change = Callable[[dict[str, Any]], object]


def _words(document: dict[str, Any]) -> list[dict[str, Any]]:
    words: list[dict[str, Any]] = document["tracks"][0]["words"]
    return words


MUTATIONS: dict[str, tuple[Change, str]] = {
    "no track": (lambda d: d["tracks"].clear(), "every track is there or refused"),
    "another track": (lambda d: d["tracks"][0].update(track=7), "every track is there or refused"),
    "a word less": (lambda d: _words(d).pop(), "is summed up rightly"),
    "no word": (lambda d: _words(d).clear(), "track 0 has a word"),
    "shorter": (lambda d: d["tracks"][0].update(samples=5), "track 0 is as long as the track"),
    "a piece less": (lambda d: d["tracks"][0]["pieces"].pop(), "track 0 has all its pieces"),
    "a moved piece": (lambda d: d["tracks"][0]["pieces"][0].update(start=1), "track 0 has all its pieces"),
    "an unknown maker": (
        lambda d: d["tracks"][0]["pieces"][0].update(answer=3),
        "names the model and format of every answer",
    ),
    "backwards": (lambda d: _words(d).reverse(), "track 0 has words in order inside the media"),
    "before the beginning": (lambda d: _words(d)[0].update(start=-1), "track 0 has words in order inside the media"),
    "beyond the end": (lambda d: _words(d)[-1].update(end=10**9), "track 0 has words in order inside the media"),
    "no length": (
        lambda d: _words(d)[3].update(end=_words(d)[3]["start"]),
        "track 0 has words in order inside the media",
    ),
    "a control character": (lambda d: _words(d)[3].update(text="a\nb"), "track 0 has words that can be shown"),
    "nothing written": (lambda d: _words(d)[3].update(text=""), "track 0 has words that can be shown"),
    "too sure": (lambda d: _words(d)[3].update(confidence=1001), "track 0 has confidences in thousandths"),
    "a segment less": (lambda d: d["tracks"][0]["segments"].pop(), "track 0 has each word in one segment"),
    "a long segment": (lambda d: d["tracks"][0]["segments"][0].update(end=1), "track 0 has each word in one segment"),
    "another language": (lambda d: d["tracks"][0].update(language="de"), "track 0 is in the source's language"),
    "no list": (lambda d: d.update(tracks=5), "transcript readable"),
    "a word of nothing": (lambda d: _words(d)[3].clear(), "transcript readable"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(good: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert good.made is not None
    shutil.copytree(good.made.folder, tmp_path / "spoiled")
    document = read_transcript(tmp_path / "spoiled")
    change(document)
    (tmp_path / "spoiled" / TRANSCRIPT_FILE).write_text(json.dumps(document))
    made = as_input("made", tmp_path / "spoiled", good.made.facts)
    assert clause in broken(contract(replace(good, made=made)))


FACTS: dict[str, tuple[dict[str, Any], str]] = {
    "by nobody": ({"ai_generated": False}, "is said to be made by a model and unreviewed"),
    "reviewed": ({"review": "reviewed"}, "is said to be made by a model and unreviewed"),
    "another model": ({"model": {"id": "x"}}, "names the model and format of every answer"),
    "no answers": ({"answers": []}, "names the model and format of every answer"),
    "more words": ({"words": 99}, "is summed up rightly"),
    "no tracks": ({"tracks": []}, "has facts of its tracks"),
}


@pytest.mark.parametrize("name", FACTS)
def test_the_contract_refuses_wrong_facts(good: Task, name: str) -> None:
    changes, clause = FACTS[name]
    assert good.made is not None
    made = as_input("made", good.made.folder, {**good.made.facts, **changes})
    assert clause in broken(contract(replace(good, made=made)))


def test_a_transcript_that_is_no_json_fails(good: Task, tmp_path: Path) -> None:
    assert good.made is not None
    (tmp_path / TRANSCRIPT_FILE).write_text("{")
    made = as_input("made", tmp_path, good.made.facts)
    assert broken(contract(replace(good, made=made))) == ["transcript readable"]


def test_what_is_declared_can_be_found() -> None:
    for declaration in DECLARATIONS:
        assert callable(resolve(declaration.work.operation))
        assert callable(resolve(declaration.work.contract))
    assert [declaration.name for declaration in DECLARATIONS] == ["transcript", "captions"]
    assert DECLARATIONS[1].work.depends_on == ("media_info", "transcript", "scenes")


def test_the_model_and_the_rules_are_part_of_the_recipe(jfk: Heard, tmp_path: Path) -> None:
    told = transcript_task(jfk, SCRIBE, tmp_path).parameters
    assert told["model"] == SCRIBE
    assert told["pieces"] == transcript_plan.PIECE_RULES
    assert json.loads(json.dumps(told)) == told
    assert ANSWER_FILE == "answer.json"
