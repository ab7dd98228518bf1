"""Captions hold every word, can be read, keep to speech and shots, and another reader reads them."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import webvtt as webvtt_py
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import srt, webvtt
from processing.contracts.captions import contract
from processing.manifest import Outcome
from processing.picture.scenes import LIST_FILE
from processing.timeline import rational
from processing.webvtt import Cue
from processing.words import captions, captions_plan
from processing.words.answers.speech import RATE_HZ
from processing.words.captions import Said, Setting, set_cues
from processing.words.transcript import TRANSCRIPT_FILE, segments_of
from processing.words.transcript_plan import SEGMENT_RULES
from processing.work import Task
from tests.corpus import corpus_file
from tests.media_picture import broken
from tests.media_sound import as_input
from tests.spoken import SCRIBE, answered, captioned, heard, judged, transcript_task, verbose

STORY = (
    "When the harbour master came down to the quay that morning, he found the boat gone. Nobody had seen it leave. "
    "The rope lay there, cut clean through, and beside it a single glove, which he put into his pocket without a word. "
    "He walked back up the hill & told his wife. She laughed! Then she looked at the sea, for a long time, and said "
    "that her brother had always wanted to go north, where the days never end and where the fish are as big as dogs."
)


def document(words: list[tuple[str, float, float]], length_s: float, language: str | None = "en") -> dict[str, Any]:
    listed = [
        {"text": text, "start": round(a * RATE_HZ), "end": round(b * RATE_HZ), "confidence": None, "piece": 0}
        for text, a, b in words
    ]
    track = {"track": 0, "language": language, "samples": round(length_s * RATE_HZ), "timing": "word", "words": listed}
    return {"rate_hz": RATE_HZ, "tracks": [{**track, "segments": [], "pieces": []}]}


def paced(text: str, *, words_a_second: float = 2.8, start: float = 0.5) -> list[tuple[str, float, float]]:
    """Words as an even speaker says them, longer ones longer, with a breath after each sentence."""
    at, said = start, []
    letters = sum(map(len, text.split())) / len(text.split())
    for word in text.split():
        length = len(word) / letters / words_a_second
        said.append((word, at, at + 0.9 * length))
        at += length + (0.4 if word[-1] in ".!?" else 0.15 if word[-1] == "," else 0)
    return said


def task_of(
    folder: Path,
    words: list[tuple[str, float, float]],
    *,
    shots_s: tuple[float, ...] = (),
    language: str | None = "en",
    rate: int = 25,
) -> Task:
    """The task of a contract over captions of these words; `shots_s` are when shots begin, in seconds."""
    length_s = max(end for _, _, end in words) + 2
    (folder / "transcript").mkdir(parents=True)
    (folder / "transcript" / TRANSCRIPT_FILE).write_text(json.dumps(document(words, length_s, language)))
    facts = {"model": SCRIBE, "review": "unreviewed"}
    inputs = {"transcript": as_input("transcript", folder / "transcript", facts)}
    if shots_s:
        starts = [0, *(round(at * 90_000) for at in shots_s)]
        shots = [{"start": a, "end": b} for a, b in zip(starts, [*starts[1:], round(length_s * 90_000)], strict=True)]
        (folder / "scenes").mkdir()
        (folder / "scenes" / LIST_FILE).write_text(json.dumps({"timescale": 90_000, "shots": shots}))
        inputs["scenes"] = as_input("scenes", folder / "scenes", {})
    info = {
        "duration": {"ticks": round(length_s * 90_000), "timescale": 90_000},
        "video": {"frame_rate": rational(Fraction(rate))},
    }
    task = Task("", captions_plan.parameters(info, {}), folder / "captions", inputs=inputs)
    return judged(task, captions.make(task))


def cues_of(task: Task) -> list[Cue]:
    return webvtt.parsed((task.out / "captions-0.vtt").read_text(encoding="utf-8"))


def outcomes(task: Task) -> dict[str, Outcome]:
    return {verdict.clause.removeprefix("track 0 "): verdict.outcome for verdict in contract(task)}


def test_a_story_is_set_without_a_warning(tmp_path: Path) -> None:
    task = task_of(tmp_path, paced(STORY))
    assert set(outcomes(task).values()) == {Outcome.PASSED}
    cues = cues_of(task)
    assert " ".join(cue.text.replace("\n", " ") for cue in cues) == STORY.replace("&", "&amp;")
    for cue in cues:
        assert cue.text.count("\n") <= 1
        assert all(len(line) <= 42 for line in cue.text.split("\n"))
        assert 833 <= cue.end_ms - cue.start_ms <= 7000


def test_cues_end_where_phrases_end(tmp_path: Path) -> None:
    """Of the cues of a story most end with a sentence or clause, and none between article and noun."""
    ends = [cue.text.split()[-1].lower() for cue in cues_of(task_of(tmp_path, paced(STORY)))]
    assert sum(end[-1] in ".,!?" for end in ends) >= 0.7 * len(ends)
    assert not {"the", "a", "of", "to", "and", "her", "his"} & set(ends)


def test_lines_part_where_phrases_part() -> None:
    setting = Setting(42, 20, True, 80, 280, 480, 60_000, ())
    (cue,) = set_cues([Said(w, 100 * n, 100 * n + 90) for n, w in enumerate(
        ["He", "walked", "back", "up", "the", "hill,", "and", "told", "his", "wife", "about", "it."]
    )], setting)  # fmt: skip
    assert cue.text == "He walked back up the hill,\nand told his wife about it."


def test_no_cue_spans_a_silence_and_each_begins_with_its_words(tmp_path: Path) -> None:
    words = [*paced("It is late.", start=1), *paced("Go home now.", start=9)]
    cues = cues_of(task_of(tmp_path, words))
    assert [cue.text for cue in cues] == ["It is late.", "Go home now."]
    assert [cue.start_ms for cue in cues] == [1000, 9000]


def test_a_shout_stays_long_enough_to_be_read(tmp_path: Path) -> None:
    (cue,) = cues_of(task_of(tmp_path, [("No!", 1.0, 1.2)]))
    assert (cue.start_ms, cue.end_ms) == (1000, 1833)


def test_cues_keep_to_shots(tmp_path: Path) -> None:
    """A cue that begins five frames after a cut begins with it; one that would hang over a cut by its end is gone."""
    words = [*paced("It is late by now.", start=2.2), *paced("Go home, all of you.", start=7)]
    free = cues_of(task_of(tmp_path / "free", words))
    assert free[0].start_ms == 2200
    kept_task = task_of(tmp_path / "kept", words, shots_s=(2.0, free[0].end_ms / 1000 - 0.1))
    kept = cues_of(kept_task)
    assert kept[0].start_ms == 2000
    assert kept[0].end_ms == free[0].end_ms - 100 - 80
    assert set(outcomes(kept_task).values()) == {Outcome.PASSED}


def test_speech_over_a_cut_is_parted_there_where_it_can_be(tmp_path: Path) -> None:
    words = paced("He walked up the hill, and told his wife that the boat was gone.", start=1)
    cut_s = next(start for word, start, _ in words if word == "and")
    cues = cues_of(task_of(tmp_path, words, shots_s=(cut_s,)))
    assert cues[0].end_ms <= cut_s * 1000
    assert cues[1].start_ms == pytest.approx(cut_s * 1000, abs=1)


def test_speech_as_fast_as_people_read_is_parted_so_that_they_can(tmp_path: Path) -> None:
    assert outcomes(task_of(tmp_path, paced(STORY, words_a_second=4.6)))["can be read in time"] is Outcome.PASSED


def test_fast_speech_is_warned_of_and_loses_no_word(tmp_path: Path) -> None:
    task = task_of(tmp_path, paced(STORY, words_a_second=7))
    found = outcomes(task)
    assert found["can be read in time"] is Outcome.WARNED
    assert broken(contract(task)) == []


def test_languages_without_spaces_have_lines_of_their_own_length(tmp_path: Path) -> None:
    letters = "今日は朝から雨が降っていたので、駅まで傘をさして歩きました。途中で古い友達に会いました。"
    words = [(letter, 0.5 + 0.25 * n, 0.7 + 0.25 * n) for n, letter in enumerate(letters)]
    task = task_of(tmp_path, words, language="ja")
    cues = cues_of(task)
    assert "".join(cue.text.replace("\n", "") for cue in cues) == letters
    assert all(len(line) <= 13 for cue in cues for line in cue.text.split("\n"))
    assert broken(contract(task)) == []


def test_other_readers_read_the_files(tmp_path: Path) -> None:
    task = task_of(tmp_path, paced(STORY), shots_s=(3, 8.5, 12.2, 20))
    own = cues_of(task)
    for other in (
        webvtt_py.read(str(task.out / "captions-0.vtt")),
        webvtt_py.from_srt(str(task.out / "captions-0.srt")),
    ):
        assert [(cue.text.replace("&amp;", "&"), cue.start, cue.end) for cue in other] == [
            (cue.text.replace("&amp;", "&"), webvtt.timestamp(cue.start_ms), webvtt.timestamp(cue.end_ms))
            for cue in own
        ]
    assert "written by a machine (scribe 1)" in (task.out / "captions-0.vtt").read_text()
    playlist = (task.out / "captions-0.m3u8").read_text()
    assert "captions-0.vtt" in playlist
    assert playlist.endswith("#EXT-X-ENDLIST\n")


def test_srt_is_read_back_and_strangers_are_refused() -> None:
    cues = [Cue(0, 1500, "one\ntwo"), Cue(3_600_000, 3_600_001, "<three> & four")]
    assert srt.parsed(srt.written(cues)) == cues
    for text in ("1\n00:00:00,000 --> 00:00:01,000\n", "2\n00:00:00,000 --> 00:00:01,000\na\n", "1\nsoon\na\n"):
        with pytest.raises(ValueError, match="block"):
            srt.parsed(text)
    for bad in (Cue(5, 5, "a"), Cue(0, 5, ""), Cue(0, 5, "a\n\nb")):
        with pytest.raises(ValueError, match="cannot be written"):
            srt.written([bad])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 70),
    pace=st.sampled_from([0.05, 0.15, 0.35, 0.9]),
    shots=st.lists(st.integers(1, 60_000), max_size=12),
)
def test_any_words_are_set_in_order_apart_and_inside(seed: int, count: int, pace: float, shots: list[int]) -> None:
    """Whatever is said, however fast: no cue overlaps, none is lost, none lies outside, none has a third line."""
    chance = random.Random(seed)
    at, words = chance.random() * 2, []
    for _ in range(count):
        length = chance.random() * pace
        text = "".join(chance.choice("abcdefgh") for _ in range(chance.randint(1, 14))) + chance.choice(
            ["", "", ",", "."]
        )
        words.append(Said(text, round(at * 1000), max(round(at * 1000) + 1, round((at + length) * 1000))))
        at += length + chance.choice([0, 0, 0.1, 0.8, 3]) * chance.random()
    setting = Setting(42, 20, True, 80, 280, 480, words[-1].end + chance.randint(0, 3000), tuple(sorted(set(shots))))
    cues = set_cues(words, setting)
    assert " ".join(cue.text.replace("\n", " ") for cue in cues) == " ".join(word.text for word in words)
    assert all(before.end_ms + setting.gap <= after.start_ms for before, after in itertools.pairwise(cues))
    assert all(0 <= cue.start_ms < cue.end_ms <= max(setting.end, 1) for cue in cues)
    assert all(cue.text.count("\n") <= 1 and cue.end_ms - cue.start_ms <= 7000 for cue in cues)
    assert all(len(line) <= 42 for cue in cues for line in cue.text.split("\n"))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return task_of(tmp_path_factory.mktemp("story"), paced(STORY), shots_s=(3, 8.5, 12.2, 20))


def _text(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        before = (folder / name).read_text(encoding="utf-8")
        assert old in before
        (folder / name).write_text(before.replace(old, new, 1), encoding="utf-8")

    return change


def _both(old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        _text("captions-0.vtt", old, new)(folder)
        _text("captions-0.srt", old.replace(".", ","), new.replace(".", ","))(folder)

    return change


def _cues(change: Callable[[list[Cue]], list[Cue]]) -> Callable[[Path], object]:
    """Both files written anew from changed cues."""

    def spoil(folder: Path) -> None:
        text = (folder / "captions-0.vtt").read_text(encoding="utf-8")
        head = text[: text.index("\n\n", text.index("NOTE")) + 2]
        cues = change(webvtt.parsed(text))
        (folder / "captions-0.vtt").write_text(head + webvtt.written(cues).partition("\n\n")[2], encoding="utf-8")
        plain = [replace(cue, text=cue.text.replace("&amp;", "&")) for cue in cues]
        (folder / "captions-0.srt").write_text(srt.written(plain), encoding="utf-8")

    return spoil


MUTATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no WebVTT": (_text("captions-0.vtt", "WEBVTT", "WEBVVT"), "track 0 can be read"),
    "no file": (lambda folder: (folder / "captions-0.srt").unlink(), "track 0 can be read"),
    "no map": (_text("captions-0.vtt", "X-TIMESTAMP-MAP", "X-TIMESTAMP"), "track 0 maps its clock for HLS"),
    "no note": (_text("captions-0.vtt", "NOTE These", "NOTE Those"), "track 0 notes that a machine made it"),
    "another playlist": (_text("captions-0.m3u8", "VOD", "EVENT"), "track 0 has a playlist over it"),
    "other words": (_text("captions-0.vtt", "harbour", "garden"), "track 0 is the same as SRT"),
    "a word less": (
        _cues(lambda cues: [*cues[:-1], replace(cues[-1], text="dogs.")]),
        "track 0 has every word once, in order",
    ),
    "a cue less": (_cues(lambda cues: cues[1:]), "track 0 has its cues"),
    "a cue twice": (_cues(lambda cues: [*cues, cues[-1]]), "track 0 has its cues"),
    "beyond the end": (
        _cues(lambda cues: [*cues[:-1], replace(cues[-1], end_ms=10**7)]),
        "track 0 has its cues inside the media",
    ),
    "into the next": (
        _cues(lambda cues: [replace(cues[0], end_ms=cues[1].start_ms), *cues[1:]]),
        "track 0 has its cues in order and apart",
    ),
    "three lines": (
        _cues(lambda cues: [replace(cues[0], text=cues[0].text.replace("\n", " ").replace(" ", "\n", 2)), *cues[1:]]),
        "track 0 has two lines at most",
    ),
    "one long line": (
        _cues(lambda cues: [replace(cue, text=cue.text.replace("\n", " ")) for cue in cues]),
        "track 0 has lines that fit",
    ),
    "too long": (
        _cues(
            lambda cues: [
                replace(cue, start_ms=cue.start_ms - 7000) if n == 0 else cue
                for n, cue in enumerate(
                    replace(cue, start_ms=cue.start_ms + 9000, end_ms=cue.end_ms + 9000) for cue in cues
                )
            ]
        ),
        "track 0 shows no cue too long",
    ),
    "late": (
        _cues(lambda cues: [replace(cue, start_ms=cue.start_ms + 1500, end_ms=cue.end_ms + 1500) for cue in cues]),
        "track 0 begins each cue with its words",
    ),
    "a stranger": (lambda folder: (folder / "more.txt").write_text("x"), "has no file of no track"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(story: Task, tmp_path: Path, name: str) -> None:
    change, clause = MUTATIONS[name]
    assert story.made is not None
    assert broken(contract(story)) == []
    shutil.copytree(story.made.folder, tmp_path / "spoiled")
    change(tmp_path / "spoiled")
    made = as_input("made", tmp_path / "spoiled", story.made.facts)
    assert clause in broken(contract(replace(story, made=made)))


def test_what_speech_forces_is_warned_of(story: Task, tmp_path: Path) -> None:
    assert story.made is not None
    for name, change, clause in (
        ("short", lambda cues: [replace(cue, end_ms=cue.start_ms + 500) for cue in cues], "shows cues long enough"),
        ("fast", lambda cues: [replace(cue, end_ms=cue.start_ms + 900) for cue in cues], "can be read in time"),
    ):
        shutil.copytree(story.made.folder, tmp_path / name)
        _cues(change)(tmp_path / name)
        made = as_input("made", tmp_path / name, story.made.facts)
        assert outcomes(replace(story, made=made))[clause] is Outcome.WARNED


def test_a_cue_that_hangs_over_a_shot_is_warned_of(story: Task, tmp_path: Path) -> None:
    first = cues_of(story)[0]
    scenes = {"timescale": 1000, "shots": [{"start": 0}, {"start": first.end_ms - 200}]}
    (tmp_path / LIST_FILE).write_text(json.dumps(scenes))
    spoiled = replace(story, inputs={**story.inputs, "scenes": as_input("scenes", tmp_path, {})})
    assert outcomes(spoiled)["hangs over no shot change"] is Outcome.WARNED
    assert outcomes(story)["hangs over no shot change"] is Outcome.PASSED


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"ai_generated": False}, "is said to be made by a model"),
        ({"review": "reviewed"}, "is said to be made by a model"),
        ({"tracks": []}, "every track has captions"),
    ],
)
def test_the_contract_refuses_wrong_facts(story: Task, changes: dict[str, Any], clause: str) -> None:
    assert story.made is not None
    made = as_input("made", story.made.folder, {**story.made.facts, **changes})
    assert clause in broken(contract(replace(story, made=made)))


def test_without_a_transcript_there_are_no_captions(story: Task, tmp_path: Path) -> None:
    told = {"duration": {"ticks": 1, "timescale": 1}, "frame": {"num": 1, "den": 25}}
    facts = {"not_applicable": "there is no transcript of it"}
    without = Task("", told, tmp_path)
    assert captions.make(without).facts == facts
    excused = as_input("captions", tmp_path / "nothing", facts)
    assert broken(contract(replace(without, made=excused))) == []
    assert broken(contract(replace(story, made=excused))) == ["does not apply for its reason"]


def test_a_real_transcript_becomes_captions(tmp_path: Path) -> None:
    from tests.test_transcript import SPOKEN

    source = heard(corpus_file("speech/jfk.flac"), tmp_path)
    task, result = answered(transcript_task(source, SCRIBE, tmp_path / "t", language="en"), verbose(SPOKEN))
    done, _ = captioned(judged(task, result), source.info, tmp_path / "c")
    assert broken(contract(done)) == []
    assert len(cues_of(done)) >= 3
    assert cues_of(done)[0].text.startswith("And so my fellow Americans,")


def test_segments_are_sentences_or_what_pauses_make() -> None:
    from processing.words.pieces import PlacedWord

    said = [("One", 0, 1), ("two.", 1, 2), ("Three", 2, 3), ("four", 5, 6), ("five", 6.1, 7)]
    words = [PlacedWord(text, round(a * RATE_HZ), round(b * RATE_HZ), None, 0) for text, a, b in said]
    found = segments_of(words, SEGMENT_RULES)
    assert [(each["first"], each["words"]) for each in found] == [(0, 2), (2, 1), (3, 2)]
    assert found[2] == {"start": 5 * RATE_HZ, "end": 7 * RATE_HZ, "first": 3, "words": 2}
