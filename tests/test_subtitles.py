"""Texts that come with a source: embedded and beside it, in many hands, on its timeline, offered by its playlists."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing import release, webvtt
from processing.contracts import release as release_contract
from processing.contracts.subtitles import contract
from processing.failures import BadInput
from processing.manifest import Outcome, Verdict
from processing.picture import playlists
from processing.probe.media_info import facts_of
from processing.webvtt import Cue
from processing.words import subtitles_plan
from processing.words.ass import cue_text
from processing.words.encodings import decoded
from processing.words.subtitles import Line, beside, make, placed
from processing.work import SourceFile, Task
from resources.house import House
from resources.ledger.states import AssetState
from resources.texts_beside import texts_beside
from tests.corpus import corpus_file
from tests.house import make as make_assets
from tests.house import take_in
from tests.media import as_input, make_video, source_task
from tests.media_packaging import Sound, make_hls, steady
from tests.media_picture import broken

SRT = (
    "1\n00:00:00,200 --> 00:00:01,000\nHallo <i>Welt</i>\n\n"
    "2\n00:00:01,200 --> 00:00:01,900\nZweite Zeile\nund noch eine\n"
)


# Lines of decoded dialogue


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("Hello", "Hello"),
        (r"One\NTwo", "One\nTwo"),
        (r"{\i1}soft{\i0} hard", "<i>soft</i> hard"),
        (r"{\b700}bold", "<b>bold</b>"),
        (r"{\i1}a{\b1}b{\i0}c", "<i>a<b>b</b></i><b>c</b>"),
        (r"{\pos(10,20)\an8\c&HFF00FF&}up", "up"),
        (r"{\p1}m 0 0 l 10 10{\p0}seen", "seen"),
        ("a < b & c --> d", "a &lt; b &amp; c --&gt; d"),
        (r"no\hbreak", "no\u00a0break"),
        ("bell\x07 and\r", "bell and"),
        ("with, commas, in it", "with, commas, in it"),
        (r"{\i1}{\i0}", ""),
        (r"\N \N", ""),
    ],
)
def test_dialogue_becomes_cue_text(line: str, text: str) -> None:
    assert cue_text(f"0,0,Default,,0,0,0,,{line}") == text


def test_a_line_without_its_fields_is_bad_input() -> None:
    with pytest.raises(BadInput, match="fields"):
        cue_text("0,0,Default,Hello")


@given(st.text(alphabet=st.sampled_from("ab{}\\ibu01NhpP<>&\n ,-"), max_size=60))
def test_any_dialogue_gives_a_payload_that_a_file_can_hold(line: str) -> None:
    text = cue_text(f"0,0,Default,,0,0,0,,{line}")
    if text:
        (cue,) = webvtt.parsed(webvtt.written([Cue(0, 1000, text)]))
        assert cue.text == text
        for tag in "biu":
            assert text.count(f"<{tag}>") == text.count(f"</{tag}>")


# Encodings and times


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_texts_are_read_in_the_encodings_people_save_them_in(encoding: str) -> None:
    text = SRT.replace(
        "Zweite Zeile", "Größere Überraschung für Fräulein Müller, schön wär's; ähnliche Straßen, äußerst"
    )
    assert decoded(text.encode(encoding))[0] == text


def test_bytes_that_are_no_text_are_bad_input() -> None:
    with pytest.raises(BadInput, match="no text"):
        decoded(b"a\x00b")


def line(start: str, length: str | None, text: str = "x") -> Line:
    return Line(Fraction(start), None if length is None else Fraction(length), text)


def test_cues_are_placed_in_order_inside_the_media_and_lines_without_an_end_get_one() -> None:
    cues, left_out = placed(
        [
            line("9", "5"),
            line("1.5", None, "until the next"),
            line("4", None, "five seconds"),
            line("-1", "2", "begins before"),
            line("-3", "1", "ended before"),
            line("12", "1", "after"),
        ],
        Fraction(10),
    )
    assert [(cue.start_ms, cue.end_ms, cue.text) for cue in cues] == [
        (0, 1000, "begins before"),
        (1500, 4000, "until the next"),
        (4000, 9000, "five seconds"),
        (9000, 10_000, "x"),
    ]
    assert left_out == 2


@given(
    st.lists(st.tuples(st.integers(-5000, 20_000), st.one_of(st.none(), st.integers(0, 9000))), max_size=30),
    st.integers(1, 15_000),
)
def test_any_cue_lies_inside_the_media_and_lasts(lines: list[tuple[int, int | None]], length_ms: int) -> None:
    given_lines = [
        Line(Fraction(start, 1000), None if length is None else Fraction(length, 1000), "x") for start, length in lines
    ]
    cues, left_out = placed(given_lines, Fraction(length_ms, 1000))
    assert len(cues) + left_out == len(lines)
    assert all(0 <= cue.start_ms < cue.end_ms <= length_ms for cue in cues)
    assert [cue.start_ms for cue in cues] == sorted(cue.start_ms for cue in cues)


# Files beside a source


def test_which_texts_belong_to_a_film_and_what_their_names_say(tmp_path: Path) -> None:
    film = tmp_path / "Film.mp4"
    names = ["Film.srt", "film.de.SRT", "Film.pt-BR.forced.vtt", "Film.mp4.en.sdh.srt", "Film.part2.srt", "Filmen.srt",
             "Other.srt", ".Film.srt", "Film.srt.part", "Film.txt"]  # fmt: skip
    for name in names:
        (tmp_path / name).write_text(SRT)
    found = {text.path.name: (text.language, text.forced, text.hearing_impaired) for text in texts_beside(film)}
    assert found == {
        "Film.srt": (None, False, False),
        "film.de.SRT": ("de", False, False),
        "Film.pt-BR.forced.vtt": ("pt-BR", True, False),
        "Film.mp4.en.sdh.srt": ("en", False, True),
    }


def test_texts_that_cannot_be_used_are_left_out_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "film.en.srt").mkdir()
    (tmp_path / "film.de.srt").write_text(SRT)
    (tmp_path / "film.fr.srt").symlink_to(tmp_path / "nowhere")
    assert [text.language for text in texts_beside(tmp_path / "film.mp4")] == ["de"]
    assert texts_beside(tmp_path / "gone" / "film.mp4") == []


def test_a_text_in_another_hand_gives_the_same_cues(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    vtt = (
        "WEBVTT\n\nNOTE a remark\n\n00:00.200 --> 00:01.000 align:start\nHallo <i>Welt</i>\n\n2\n"
        "00:01.200 --> 00:01.900\nZweite Zeile\nund noch eine\n"
    )
    for name, text in {"a.srt": SRT, "b.srt": SRT.replace("\n", "\r\n"), "c.vtt": vtt}.items():
        (tmp_path / name).write_bytes(text.encode("utf-8-sig"))
        lines = beside(tmp_path / name, name[-3:], tmp_path / "scratch")
        assert [(line.start_s, line.text) for line in lines] == [
            (Fraction(1, 5), "Hallo <i>Welt</i>"),
            (Fraction(6, 5), "Zweite Zeile\nund noch eine"),
        ], name


# The derivative


def subtitles_of(path: Path, folder: Path, **texts: bytes) -> Task:
    """The task of `subtitles` with texts beside, by file name (`de_srt`), made."""
    info = facts_of(path, {})
    kept, options = [], []
    for name, content in texts.items():
        language, _, kind = name.partition("_")
        file = folder / f"{name}.text"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        kept.append(SourceFile(file, "0" * 64, len(content)))
        options.append({"sha256": name, "format": kind, "language": language, "forced": False})
    task = source_task(path, folder / "work", parameters=subtitles_plan.parameters(info, {"texts": options}))
    task = replace(task, texts=tuple(kept))
    return replace(task, made=as_input("subtitles", task.out, make(task).facts))


@pytest.mark.parametrize("name", ["video/mov_text.mp4", "video/webvtt.mkv", "video/sample_with_srt.mkv"])
def test_embedded_texts_of_real_files_are_those_that_were_put_in(tmp_path: Path, name: str) -> None:
    task = subtitles_of(corpus_file(name), tmp_path)
    assert broken(contract(task)) == []
    assert task.made is not None
    cues = webvtt.parsed(task.made.path("subtitles-0.vtt").read_text())
    assert cues
    if "sample" not in name:
        assert [cue.text for cue in cues] == ["oop", "boop"]


def test_pictures_of_text_do_not_apply_and_say_why() -> None:
    info = facts_of(corpus_file("video/sample_with_pgs_subtitles.mkv"), {})
    assert subtitles_plan.applies(info, {}) == "its subtitles are pictures, not text"
    assert subtitles_plan.applies(info, {"texts": [{}]}) is None
    assert subtitles_plan.applies({"kind": "video", "subtitles": []}, {}) == "it came without subtitles"
    assert subtitles_plan.applies({"kind": "image", "subtitles": []}, {"texts": [{}]}) is not None


def test_embedded_and_other_texts_stand_beside_each_other(tmp_path: Path) -> None:
    task = subtitles_of(corpus_file("video/mov_text.mp4"), tmp_path, de_srt=SRT.encode(), fr_vtt=b"WEBVTT\n\nnothing\n")
    assert task.made is not None
    assert [track["language"] for track in task.made.facts["tracks"]] == [None, "de"]
    assert len(task.made.facts["unreadable"]) == 1
    verdicts = contract(task)
    assert broken(verdicts) == []
    assert [v.clause for v in verdicts if v.outcome is Outcome.WARNED] == ["every text can be used"]


def test_no_usable_text_is_bad_input_with_its_reasons(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=25)
    with pytest.raises(BadInput, match="srt file 0"):
        subtitles_of(path, tmp_path, de_srt=b"\x00\x01\x02")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("subtitles")
    path = make_video(folder / "clip.mp4", frames=75)
    return subtitles_of(path, folder, de_srt=SRT.encode(), en_srt=SRT.replace("Hallo", "Hello").encode())


def spoiled(task: Task, folder: Path, name: str, change: Callable[[str], str]) -> list[str]:
    assert task.made is not None
    shutil.copytree(task.made.folder, folder)
    (folder / name).write_text(change((folder / name).read_text()))
    return broken(contract(replace(task, made=as_input("subtitles", folder, task.made.facts))))


def cues_changed(change: Callable[[list[Cue]], list[Cue]]) -> Callable[[str], str]:
    def write(text: str) -> str:
        head, _, rest = webvtt.written(change(webvtt.parsed(text))).partition("\n")
        return f"{head}\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n{rest}"

    return write


MUTATIONS: dict[str, tuple[str, Callable[[str], str], str]] = {
    "emptied": ("subtitles-0.vtt", lambda _: "", "subtitles-0.vtt is WebVTT"),
    "cut off": ("subtitles-0.vtt", lambda text: text[: text.index("2", 60)], "subtitles-0.vtt has its cues"),
    "without its clock": (
        "subtitles-1.vtt",
        lambda text: text.replace("X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n", ""),
        "subtitles-1.vtt is WebVTT",
    ),
    "a cue after the end": (
        "subtitles-1.vtt",
        cues_changed(lambda cues: [*cues[:-1], replace(cues[-1], end_ms=99_000)]),
        "subtitles-1.vtt has its cues inside the media",
    ),
    "out of order": (
        "subtitles-1.vtt",
        cues_changed(lambda cues: cues[::-1]),
        "subtitles-1.vtt has its cues in order",
    ),
    "a cue that says nothing": (
        "subtitles-0.vtt",
        cues_changed(lambda cues: [replace(cues[0], text=" "), *cues[1:]]),
        "subtitles-0.vtt says something in every cue",
    ),
    "a playlist of another length": (
        "subtitles-0.m3u8",
        lambda text: text.replace("#EXTINF:3", "#EXTINF:2"),
        "subtitles-0.vtt has a playlist over the whole of it",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_refuses_what_was_spoiled(two: Task, tmp_path: Path, name: str) -> None:
    file, change, clause = MUTATIONS[name]
    assert clause in spoiled(two, tmp_path / "spoiled", file, change)


def test_the_contract_refuses_lost_and_renamed_tracks(two: Task) -> None:
    assert two.made is not None
    assert broken(contract(two)) == []
    facts = two.made.facts

    def judged(tracks: list[dict[str, Any]]) -> list[str]:
        made = replace(two.made, facts={**facts, "tracks": tracks}) if two.made else None
        return broken(contract(replace(two, made=made)))

    assert "every text is there or said to be unusable" in judged(facts["tracks"][:1])
    assert "has a track" in judged([])
    swapped = [{**track, "language": "fr"} for track in facts["tracks"]]
    assert judged(swapped) == ["tracks are presented as they came"]


# In the playlists people play


@pytest.fixture(scope="module")
def released(two: Task, tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, Any]:
    root = tmp_path_factory.mktemp("released")
    packaged, result = make_hls(root, steady(3, sound=(Sound(3.0, language="en"),)))
    info = packaged.inputs["media_info"]
    assert two.made is not None
    upload = {"media_info": info.data_version}
    from tests.media_packaging import as_input as published

    inputs = {
        "media_info": info,
        "hls": published("hls", packaged.out, {**result.facts, **upload}),
        "subtitles": published("subtitles", two.made.folder, {**two.made.facts, **upload}),
    }
    task = Task("", {"moment": "playable", "source": {"source": "clip"}}, root / "release", inputs=inputs)
    task.out.mkdir(parents=True)
    return task, release.make(task)


def judge_release(task: Task, result: Any) -> list[Verdict]:
    from tests.media_packaging import as_input as published

    return release_contract.check(replace(task, made=published("release", task.out, result.facts)))


def test_the_released_playlists_offer_every_text(released: tuple[Task, Any]) -> None:
    task, result = released
    assert broken(judge_release(task, result)) == []
    master = playlists.parse_multivariant((task.out / "master.m3u8").read_text())
    texts = [media for media in master.media if media["TYPE"] == "SUBTITLES"]
    assert [(text["LANGUAGE"], text["URI"], text["DEFAULT"]) for text in texts] == [
        ("de", "subtitles-0.m3u8", "NO"),
        ("en", "subtitles-1.m3u8", "NO"),
    ]
    assert {variant["SUBTITLES"] for variant in master.variants} == {"subtitles"}
    assert "SUBTITLES" not in master.i_frames[0]
    assert {"subtitles-0.vtt", "subtitles-0.m3u8"} <= set(result.facts["links"])
    index = json.loads((task.out / "index.json").read_text())
    assert [text["uri"] for text in index["subtitles"]] == ["subtitles-0.vtt", "subtitles-1.vtt"]


@pytest.mark.parametrize("file", ["master.m3u8", "manifest.mpd"])
def test_a_release_that_forgets_a_text_or_names_another_is_refused(
    released: tuple[Task, Any], tmp_path: Path, file: str
) -> None:
    task, result = released
    again = replace(task, scratch=tmp_path / "again")
    shutil.copytree(task.out, again.out)
    text = (again.out / file).read_text()
    (again.out / file).write_text(text.replace("subtitles-1", "subtitles-7"))
    assert "playlists lead somewhere" in broken(judge_release(again, result))
    if file == "master.m3u8":
        lines = [line for line in text.split("\n") if "subtitles-1" not in line]
        (again.out / file).write_text("\n".join(lines))
        assert "playlists lead somewhere" in broken(judge_release(again, result))


# Through the house


def test_a_text_beside_a_file_is_kept_with_it_and_a_later_one_counts_when_it_is_taken_in_again(
    house: House, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=50)
    (registration,) = take_in(house, path)
    made = make_assets(house, registration, "subtitles")
    assert made["subtitles"].state is AssetState.NOT_APPLICABLE
    text = tmp_path / "clip.de.srt"
    text.write_text(SRT)
    (again,) = take_in(house, path)
    assert again.source_key == registration.source_key
    text.unlink()  # it was kept when the file was taken in
    first = make_assets(house, again, "subtitles")["subtitles"].manifest
    assert first is not None
    assert [track["language"] for track in first.facts["tracks"]] == ["de"]
    text.write_text(SRT.replace("Hallo", "Servus"))
    (later,) = take_in(house, path)
    second = make_assets(house, later, "subtitles")["subtitles"].manifest
    assert second is not None
    assert second.recipe_hash != first.recipe_hash
    folder = house.store.as_input(second, "subtitles").folder
    assert "Servus" in (folder / "subtitles-0.vtt").read_text()
