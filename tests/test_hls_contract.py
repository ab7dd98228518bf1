"""Mutations: each clause of the packaging contract notices the one thing that breaks it."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from processing.contracts import hls as contract
from processing.manifest import Outcome
from processing.picture import fmp4
from processing.picture.hls import make
from tests.media_packaging import Sound, as_input, make_hls, steady
from tests.media_spoiled import SPOILED, packets_of, spoiled_packets


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    clip = steady(8.5, sound=(Sound(8.5, language="en", default=True), Sound(8.5, language="de")))
    return make_hls(tmp_path_factory.mktemp("good"), clip)


@pytest.fixture
def broken(good, tmp_path):
    """A function that applies a mutation to a copy of the good package and returns the clauses that fail."""
    task, result = good

    def judge(mutate, inputs=None) -> set[str]:
        folder = tmp_path / "made"
        shutil.copytree(task.out, folder)
        mutate(folder)
        judged = replace(
            task,
            scratch=tmp_path / "scratch",
            made=as_input("hls", folder, result.facts),
            inputs=task.inputs if inputs is None else inputs,
        )
        verdicts = contract.check(judged)
        return {verdict.clause for verdict in verdicts if verdict.outcome is Outcome.FAILED}

    return judge


def edit(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path.name}: the mutation would change nothing"
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def patched(path: Path, offset: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(bytes(content))


def rewrite(path: Path, change) -> None:
    """Write a segment again with each fragment's decode time and samples as `change(index, fragment)` says."""
    data = path.read_bytes()
    parts = [fmp4.SEGMENT_TYPE]
    for index, fragment in enumerate(fmp4.read_fragments(data)):
        decode_time, samples = change(index, fragment)
        payload = data[fragment.data_offset : fragment.offset + fragment.size]
        parts += [fmp4.fragment_header(fragment.sequence, decode_time, samples), payload]
    path.write_bytes(b"".join(parts))


SEGMENT = "video/120/00001.m4s"


def test_nothing_fails_unchanged(broken):
    assert broken(lambda folder: None) == set()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("master.m3u8", "#EXTM3U\n", ""),
        ("master.m3u8", "BANDWIDTH=", "BANDWIDTH=x"),
        ("master.m3u8", ",DEFAULT=NO", ",DEFAULT=YES"),
        ("master.m3u8", 'AUDIO="audio"', 'AUDIO="other"'),
        ("master.m3u8", 'NAME="de"', 'NAME="en"'),
        ("master.m3u8", "video/72/index.m3u8\n", ""),
        ("master.m3u8", 'CODECS="', "CODECS="),
        ("video/120/index.m3u8", "#EXTINF:6.000000,\n", ""),
        ("video/120/index.m3u8", "#EXTINF:6.000000,", "#EXTINF:6.0s,"),
        ("video/120/index.m3u8", "#EXT-X-ENDLIST\n", ""),
        ("video/120/index.m3u8", "#EXT-X-TARGETDURATION:6\n", ""),
        ("video/120/index.m3u8", "#EXT-X-VERSION:7", "#EXT-X-VERSION:3"),
        ("video/120/index.m3u8", '#EXT-X-MAP:URI="init.mp4"\n', ""),
        ("video/120/index.m3u8", "#EXT-X-INDEPENDENT-SEGMENTS\n", ""),
        ("video/120/index.m3u8", "#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-NEW:1"),
        ("video/120/iframes.m3u8", "#EXT-X-I-FRAMES-ONLY\n", ""),
        ("audio/0/index.m3u8", "00001.m4s\n", ""),
    ],
)
def test_a_playlist_that_breaks_the_grammar_does_not_parse(broken, name, old, new):
    assert broken(lambda folder: edit(folder / name, old, new)) == {"playlists parse"}


@pytest.mark.parametrize("name", ["video/120/00001.m4s", "audio/1/00000.m4s", "video/72/init.mp4", "manifest.mpd"])
def test_a_missing_file_is_noticed(broken, name):
    assert broken(lambda folder: (folder / name).unlink()) == {"files named"}


def test_a_file_that_nothing_names_is_noticed(broken):
    assert broken(lambda folder: (folder / "video" / "120" / "00009.m4s").write_bytes(b"x")) == {"files named"}


def test_a_segment_named_twice_is_noticed(broken):
    found = broken(lambda folder: edit(folder / "video/120/index.m3u8", "00001.m4s", "00000.m4s"))
    assert found == {"files named"}


@pytest.mark.parametrize("name", [SEGMENT, "audio/0/00001.m4s"])
def test_a_truncated_segment_is_not_whole(broken, name):
    def truncate(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    assert "segments whole" in broken(truncate)


def test_an_empty_segment_is_not_whole(broken):
    assert "segments whole" in broken(lambda folder: (folder / SEGMENT).write_bytes(b""))


def test_a_broken_init_segment_is_noticed(broken):
    def cut(folder):
        path = folder / "video/120/init.mp4"
        path.write_bytes(path.read_bytes()[:200])

    assert "init segments" in broken(cut)


@pytest.mark.parametrize("folder_name", ["video/120", "audio/0"])
def test_swapped_segments_break_the_timeline(broken, folder_name):
    def mutate(folder):
        swap(folder / folder_name / "00000.m4s", folder / folder_name / "00001.m4s")

    assert "times continuous" in broken(mutate)


def test_a_shifted_decode_time_breaks_the_timeline(broken):
    def shift(_, fragment):
        return fragment.decode_time + 3000, fragment.samples

    assert "times continuous" in broken(lambda folder: rewrite(folder / SEGMENT, shift))


def test_a_last_sample_that_lasts_too_long_breaks_extinf(broken):
    def lengthen(index, fragment):
        last = fragment.samples[-1]
        final = replace(last, duration=last.duration + 6000)
        return fragment.decode_time, (*fragment.samples[:-1], final) if index == 1 else fragment.samples

    assert {"EXTINF exact", "covers the source"} <= broken(lambda folder: rewrite(folder / SEGMENT, lengthen))


def test_a_segment_that_does_not_start_with_a_key_frame_is_noticed(broken):
    def unmark(index, fragment):
        first = replace(fragment.samples[0], is_sync=index > 0)
        return fragment.decode_time, (first, *fragment.samples[1:])

    assert "starts with a key frame" in broken(lambda folder: rewrite(folder / SEGMENT, unmark))


def test_a_key_frame_in_name_only_is_noticed(broken):
    """The flag says sync sample, the slice says otherwise: nal_unit_type 1 where 5 belongs."""

    def lie(folder):
        data = (folder / SEGMENT).read_bytes()
        cursor = fmp4.read_fragments(data)[0].data_offset
        while data[cursor + 4] & 0x1F != 5:
            cursor += 4 + int.from_bytes(data[cursor : cursor + 4], "big")
        patched(folder / SEGMENT, cursor + 4, bytes([data[cursor + 4] & 0xE0 | 1]))

    assert "starts with a key frame" in broken(lie)


def test_a_blanked_segment_does_not_decode(broken):
    def blank(folder):
        data = (folder / SEGMENT).read_bytes()
        for fragment in fmp4.read_fragments(data):
            patched(
                folder / SEGMENT, fragment.data_offset, bytes(fragment.offset + fragment.size - fragment.data_offset)
            )

    assert "decodes" in broken(blank)


def test_damage_in_the_middle_of_a_segment_does_not_decode(broken):
    def scratch(folder):
        fragment = fmp4.read_fragments((folder / SEGMENT).read_bytes())[0]
        noise = random.Random(1).randbytes(300)
        patched(folder / SEGMENT, fragment.data_offset + fragment.samples[0].size - 900, noise)

    assert "decodes" in broken(scratch)


def test_blanked_sound_does_not_decode(broken):
    def blank(folder):
        data = (folder / "audio/0/00000.m4s").read_bytes()
        fragment = fmp4.read_fragments(data)[0]
        patched(folder / "audio/0/00000.m4s", fragment.data_offset + 4000, bytes(range(256)) * 20)

    assert "decodes" in broken(blank)


def test_black_pictures_in_one_rung_differ_from_the_others(broken, tmp_path_factory):
    """Valid, complete, decodable, and black: only the comparison of the rungs tells."""
    clip = replace(steady(8.5, black=True), rungs=(120,))
    task, _ = make_hls(tmp_path_factory.mktemp("black"), clip)
    found = broken(lambda folder: shutil.copytree(task.out / "video/120", folder / "video/120", dirs_exist_ok=True))
    assert "rungs show the same" in found


def test_pictures_that_are_all_black_are_pointed_out(tmp_path):
    task, result = make_hls(tmp_path, steady(3, black=True))
    verdicts = contract.check(replace(task, made=as_input("hls", task.out, result.facts)))
    assert {v.clause: v.outcome for v in verdicts}["shows something"] is Outcome.WARNED


def test_pictures_of_another_source_in_every_rung_are_noticed(broken, tmp_path_factory):
    """As many, as long, at the same instants, and alike in all rungs."""
    task, _ = make_hls(tmp_path_factory.mktemp("other"), steady(8.5, black=True))
    found = broken(lambda folder: shutil.copytree(task.out / "video", folder / "video", dirs_exist_ok=True))
    assert found == {"samples as encoded", "BANDWIDTH true", "DASH manifest agrees", "I-frame playlists"} & found
    assert "samples as encoded" in found


def with_sound(folder: Path, packets: list[bytes], *, later: int = 0) -> None:
    """The segments of the first audio track again with other packets, `later` samples later."""
    waiting = iter(packets)
    for path in sorted((folder / "audio/0").glob("*.m4s")):
        parts = [fmp4.SEGMENT_TYPE]
        for fragment in fmp4.read_fragments(path.read_bytes()):
            payloads = [next(waiting) for _ in fragment.samples]
            samples = [replace(s, size=len(data)) for s, data in zip(fragment.samples, payloads, strict=True)]
            parts += [fmp4.fragment_header(fragment.sequence, fragment.decode_time + later, samples), *payloads]
        path.write_bytes(b"".join(parts))


@pytest.mark.parametrize("how", SPOILED)
def test_other_sound_in_as_many_packets_is_noticed(broken, good, how):
    """All of these were published once: they decode, last as long, and start at 0."""
    packets = spoiled_packets(good[0].inputs["aac/0"].path("audio.m4a"), how)
    found = broken(lambda folder: with_sound(folder, packets))
    assert "samples as encoded" in found
    assert found <= {"samples as encoded", "BANDWIDTH true", "DASH manifest agrees"}  # the rates follow the bytes


def test_sound_that_is_200_ms_late_is_noticed(broken, good):
    packets = packets_of(good[0].inputs["aac/0"].path("audio.m4a"))
    found = broken(lambda folder: with_sound(folder, packets, later=9600))
    assert "samples where encoded" in found
    assert "samples as encoded" not in found


def test_pictures_that_changed_places_in_time_are_noticed(broken):
    """Two frames between key frames swap their times: each segment starts, ends and lasts as it did."""

    def swap_times(_, fragment):
        samples = list(fragment.samples)
        at = next(n for n, s in enumerate(samples) if n and s.composition_offset >= samples[n - 1].duration)
        one, other = samples[at], samples[at + 1]
        samples[at] = replace(one, composition_offset=other.composition_offset + one.duration)
        samples[at + 1] = replace(other, composition_offset=one.composition_offset - one.duration)
        return fragment.decode_time, samples

    assert "samples where encoded" in broken(lambda folder: rewrite(folder / SEGMENT, swap_times))


def test_damage_between_key_frames_is_noticed(broken):
    """Key frames decode; what lies between them is known by its bytes."""

    def scratch(folder):
        fragment = fmp4.read_fragments((folder / SEGMENT).read_bytes())[0]
        at = fragment.data_offset + sum(sample.size for sample in fragment.samples[:3])
        patched(folder / SEGMENT, at + fragment.samples[3].size // 2, b"\x55" * 8)

    assert broken(scratch) == {"samples as encoded"}


def test_a_rung_that_was_damaged_since_it_was_judged_is_noticed(good, tmp_path):
    """Packaged anew of a chunk with a bad frame, the package holds the very packets of the chunk."""
    task, _ = good
    folder = tmp_path / "chunk"
    chunk = task.inputs["ladder/120/00000"]
    shutil.copytree(chunk.folder, folder)
    data = (folder / "chunk.mp4").read_bytes()
    patched(folder / "chunk.mp4", len(data) - 40, b"\x55" * 8)
    inputs = {**task.inputs, "ladder/120/00000": replace(chunk, folder=folder)}
    again = replace(task, scratch=tmp_path / "again", inputs=inputs)
    again.out.mkdir(parents=True)
    result = make(again)
    verdicts = contract.check(replace(again, made=as_input("hls", again.out, result.facts)))
    assert {v.clause for v in verdicts if v.outcome is Outcome.FAILED} == {"samples as encoded"}


def test_a_package_without_one_of_the_rungs_is_noticed(good, tmp_path):
    task, _ = good
    fewer = {name: item for name, item in task.inputs.items() if not name.startswith("ladder/72/")}
    again = replace(task, scratch=tmp_path / "again", inputs=fewer)
    again.out.mkdir(parents=True)
    result = make(again)
    made = as_input("hls", again.out, result.facts)
    verdicts = contract.check(replace(again, made=made, inputs=task.inputs))
    assert "samples as encoded" in {v.clause for v in verdicts if v.outcome is Outcome.FAILED}


def test_a_decoder_that_is_told_something_else_is_noticed(broken):
    """One bit of the parameter sets, in a place that key frames do not need: they decode as before."""

    def lie(folder):
        data = (folder / "video/120/init.mp4").read_bytes()
        config = fmp4.read_track(data).configuration
        patched(folder / "video/120/init.mp4", data.index(config) + len(config) - 1, bytes([config[-1] ^ 1]))

    assert "samples as encoded" in broken(lie)


def test_frames_fewer_than_the_encoder_was_given_are_noticed(broken, good):
    chunk = good[0].inputs["ladder/120/00000"]
    more = replace(chunk, facts={**chunk.facts, "frames": chunk.facts["frames"] + 1})
    found = broken(lambda folder: None, {**good[0].inputs, "ladder/120/00000": more})
    assert found == {"every frame there"}


def test_a_start_that_moved_by_less_than_a_millisecond_is_noticed(broken, good):
    """An edit list in milliseconds once moved chunks by up to a millisecond, with all else in order."""
    chunk = good[0].inputs["ladder/120/00001"]
    moved = replace(chunk, facts={**chunk.facts, "key_frames": [at + 69 for at in chunk.facts["key_frames"]]})
    found = broken(lambda folder: None, {**good[0].inputs, "ladder/120/00001": moved})
    assert found == {"key frames where encoded"}


def test_durations_that_do_not_belong_to_the_segments_are_noticed(broken):
    found = broken(lambda folder: edit(folder / "video/72/index.m3u8", "#EXTINF:6.000000,", "#EXTINF:5.900000,"))
    assert found == {"EXTINF exact"}


@pytest.mark.parametrize("target", [5, 60])
def test_a_target_duration_that_is_not_the_longest_segment_is_noticed(broken, target):
    def mutate(folder):
        edit(folder / "video/120/index.m3u8", "TARGETDURATION:6", f"TARGETDURATION:{target}")

    assert "target duration" in broken(mutate)


def test_rungs_that_part_are_noticed(broken):
    """The same length in all, but a key frame elsewhere in one rung."""

    def join(_, fragment):
        return fragment.decode_time, fragment.samples

    def mutate(folder):
        data = (folder / SEGMENT).read_bytes()
        first, second, *rest = fmp4.read_fragments(data)
        assert second.samples[0].is_sync
        parts = [fmp4.SEGMENT_TYPE]
        samples = [*first.samples, replace(second.samples[0], is_sync=False), *second.samples[1:]]
        payload = (
            data[first.data_offset : first.offset + first.size] + data[second.data_offset : second.offset + second.size]
        )
        parts += [fmp4.fragment_header(first.sequence, first.decode_time, samples), payload]
        parts += [data[fragment.offset : fragment.offset + fragment.size] for fragment in rest]
        (folder / SEGMENT).write_bytes(b"".join(parts))

    assert {"rungs aligned", "I-frame playlists", "key frames where encoded"} <= broken(mutate)


@pytest.mark.parametrize(("old", "new"), [("@24\n", "@25\n"), ("#EXTINF:2.000000", "#EXTINF:2.100000")])
def test_an_i_frame_playlist_that_points_elsewhere_is_noticed(broken, old, new):
    assert "I-frame playlists" in broken(lambda folder: edit(folder / "video/120/iframes.m3u8", old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("avc1.4d40", "avc1.6400"),
        (",mp4a.40.2", ",mp4a.40.5"),
        (",mp4a.40.2", ""),
        ("RESOLUTION=160x120", "RESOLUTION=320x240"),
        ('CHANNELS="2"', 'CHANNELS="6"'),
    ],
)
def test_a_master_that_lies_about_codecs_size_or_channels_is_noticed(broken, old, new):
    assert broken(lambda folder: edit(folder / "master.m3u8", old, new)) == {"CODECS and RESOLUTION true"}


@pytest.mark.parametrize("attribute", [":BANDWIDTH=", ",AVERAGE-BANDWIDTH=", "I-FRAME-STREAM-INF:BANDWIDTH="])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_bandwidth_is_noticed(broken, attribute, factor):
    if (attribute, factor) == ("I-FRAME-STREAM-INF:BANDWIDTH=", 2.0):
        pytest.skip("what key frames alone need at most is not stated closely")

    def mutate(folder):
        path = folder / "master.m3u8"
        head, found, tail = path.read_text().partition(attribute)
        number, comma, rest = tail.partition(",")
        path.write_text(f"{head}{found}{int(int(number) * factor)}{comma}{rest}")

    assert broken(mutate) == {"BANDWIDTH true"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('r="0"', 'r="1"'),
        ('t="0"', 't="3000"'),
        ('d="225000"', 'd="222000"'),
        ("PT8.500000S", "PT8.000000S"),
        ('startNumber="0"', 'startNumber="1"'),
        ('id="72"', 'id="73"'),
        ('width="96"', 'width="98"'),
        ('codecs="mp4a.40.2"', 'codecs="mp4a.40.5"'),
        ('bandwidth="', 'bandwidth="0'),
        ("</MPD>", ""),
    ],
)
def test_a_dash_manifest_that_disagrees_is_noticed(broken, old, new):
    def mutate(folder):
        path = folder / "manifest.mpd"
        if old == 'bandwidth="':
            head, _, tail = path.read_text().partition(old)
            number, quote, rest = tail.partition('"')
            path.write_text(f"{head}{old}{int(number) // 2}{quote}{rest}")
        elif old == 'r="0"':
            edit(path, 'd="540000" />', 'd="540000" r="1" />')
        else:
            edit(path, old, new)

    assert broken(mutate) == {"DASH manifest agrees"}


def test_pictures_that_end_early_do_not_cover_the_source(broken, good):
    info = good[0].inputs["media_info"]
    longer = {**info.facts, "video": {**info.facts["video"], "end": info.facts["video"]["end"] + 9000}}
    found = broken(lambda folder: None, {**good[0].inputs, "media_info": replace(info, facts=longer)})
    assert found == {"covers the source"}


def test_sound_that_ends_early_does_not_cover_the_source(broken, good):
    track = good[0].inputs["aac/1"]
    longer = replace(track, facts={**track.facts, "samples": track.facts["samples"] + 9600})
    assert broken(lambda folder: None, {**good[0].inputs, "aac/1": longer}) == {"covers the source"}


def test_a_track_that_was_left_out_is_noticed(broken, good):
    inputs = dict(good[0].inputs)
    inputs["aac/2"] = inputs["aac/1"]
    assert broken(lambda folder: None, inputs) == {"covers the source", "samples as encoded"}
