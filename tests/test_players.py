"""Packages in the players that people use: hls.js, dash.js and Shaka in headless Chromium.

Pictures carry their numbers, so that a player is asked which picture it shows at a time, not only whether it plays.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from processing import release
from processing.words import subtitles, subtitles_plan
from processing.work import SourceFile, Task
from tests.media import BITS
from tests.media_packaging import TIMESCALE, Clip, Sound, as_input, make_hls, steady
from tests.players.harness import browser, served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PLAYERS = {"hls": "master.m3u8", "dash": "manifest.mpd", "shaka": "master.m3u8"}
TOLERATED = "bufferStalledError false"  # hls.js reports a slow machine as an error that is not fatal
PLAY_MS = 1500
WAIT_MS = 20_000
END_SLACK_S = 0.1
SEEK_PAST_TICKS = 600  # inside a picture's time
# MP4 states durations in decoding order and Chromium, paused, takes them for those of the pictures: at a variable rate
# it shows the one before or after where the two differ. Which picture has which time is tested in test_hls.
OFF_BY = {"steady": 0, "silent": 0, "varying": 1}


def varying() -> Clip:
    dice = random.Random(5)
    times, at = [], 0
    for index in range(260):
        times.append(at)
        at += dice.choice([1500, 3000, 3003, 4500, 6000]) + (360_000 if index == 120 else 0)
    return Clip(tuple(times), (0, 100, 200), at, sound=(Sound(at / TIMESCALE),))


CLIPS = {
    "steady": steady(13, sound=(Sound(13.0, language="en", default=True), Sound(12.5, language="de", channels=1))),
    "varying": varying(),
    "silent": steady(7),
}
CUES = {"de": ["Hallo", "Auf Wiedersehen"], "en": ["hello", "goodbye"]}
CUE_TIMES = ((2, 4), (9, 11))  # s: in the first and in the second chunk
SOUND_ALONE = Clip((), (), 0, sound=(Sound(13.0, language="en", default=True),))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of all packages, the list of requests that failed, and Chromium."""
    root = tmp_path_factory.mktemp("site")
    for name, clip in {**CLIPS, "sound": SOUND_ALONE}.items():
        task, _ = make_hls(tmp_path_factory.mktemp(name), clip)
        task.out.rename(root / name)
    captioned(tmp_path_factory.mktemp("captioned"), root / "captioned")
    with served(root) as (address, misses), browser() as chromium:
        yield address, misses, chromium


def captioned(work: Path, published: Path) -> None:
    """A released clip with two text tracks, laid out as its published folder is, links resolved."""
    packaged, result = make_hls(work, CLIPS["steady"])
    info = packaged.inputs["media_info"]
    texts = []
    for language, lines in CUES.items():
        cues = zip(CUE_TIMES, lines, strict=True)
        text = "\n".join(f"1\n00:00:{start:02d},000 --> 00:00:{end:02d},000\n{line}\n" for (start, end), line in cues)
        file = work / f"{language}.srt"
        file.write_text(text)
        said = {"sha256": language, "format": "srt", "language": language}
        texts.append((said, SourceFile(file, "0" * 64, file.stat().st_size)))
    told = subtitles_plan.parameters({**info.facts, "subtitles": []}, {"texts": [said for said, _ in texts]})
    made = Task("", told, work / "subtitles", texts=tuple(file for _, file in texts))
    made.out.mkdir(parents=True)
    facts = subtitles.make(made).facts
    inputs = {
        "media_info": info,
        "hls": as_input("hls", packaged.out, result.facts),
        "subtitles": as_input("subtitles", made.out, facts),
    }
    task = Task("", {"moment": "playable", "source": {}}, work / "release", inputs=inputs)
    task.out.mkdir(parents=True)
    release.make(task)
    shutil.copytree(task.out, published)
    shutil.copytree(packaged.out, published / "hls")
    shutil.copytree(made.out, published, dirs_exist_ok=True)


@pytest.fixture
def started(site):
    """A function that starts a package in a player and waits until all of it is buffered."""
    address, misses, chromium = site
    misses.clear()
    pages = []

    def start(player: str, name: str, length_s: float, text_language: str | None = None) -> Any:
        page = chromium.new_page()
        pages.append(page)
        page.goto(f"{address}/")
        told = [player, f"{address}/media/{name}/{PLAYERS[player]}", text_language]
        page.evaluate("([player, uri, language]) => start(player, uri, language)", told)
        page.wait_for_timeout(PLAY_MS)
        whole = (
            f"() => {{ const b = state().buffered; return b.length && b[b.length - 1][1] > {length_s - END_SLACK_S} }}"
        )
        page.wait_for_function(whole, timeout=WAIT_MS)
        return page

    yield start
    for page in pages:
        page.close()
    assert misses == []


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("player", PLAYERS)
def test_a_player_plays_seeks_and_shows_the_right_picture(started, player, name):
    clip = CLIPS[name]
    length_s = clip.end / TIMESCALE
    page = started(player, name, length_s)
    state = page.evaluate("state()")
    assert state["time"] > PLAY_MS / 1000 / 3, "playback does not advance"
    assert (state["width"], state["height"]) in {(160, 120), (96, 72)}
    assert len(state["buffered"]) == 1, "a hole in what is buffered"
    assert state["buffered"][0][0] == pytest.approx(0, abs=0.03)
    assert state["duration"] == pytest.approx(length_s, abs=END_SLACK_S)
    for share in (0.5, 0.97, 0.61, 0.02):
        index = int(share * (len(clip.times) - 1))
        page.evaluate(f"seek({(clip.times[index] + SEEK_PAST_TICKS) / TIMESCALE})")
        assert abs(page.evaluate(f"pictureNumber({BITS})") - index) <= OFF_BY[name]
    assert [error for error in page.evaluate("state()")["errors"] if TOLERATED not in error] == []
    tracks = page.evaluate(f"listers.{player}()")
    if clip.sound and clip.sound[0].language:
        assert [track["lang"] for track in tracks] == [sound.language for sound in clip.sound]


@pytest.mark.parametrize("player", PLAYERS)
def test_another_audio_track_can_be_chosen(started, player):
    page = started(player, "steady", 12.0)
    page.evaluate("seek(2)")
    page.evaluate(f"pickers.{player}(1)")
    page.evaluate("video.play()")
    page.wait_for_function("video.currentTime > 2.8", timeout=WAIT_MS)
    assert [error for error in page.evaluate("state()")["errors"] if TOLERATED not in error] == []


@pytest.mark.parametrize("language", CUES)
@pytest.mark.parametrize("player", PLAYERS)
def test_texts_are_offered_and_shown_at_their_times(started, player, language):
    page = started(player, "captioned", 12.0, language)
    offered = page.evaluate(f"textListers.{player}()")
    assert [track["lang"] for track in offered] == list(CUES)
    page.evaluate(f"textPickers.{player}({list(CUES).index(language)})")
    for (start, end), line in zip(CUE_TIMES, CUES[language], strict=True):
        for time_s, shown in ((start - 0.1, ""), (start + 0.1, line), (end - 0.1, line), (end + 0.1, "")):
            page.evaluate(f"seek({time_s})")
            page.wait_for_function(f"shownText().join() === {shown!r}", timeout=WAIT_MS)
    assert [error for error in page.evaluate("state()")["errors"] if TOLERATED not in error] == []


@pytest.mark.parametrize("player", PLAYERS)
def test_sound_alone_plays_to_its_end(started, player):
    page = started(player, "sound", 13.0)
    page.evaluate("seek(12.3)")
    page.evaluate("video.play()")
    page.wait_for_function("video.ended", timeout=WAIT_MS)
    assert [error for error in page.evaluate("state()")["errors"] if TOLERATED not in error] == []


def test_the_players_folder_is_not_in_the_repository():
    ignored = (Path(__file__).parents[1] / ".gitignore").read_text().splitlines()
    assert ".make/" in ignored
