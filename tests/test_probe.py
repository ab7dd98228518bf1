"""What a file is: by its first bytes, by its packets, and by decoding a little of it."""

from __future__ import annotations

import json
import os
import random
import subprocess
from array import array
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from processing.contracts.media_info import contract
from processing.failures import BadInput, Transient
from processing.manifest import Outcome
from processing.probe import magic, media_info, opening, planning
from processing.probe.language import bcp47
from processing.probe.magic import sniff, sniff_path
from processing.probe.media_info import facts_of
from processing.probe.packets import Track, measure, scan_packets
from processing.timeline import from_rational
from processing.work import Task
from tests.media import as_input, make_audio, make_still, make_vfr, make_video, source_task, tone_samples


def duration_s(info: dict[str, Any]) -> Fraction:
    return Fraction(info["duration"]["ticks"], info["duration"]["timescale"])


@pytest.mark.parametrize(
    ("container", "demuxer"),
    [("mp4", magic.MOV), ("mov", magic.MOV), ("matroska", magic.MATROSKA), ("mpegts", "mpegts"), ("avi", "avi"),
     ("flv", "flv"), ("h264", "h264")],
)  # fmt: skip
def test_video_containers_are_known_without_their_names(tmp_path: Path, container: str, demuxer: str) -> None:
    found = sniff_path(make_video(tmp_path / "x", frames=12, container=container))
    assert (found.kind, found.format_name) == ("video", demuxer)


@pytest.mark.parametrize(
    ("container", "codec", "demuxer"),
    [("wav", "pcm_s16le", "wav"), ("flac", "flac", "flac"), ("ogg", "libopus", "ogg"), ("mp3", "libmp3lame", "mp3"),
     ("adts", "aac", "aac"), ("mp4", "aac", magic.MOV), ("matroska", "flac", magic.MATROSKA), ("ac3", "ac3", "ac3"),
     ("aiff", "pcm_s16be", "aiff"), ("w64", "pcm_s16le", "w64"), ("asf", "wmav2", "asf")],
)  # fmt: skip
def test_sound_containers_are_known_and_not_taken_for_video(
    tmp_path: Path, container: str, codec: str, demuxer: str
) -> None:
    found = sniff_path(make_audio(tmp_path / "x", container=container, codec=codec))
    assert (found.kind, found.format_name) == ("audio", demuxer)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_pictures_are_known(tmp_path: Path, image_format: str) -> None:
    assert sniff_path(make_still(tmp_path / "x", image_format=image_format)).kind == "image"


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"", "empty"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "HLS playlist"),
        (b"ffconcat version 1.0\nfile secret.mp4\n", "ffconcat"),
        (b"\xef\xbb\xbfffconcat version 1.0\n", "ffconcat"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n", "SDP"),
        (b"<?xml version='1.0'?>\n<svg onload='x()'/>", "SVG"),
        (b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', "DASH manifest"),
        (b"<!DOCTYPE html><video src=x>", "HTML"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"%PDF-1.7", "PDF"),
        (b"\x7fELF\x02", "program"),
        (b"WEBVTT\n\n", "subtitle"),
        (b"Dear Sir or Madam,\n" * 20, "text"),
        (bytes(4096), "zeros"),
        (bytes(range(256)) * 4, "no known media format"),
        (b"\xff\x0a" + bytes(14), "JPEG XL"),
    ],
)
def test_what_only_pretends_to_be_media_is_refused_by_name(tmp_path: Path, head: bytes, word: str) -> None:
    assert word in sniff(head).refusal
    file = tmp_path / "holiday.mp4"
    file.write_bytes(head)
    with pytest.raises(BadInput, match=word), opening.open_media(file):
        pass


def test_an_index_at_the_end_still_tells_sound_from_pictures(tmp_path: Path) -> None:
    file = make_audio(tmp_path / "x", duration_s=20, codec="pcm_s16le", container="mov")
    data = file.read_bytes()
    assert data.index(b"moov") > magic.HEAD_BYTES
    assert sniff_path(file).kind == "audio"


def test_a_flac_behind_a_large_tag_is_not_taken_for_mp3(tmp_path: Path) -> None:
    size = 200_000
    tag = b"ID3\x04\x00\x00" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    file = tmp_path / "x"
    file.write_bytes(tag + make_audio(tmp_path / "y", container="flac", codec="flac").read_bytes())
    assert sniff_path(file).format_name == "flac"


def test_a_playlist_under_a_forced_format_reads_no_other_file(tmp_path: Path) -> None:
    """A demuxer that follows names once read another folder's video."""
    make_video(tmp_path / "secret.ts", frames=12, container="mpegts")
    playlist = tmp_path / "x"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadInput), opening.open_media(playlist, format_name="hls"):
        pass
    with pytest.raises(BadInput), opening.open_media(playlist, format_name="mpegts") as container:
        next(container.decode(video=0))


def test_a_file_that_is_gone_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="gone"), opening.open_media(tmp_path / "nowhere"):
        pass


def test_more_streams_than_a_media_file_has_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with av.open(str(file), "w", format="matroska") as output:
        for _ in range(opening.MAX_STREAMS + 6):
            output.add_stream("pcm_s16le", rate=8000, layout="mono")
        output.start_encoding()
    with pytest.raises(BadInput):
        facts_of(file)


def test_a_bomb_of_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "x"
    Image.new("1", (15_000, 15_000)).save(file, "PNG")
    assert file.stat().st_size < 100_000
    with pytest.raises(BadInput, match="million pixels"):
        facts_of(file)


def test_constant_frame_rate_is_measured(tmp_path: Path) -> None:
    video = facts_of(make_video(tmp_path / "x", frames=60, rate=Fraction(30_000, 1001)))["video"]
    assert video["frame_rate"] == {"num": 30_000, "den": 1001}
    assert (video["frame_rate_kind"], video["frame_count"]) == ("constant", 60)
    assert Fraction(video["end"] - video["start"], video["timescale"]) == 60 * Fraction(1001, 30_000)


def test_variable_frame_rate_and_holes_are_measured(tmp_path: Path) -> None:
    video = facts_of(make_vfr(tmp_path / "x", frames=60))["video"]
    assert (video["frame_rate_kind"], video["frame_count"]) == ("variable", 60)
    assert video["longest_gap"] > 2 * video["timescale"]


def test_a_fast_camera_on_a_millisecond_clock_keeps_its_declared_rate(tmp_path: Path) -> None:
    """At 600 a second pictures are 1 or 2 ms apart by turns: 604.17 was measured of 50 ms, and called variable."""
    video = facts_of(make_video(tmp_path / "x", frames=30, rate=600, container="matroska"))["video"]
    assert (video["frame_rate_kind"], video["frame_rate"]) == ("constant", {"num": 600, "den": 1})


@pytest.mark.parametrize(
    ("declared", "times"),
    [(1000, range(0, 1500, 17)), (50, [0, 20, 40, 60, 100, 120, 140])],
)
def test_a_declared_rate_counts_only_where_it_puts_every_picture(declared: int, times: Sequence[int]) -> None:
    """FLV and some Matroska declare their clock, 1000 a second, as a rate."""
    track = Track(pts=array("q", times), duration=array("q", [0] * len(times)))
    timing = measure(track, Fraction(1, 1000), Fraction(declared), None)
    assert timing.rate != declared or not timing.constant


def test_millisecond_clocks_do_not_make_a_rate_variable(tmp_path: Path) -> None:
    video = facts_of(make_video(tmp_path / "x", frames=90, rate=Fraction(30_000, 1001), container="matroska"))["video"]
    assert (video["frame_rate_kind"], video["frame_rate"]) == ("constant", {"num": 30_000, "den": 1001})


def test_a_late_start_is_where_the_timeline_begins(tmp_path: Path) -> None:
    file = make_video(
        tmp_path / "x", frames=50, pts=range(36_000, 36_000 + 50 * 3600, 3600), time_base=Fraction(1, 90_000),
        container="mpegts", audio_rate_hz=48_000, audio_codec="mp2", audio_start_s=Fraction(1),
        audio_duration_s=Fraction(1),
    )  # fmt: skip
    info = facts_of(file)
    assert info["video"]["start"] == 0
    assert from_rational(info["origin"]) > 0
    assert float(from_rational(info["audio"][0]["start"])) == pytest.approx(0.6, abs=0.03)


def test_sound_that_starts_first_moves_the_picture_on_the_timeline(tmp_path: Path) -> None:
    file = make_video(
        tmp_path / "x", frames=25, pts=range(90_000, 90_000 + 25 * 3600, 3600), time_base=Fraction(1, 90_000),
        audio_rate_hz=48_000, audio_duration_s=Fraction(2),
    )  # fmt: skip
    info = facts_of(file)
    assert info["video"]["start"] == info["video"]["timescale"]
    assert info["audio"][0]["start"] == {"num": 0, "den": 1}
    assert float(duration_s(info)) == pytest.approx(2, abs=0.03)


@pytest.mark.parametrize("container", ["mp4", "mpegts", "matroska"])
@pytest.mark.parametrize("open_gop", [False, True])
def test_every_chunk_can_be_reached_by_its_seek_point(tmp_path: Path, container: str, open_gop: bool) -> None:
    """MPEG-TS seeks by decoding time and lands late by presentation time; open GOPs have pictures before the key."""
    file = make_video(tmp_path / "x", frames=400, key_every=55, container=container, open_gop=open_gop)
    info = facts_of(file)
    video = info["video"]
    assert [chunk["on_key_frame"] for chunk in video["chunks"]] == [True] * len(video["chunks"])
    assert len(video["chunks"]) > 1
    base, origin = from_rational(video["time_base"]), from_rational(info["origin"])
    for chunk in video["chunks"]:
        wanted = Fraction(chunk["start"], video["timescale"])
        assert chunk["seek"]["pts"] * base - origin == wanted
        with opening.open_media(file) as opened:
            stream = opened.streams[video["stream_index"]]
            target = chunk["seek"]["dts"] - int(1 / base) if container == "mpegts" else chunk["seek"]["pts"]
            opened.seek(max(target, 0), stream=stream)
            times = {frame.pts * base - origin for frame in opened.decode(stream) if frame.pts is not None}
        assert wanted in times


def test_pictures_before_an_edit_lists_start_are_not_counted(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole", frames=100, key_every=50, b_frames=0)
    cut = tmp_path / "cut.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-ss", "1", "-i", whole, "-c", "copy", cut], check=True)
    video = facts_of(cut)["video"]
    assert video["frame_count"] == 75
    assert Fraction(video["end"] - video["start"], video["timescale"]) == 3
    assert video["chunks"][0]["seek"]["pts"] == -int(1 / from_rational(video["time_base"]))


def test_a_stream_without_times_is_counted(tmp_path: Path) -> None:
    video = facts_of(make_video(tmp_path / "x", frames=50, container="h264"))["video"]
    assert (video["timestamps"], video["frame_count"]) == ("counted", 50)
    assert Fraction(video["end"], video["timescale"]) == 2
    assert {chunk["seek"]["pts"] for chunk in video["chunks"]} == {None}


def test_sample_aspect_rotation_colour_and_language_are_read(tmp_path: Path) -> None:
    file = make_video(
        tmp_path / "x", width=176, height=144, sample_aspect=Fraction(12, 11), rotation_degrees=-90,
        audio_rate_hz=44_100, audio_channels=2, language="ger", pixel_format="yuv420p10le",
        color={"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1},
    )  # fmt: skip
    info = facts_of(file)
    video, sound = info["video"], info["audio"][0]
    assert (video["width"], video["height"], video["rotation_degrees"]) == (176, 144, 90)
    assert (video["display_width"], video["display_height"]) == (144, 192)
    assert video["color"] == {"primaries": "bt2020", "transfer": "smpte2084", "matrix": "bt2020nc", "range": "tv"}
    assert (video["hdr"], video["bit_depth"], video["interlaced"]) == ("pq", 10, "progressive")
    assert (sound["language"], sound["layout"], sound["rate_hz"]) == ("de", "stereo", 44_100)


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_the_order_of_fields_is_read_from_the_pictures(tmp_path: Path, order: str) -> None:
    file = make_video(
        tmp_path / "x", width=176, height=144, codec="mpeg2video", container="mpegts", b_frames=0, field_order=order,
        codec_options={"flags": "+ildct+ilme"},
    )  # fmt: skip
    assert facts_of(file)["video"]["interlaced"] == order


def test_a_lone_picture_beside_sound_is_a_cover_not_a_film(tmp_path: Path) -> None:
    file = make_video(
        tmp_path / "x", frames=1, codec="mjpeg", pixel_format="yuvj420p", container="matroska", audio_rate_hz=48_000,
        audio_duration_s=Fraction(2),
    )  # fmt: skip
    info = facts_of(file)
    assert info["kind"] == "audio"
    assert (info["cover"]["codec"], info["cover"]["width"]) == ("mjpeg", 160)


def test_a_first_track_without_a_packet_does_not_hide_the_second(tmp_path: Path) -> None:
    """Flush packets call themselves packets of stream 0, whichever stream they flush."""
    file = tmp_path / "x"
    with av.open(str(file), "w", format="matroska") as output:
        output.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone_samples(800, 8000), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    info = facts_of(file)
    assert [track["stream_index"] for track in info["audio"]] == [1]
    assert "stream 0" in " ".join(info["damage"]["notes"])


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of what it skips
def test_pictures_with_bytes_overwritten_are_refused_or_described(tmp_path: Path) -> None:
    """Decoders raise whatever their parsing runs into; all of it must come out as one sentence."""
    noise = random.Random(5)
    for image_format in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"):
        whole = make_still(tmp_path / "whole", width=64, height=48, image_format=image_format).read_bytes()
        for number in range(40):
            data = bytearray(whole)
            for _ in range(number % 8 + 1):
                data[noise.randrange(min(len(data), 600))] = noise.randrange(256)
            hurt = tmp_path / "hurt"
            hurt.write_bytes(data)
            try:
                assert facts_of(hurt)["kind"]
            except BadInput as failure:
                assert failure.sentence  # noqa: PT017 - either outcome is right, anything else is not


def test_every_picture_of_an_intra_codec_is_a_place_to_cut(tmp_path: Path) -> None:
    file = make_video(tmp_path / "x", frames=250, codec="mjpeg", pixel_format="yuvj420p", container="mov")
    video = facts_of(file)["video"]
    assert [chunk["start"] for chunk in video["chunks"]] == [0, 6 * video["timescale"]]


def test_a_file_cut_in_the_middle_says_so(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "x", frames=250, container="matroska").read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: len(whole) // 2])
    info = facts_of(cut)
    assert info["damage"]["truncated"]
    assert duration_s(info) < 7
    assert "promises" in " ".join(info["damage"]["notes"])


def test_a_file_with_its_index_cut_off_is_refused(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "x", frames=50).read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="damaged"):
        facts_of(cut)


def test_bytes_overwritten_in_the_middle_are_counted_as_damage(tmp_path: Path) -> None:
    data = bytearray(make_video(tmp_path / "x", frames=100, key_every=10).read_bytes())
    start = data.index(b"mdat") + 8
    data[start : start + 3000] = bytes(3000)
    hurt = tmp_path / "hurt"
    hurt.write_bytes(data)
    info = facts_of(hurt)
    assert info["damage"]["decode_errors"] > 0
    assert info["video"]["start"] >= 0


def test_a_file_that_grows_while_it_is_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_audio(tmp_path / "x")
    task = source_task(file, tmp_path / "scratch")

    def growing(container: Any) -> Any:
        with file.open("ab") as more:
            more.write(b"more")
        return scan_packets(container)

    monkeypatch.setattr(media_info, "scan_packets", growing)
    with pytest.raises(Transient, match="changed"):
        media_info.make(task)


def test_a_file_that_vanishes_is_tried_again(tmp_path: Path) -> None:
    file = make_audio(tmp_path / "x")
    task = source_task(file, tmp_path / "scratch")
    file.unlink()
    with pytest.raises(Transient, match="gone"):
        media_info.make(task)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    file = make_audio(tmp_path / "x")
    file.chmod(0)
    with pytest.raises(BadInput, match="may not be read"):
        facts_of(file)


@pytest.mark.parametrize(
    ("code", "tag"),
    [("ger", "de"), ("deu", "de"), ("eng", "en"), ("en_us", "en-US"), ("zh-hant-tw", "zh-Hant-TW"), ("haw", "haw"),
     ("und", None), ("", None), (None, None), ("English!", None)],
)  # fmt: skip
def test_languages_become_bcp_47(code: str | None, tag: str | None) -> None:
    assert bcp47(code) == tag


def made_task(file: Path, scratch: Path) -> Task:
    """The contract's task over the facts of `file`."""
    task = source_task(file, scratch, parameters=planning.parameters({}, {}))
    return replace(task, made=as_input("media_info", task.out, media_info.make(task).facts))


def broken(task: Task) -> set[str]:
    return {verdict.clause for verdict in contract(task) if verdict.outcome is Outcome.FAILED}


def rewritten(task: Task, change: Any) -> Task:
    """The same task after `change` was done to the facts, in the file and in the manifest alike."""
    info = json.loads(json.dumps(dict(task.made.facts)))  # type: ignore[union-attr]
    change(info)
    (task.out / planning.FILE).write_text(json.dumps(info), encoding="utf-8")
    return replace(task, made=as_input("media_info", task.out, info))


def test_the_contract_passes_what_the_probe_makes(tmp_path: Path) -> None:
    assert not broken(made_task(make_video(tmp_path / "v", frames=300, audio_rate_hz=48_000), tmp_path / "1"))
    assert not broken(made_task(make_audio(tmp_path / "a"), tmp_path / "2"))
    assert not broken(made_task(make_still(tmp_path / "s"), tmp_path / "3"))


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (lambda info: info.pop("damage"), "complete"),
        (lambda info: info["video"]["chunks"].pop(1), "chunks cover"),
        (lambda info: info["video"]["chunks"][0].update(end=info["video"]["chunks"][0]["end"] + 1), "chunks cover"),
        (lambda info: info["video"].update(frame_count=0), "frames"),
        (lambda info: info["video"].update(frame_count=3000), "rate and count"),
        (lambda info: info["video"].update(display_width=4), "display size"),
        (lambda info: info["video"].update(rotation_degrees=90), "display size"),
        (lambda info: info.update(kind="audio"), "kind"),
        (lambda info: info["duration"].update(ticks=0), "duration"),
        (lambda info: info["duration"].update(ticks=10 * info["duration"]["ticks"]), "covers its streams"),
        (lambda info: info["audio"][0].update(rate_hz=0), "track 0"),
        (lambda info: info["video"].update(codec="hevc"), "about this file"),
        (lambda info: info["video"].update(chunks=[]), "well formed"),
    ],
)
def test_the_contract_notices_facts_that_are_blanked_or_bent(tmp_path: Path, change: Any, clause: str) -> None:
    task = made_task(make_video(tmp_path / "v", frames=300, audio_rate_hz=48_000), tmp_path / "1")
    assert clause in broken(rewritten(task, change))


def test_the_contract_notices_a_truncated_file_of_facts(tmp_path: Path) -> None:
    task = made_task(make_audio(tmp_path / "a"), tmp_path / "1")
    text = (task.out / planning.FILE).read_bytes()
    (task.out / planning.FILE).write_bytes(text[: len(text) // 2])
    assert "readable" in broken(task)


def test_the_contract_notices_the_facts_of_another_file(tmp_path: Path) -> None:
    one = made_task(make_still(tmp_path / "s", width=300), tmp_path / "1")
    other = made_task(make_still(tmp_path / "t", width=302), tmp_path / "2")
    assert "about this file" in broken(replace(one, made=other.made))


def test_the_facts_of_a_file_are_the_same_twice(tmp_path: Path) -> None:
    file = make_video(tmp_path / "v", frames=100, audio_rate_hz=48_000)
    made = [made_task(file, tmp_path / name).out / planning.FILE for name in ("1", "2")]
    assert made[0].read_bytes() == made[1].read_bytes()
