"""Real files: each gives facts or is refused with a sentence, as the corpus says it should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processing.contracts.media_info import contract
from processing.failures import BadInput
from processing.manifest import Outcome
from processing.probe import media_info, planning
from processing.probe.media_info import facts_of
from processing.work import Task
from tests.corpus import corpus_file, rows
from tests.media import as_input, source_task

MEASURED_SLACK_S = 0.15  # the manifest's durations are the containers' word; priming and last packets differ


def outcome(task: Task) -> tuple[Mapping[str, Any] | None, str]:
    """The facts, or the sentence with which the file was refused."""
    try:
        return media_info.make(task).facts, ""
    except BadInput as failure:
        return None, failure.sentence


@pytest.mark.corpus
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["path"])
def test_a_corpus_file_gives_facts_or_a_sentence(row: dict[str, str], tmp_path: Path) -> None:
    task = source_task(corpus_file(row["path"]), tmp_path, parameters=planning.parameters({}, {}))
    facts, refusal = outcome(task)
    if facts is None:
        assert row["expected"] in ("reject", "partial"), refusal
        assert refusal[0].islower()
        assert "\n" not in refusal
        return
    assert row["expected"] in ("ok", "partial")
    verdicts = contract(replace(task, made=as_input("media_info", task.out, facts)))
    assert not [verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED]
    if row["kind"] in ("video", "audio", "speech", "loudness") and row["duration_s"]:
        found = facts["duration"]["ticks"] / facts["duration"]["timescale"]
        assert found <= float(row["duration_s"]) + MEASURED_SLACK_S


def video_of(relative: str) -> Any:
    return facts_of(corpus_file(relative))["video"]


def test_phones_turn_and_mirror_their_films() -> None:
    portrait, mirrored = video_of("video/portrait.MOV"), video_of("video/sample_rotate_and_reflect.mp4")
    assert (portrait["display_width"], portrait["display_height"], portrait["mirrored"]) == (320, 568, False)
    assert (mirrored["rotation_degrees"], mirrored["mirrored"]) == (90, True)


def test_high_dynamic_range_is_told_apart() -> None:
    assert [video_of(f"video/{name}")["hdr"] for name in ("hdr10-av1.mp4", "hlg10-color-test.mp4", "testsrc.mp4")] == [
        "pq", "hlg", None,
    ]  # fmt: skip


def test_broadcast_fields_are_told_from_pictures() -> None:
    assert video_of("video/xdcam-ex-1080i50.mov")["interlaced"] == "tff"
    assert video_of("video/bbb_2500ms.ts")["interlaced"] == "progressive"


def test_a_tiled_heic_has_the_size_of_its_canvas() -> None:
    still = facts_of(corpus_file("image/IMG_2682.heic"))["image"]
    assert (still["width"], still["height"], still["tiles"]) == (4032, 3024, 48)


def test_hidden_pictures_of_vp9_are_not_counted() -> None:
    video = video_of("video/roadtrip-vp92-10bit.webm")
    assert (video["frame_count"], video["frame_rate_kind"]) == (72, "constant")


def test_views_of_a_stereo_film_do_not_hide_its_facts() -> None:
    """PyAV has no name for one of its side data and raises when any is read."""
    assert video_of("video/stereo_spatial.mp4")["frame_count"] == 10


def test_animations_are_stills_with_more_than_one_picture() -> None:
    for name, frames in (("pigs_in_a_polka.gif", 30), ("anim.webp", 6), ("colors-animated-8bpc-audio.avif", 5)):
        info = facts_of(corpus_file(f"image/{name}"))
        assert (info["kind"], info["image"]["animated"], info["image"]["frames"]) == ("image", True, frames)


def test_covers_chapters_and_subtitles_are_found() -> None:
    assert facts_of(corpus_file("audio/bear-id3.mp3"))["cover"]["width"] == 1400
    assert len(facts_of(corpus_file("video/sample_with_chapters.mp4"))["chapters"]) == 3
    subtitles = [facts_of(corpus_file(f"video/{name}"))["subtitles"][0] for name in ("sample_with_srt.mkv",
                 "sample_with_pgs_subtitles.mkv", "mov_text.mp4", "webvtt.mkv")]  # fmt: skip
    assert [track["text"] for track in subtitles] == [True, False, True, True]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("damaged/sample_fragmented_clearkey.mp4", "encrypted"),
        ("damaged/nostreams.mp4", "no streams"),
        ("damaged/sample_ac4.mp4", "no decoder"),
        ("damaged/large_stbl_truncated_after_moov.m4b", "cut off"),
        ("damaged/invalid-bitstream.webm", "can be decoded"),
        ("damaged/empty-file_0.mp4", "empty"),
        ("hostile/ssrf_ffmpeg.avi", "HLS playlist"),
        ("hostile/decompression_bomb.gif", "million pixels"),
        ("hostile/read_passwd_bypass.mp4", "neither picture nor sound"),
    ],
)
def test_refusals_name_the_reason(name: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        facts_of(corpus_file(name))
