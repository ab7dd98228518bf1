"""HLS packaging: times, segments, playlists and what they say, on small real encodes."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from processing.contracts import hls as contract
from processing.failures import ContractBroken
from processing.manifest import Outcome, list_files
from processing.picture import fmp4, hls, hls_plan, playlists
from processing.picture.audio_segments import grid_from
from processing.picture.rates import peak_segment_bps, peak_window_bps
from tests.media import read_number
from tests.media_packaging import TIMESCALE, Clip, Sound, as_input, judged, make_hls, packaging_task, steady


def varying() -> Clip:
    """A variable frame rate with a hole of five seconds inside a chunk."""
    dice = random.Random(3)
    times, at = [], 0
    for index in range(240):
        times.append(at)
        at += dice.choice([1500, 3000, 3003, 4500, 6000]) + (450_000 if index == 100 else 0)
    return Clip(tuple(times), (0, 80, 160), at, sound=(Sound(at / TIMESCALE),))


CLIPS = {
    "two tracks": steady(
        8.5,
        sound=(
            Sound(8.5, language="en", default=True, title='The "English" one'),
            Sound(7.2, language="de", channels=1, rate_hz=44_100),
        ),
    ),
    "varying": varying(),
    "late picture": steady(7, start=126_000, sound=(Sound(8.4),)),
    "no sound": steady(6.2),
    "short": steady(0.4, sound=(Sound(0.4),)),
    "one frame": Clip((0,), (0,), 3000),
    "sound outlives picture": steady(3, sound=(Sound(17.0),)),
    "sound alone": Clip((), (), 0, sound=(Sound(13.2, language="en", default=True), Sound(13.2, channels=6))),
    "one rung": steady(2.5, rungs=(120,)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every clip packaged once: name to (clip, task, result)."""
    found = {}
    for name, clip in CLIPS.items():
        task, result = make_hls(tmp_path_factory.mktemp(name.replace(" ", "_")), clip)
        found[name] = (clip, task, result)
    return found


def joined(task, folder: str, to: Path) -> Path:
    """One track as a single file: its init segment and all media segments."""
    parts = [task.out / folder / "init.mp4", *sorted((task.out / folder).glob("*.m4s"))]
    to.write_bytes(b"".join(part.read_bytes() for part in parts))
    return to


@pytest.mark.parametrize("name", CLIPS)
def test_what_is_packaged_keeps_its_contract(made, name):
    _, task, result = made[name]
    verdicts = contract.check(judged(task, result))
    assert [verdict for verdict in verdicts if verdict.outcome is not Outcome.PASSED] == []
    assert len(verdicts) >= 15


@pytest.mark.parametrize("name", ["two tracks", "varying", "late picture", "short", "one frame"])
def test_every_frame_is_there_at_its_own_time(made, name, tmp_path):
    """Read by libavformat, which honours the edit list: the source's times and pictures, nothing moved."""
    clip, task, _ = made[name]
    for label in clip.rungs:
        with av.open(str(joined(task, f"video/{label}", tmp_path / f"{label}.mp4"))) as container:
            frames = [(f.pts, read_number(f.to_ndarray(format="rgb24"))) for f in container.decode(video=0)]
        assert frames == list(zip(clip.times, range(len(clip.times)), strict=True))


@pytest.mark.parametrize("name", ["two tracks", "varying", "late picture"])
def test_tfdt_of_a_segment_is_its_presentation_time(made, name):
    clip, task, _ = made[name]
    for index, first in enumerate(clip.starts):
        data = (task.out / "video" / "120" / f"{index:05d}.m4s").read_bytes()
        assert fmp4.read_fragments(data)[0].decode_time == clip.times[first]


def test_the_sound_in_segments_is_the_sound_of_the_track(made, tmp_path):
    """Cutting AAC into segments loses and adds nothing: the decoded samples are the same."""
    _, task, _ = made["two tracks"]

    def heard(path):
        with av.open(str(path)) as container:
            return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)

    for number in (0, 1):
        whole = heard(task.inputs[f"aac/{number}"].path("audio.m4a"))
        parts = heard(joined(task, f"audio/{number}", tmp_path / f"{number}.mp4"))
        length = min(whole.shape[1], parts.shape[1])
        assert length > 7 * 44_100
        assert np.array_equal(whole[:, :length], parts[:, :length])


@pytest.mark.parametrize("name", ["two tracks", "varying", "sound alone"])
def test_sound_segments_start_at_most_one_packet_after_the_picture_s(made, name):
    clip, task, result = made[name]
    for track in result.facts["audio"]:
        rate = track["timescale"]
        starts_s = [Fraction(clip.times[first], TIMESCALE) for first in clip.starts]
        end_s = Fraction(track["end"], rate)
        grid = grid_from(starts_s, Fraction(clip.end, TIMESCALE), end_s)
        paths = sorted((task.out / track["folder"]).glob("*.m4s"))
        tfdts = [fmp4.read_fragments(path.read_bytes())[0].decode_time for path in paths]
        assert len(tfdts) == len(grid)
        for tfdt, at in zip(tfdts[1:], grid[1:], strict=True):
            assert 0 <= Fraction(tfdt - 1024, rate) - at < Fraction(1024, rate)


def test_sound_that_outlives_the_picture_goes_on_in_segments_of_six_seconds():
    grid = grid_from([Fraction(0)], Fraction(3), Fraction(17))
    assert grid == [0, 3, 9]
    assert grid_from([], Fraction(0), Fraction(13)) == [0, 6]
    assert grid_from([], Fraction(0), Fraction(15)) == [0, 6, 12]


def test_the_rounding_of_durations_never_adds_up():
    lengths = playlists.durations_text([index * 3003 for index in range(30_001)], 90_000)
    assert abs(sum(map(Fraction, lengths)) - Fraction(3003 * 30_000, 90_000)) <= Fraction(1, 1_000_000)


@pytest.mark.parametrize("name", ["two tracks", "varying", "no sound"])
def test_each_byte_range_of_an_i_frame_playlist_decodes_to_its_picture(made, name, tmp_path):
    clip, task, _ = made[name]
    folder = task.out / "video" / "120"
    playlist = playlists.parse_media((folder / "iframes.m3u8").read_text())
    at = Fraction(clip.times[0], TIMESCALE)
    init = (folder / "init.mp4").read_bytes()
    for entry in playlist.entries:
        length, offset = entry.byte_range
        (tmp_path / "one.mp4").write_bytes(init + (folder / entry.uri).read_bytes()[offset : offset + length])
        with av.open(str(tmp_path / "one.mp4")) as container:
            frame = next(container.decode(video=0))
        assert abs(Fraction(clip.times[read_number(frame.to_ndarray(format="rgb24"))], TIMESCALE) - at) < 1e-4
        at += entry.duration_s


def test_the_master_names_tracks_by_language_and_has_one_default(made):
    _, task, _ = made["two tracks"]
    master = playlists.parse_multivariant((task.out / "master.m3u8").read_text())
    assert [
        (item["NAME"], item["LANGUAGE"], item["DEFAULT"], item["AUTOSELECT"], item["CHANNELS"]) for item in master.media
    ] == [("The 'English' one", "en", "YES", "YES", "2"), ("de", "de", "NO", "YES", "1")]
    assert [variant["RESOLUTION"] for variant in master.variants] == ["160x120", "96x72"]
    assert all(variant["CODECS"].endswith(",mp4a.40.2") for variant in master.variants)
    assert {variant["FRAME-RATE"] for variant in master.variants} == {"30.000"}
    assert len(master.i_frames) == 2


def test_a_language_from_the_options_stands_in_only_where_a_track_has_none(made):
    _, _, result = made["two tracks"]
    tracks = [{"language": None, "title": None}, {"language": "fr", "title": None}, {"language": None, "title": None}]
    packaged = dict.fromkeys(range(3))
    found = hls.describe_audio(packaged, tracks, "en")
    assert [(r.name, r.language, r.is_default, r.autoselect) for r in found] == [
        ("en", "en", True, True),
        ("fr", "fr", False, True),
        ("en (2)", "en", False, False),
    ]
    assert result.facts["audio"][0]["language"] == "en"


def test_sound_alone_is_one_variant_with_its_renditions(made):
    _, task, result = made["sound alone"]
    master = playlists.parse_multivariant((task.out / "master.m3u8").read_text())
    assert [variant["URI"] for variant in master.variants] == ["audio/0/index.m3u8"]
    assert "RESOLUTION" not in master.variants[0]
    assert [item["CHANNELS"] for item in master.media] == ["2", "6"]
    assert result.facts["video"] == []


def test_two_makings_have_the_same_bytes(made, tmp_path):
    _, task, result = made["two tracks"]
    again = replace(task, scratch=tmp_path / "again")
    again.out.mkdir(parents=True)
    assert hls.make(again).facts == result.facts
    assert list_files(again.out) == list_files(task.out)


def test_rungs_that_do_not_line_up_are_refused(tmp_path):
    """A player switches rungs at a segment's start: a frame too many in one rung and picture and sound part."""
    task = packaging_task(tmp_path, steady(4, chunk_s=2))
    other = packaging_task(tmp_path / "other", steady(3.9, chunk_s=2))
    inputs = dict(task.inputs) | {name: item for name, item in other.inputs.items() if name.startswith("ladder/72")}
    task = replace(task, inputs=inputs)
    task.out.mkdir(parents=True)
    with pytest.raises(ContractBroken, match="do not line up"):
        hls.make(task)


def test_chunks_encoded_with_other_parameters_are_refused(tmp_path):
    task = packaging_task(tmp_path, steady(4, chunk_s=2, rungs=(120,)))
    other = packaging_task(tmp_path / "other", steady(4, chunk_s=2, rungs=(72,)))
    task = replace(task, inputs={**task.inputs, "ladder/120/00001": other.inputs["ladder/72/00001"]})
    task.out.mkdir(parents=True)
    with pytest.raises(ContractBroken, match="other parameters"):
        hls.make(task)


def test_chunks_out_of_the_order_of_names_are_put_into_the_order_of_time(tmp_path):
    """Chunk 10 comes after chunk 9, also where inputs arrive sorted as text or not at all."""
    task = packaging_task(tmp_path, steady(3, chunk_s=1, rungs=(72,)))
    inputs = dict(reversed(task.inputs.items()))
    task = replace(task, inputs=inputs)
    task.out.mkdir(parents=True)
    result = hls.make(task)
    assert result.facts["video"][0]["segments"] == 3
    assert all(verdict.outcome is Outcome.PASSED for verdict in contract.check(judged(task, result)))


def test_a_track_without_a_sample_is_left_out(tmp_path):
    task = packaging_task(tmp_path, steady(1, sound=(Sound(1.0), Sound(1.0))))
    (tmp_path / "in" / "aac" / "1" / "audio.m4a").unlink()
    empty = as_input("aac/1", tmp_path / "in" / "aac" / "1", {"samples": 0, "rate_hz": 48_000})
    task = replace(task, inputs={**task.inputs, "aac/1": empty})
    task.out.mkdir(parents=True)
    result = hls.make(task)
    assert len(result.facts["audio"]) == 1
    assert all(verdict.outcome is Outcome.PASSED for verdict in contract.check(judged(task, result)))


def test_a_still_picture_is_not_packaged():
    assert hls_plan.applies({"kind": "image", "video": None, "audio": []}, {}) is not None
    assert hls_plan.applies({"video": None, "audio": [{}]}, {}) is None
    assert hls_plan.applies({"video": {"codec": "h264"}, "audio": []}, {}) is None


def test_a_lone_last_frame_does_not_make_the_peak():
    """One key frame of 40 ms is 4 Mb/s by itself; a player never fetches it in 40 ms alone."""
    segments = [(Fraction(6), 750_000), (Fraction(6), 750_000), (Fraction(1, 25), 20_000)]
    assert peak_segment_bps(segments, 6) == pytest.approx(1_020_000, abs=3000)
    assert peak_segment_bps([(Fraction(1, 25), 20_000)], 1) == 4_000_000


def test_a_burst_shorter_than_a_segment_makes_the_peak():
    pieces = [(at * 3000, 1000) for at in range(180)]
    pieces[90] = (pieces[90][0], 501_000)
    assert peak_window_bps(pieces, 90_000) == (60 * 1000 + 500_000) * 4
    assert peak_segment_bps([(Fraction(6), sum(size for _, size in pieces))], 6) < 1_000_000


@pytest.mark.services
@pytest.mark.parametrize("name", ["two tracks", "varying", "late picture"])
def test_ffmpeg_reads_the_source_s_times_from_the_master(made, name):
    """The command line's HLS reader as an outside judge: every frame of the first variant, and all of the sound."""
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    clip, task, _ = made[name]
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", "frame=pts_time,stream_index,media_type"]
    shown = subprocess.run([*command, str(task.out / "master.m3u8")], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    frames = json.loads(shown.stdout)["frames"]
    first = min(frame["stream_index"] for frame in frames if frame["media_type"] == "video")
    times = sorted(float(frame["pts_time"]) for frame in frames if frame["stream_index"] == first)
    assert times == pytest.approx([ticks / TIMESCALE for ticks in clip.times], abs=2e-6)
