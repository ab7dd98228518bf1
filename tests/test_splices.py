"""Files joined end to end, whose clock starts again inside: all of every piece, once, in order and in sync."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.chunks.chunk_plan import unit_parameters
from processing.chunks.decode import ChunkReader, Place, Timed
from processing.chunks.grid import NO_TIME
from processing.contracts import chunks as chunks_contract
from processing.contracts.media_info import contract
from processing.manifest import Outcome
from processing.picture import ladder_plan, samples_plan
from processing.probe import media_info, planning, splices
from processing.probe.media_info import facts_of
from processing.probe.opening import open_media
from processing.probe.packets import scan_packets
from processing.probe.samples import Sampler
from processing.probe.splices import (
    CLOCK,
    FALL,
    MOST_OVERLAP,
    Extent,
    Mender,
    Splice,
    Watch,
    entry_positions,
    follow_on,
    lay_out,
    mended,
    splices_in,
)  # fmt: skip
from processing.sound.decode import TrackDecoder
from processing.sound.plan import unit_parameters as sound_unit_parameters
from processing.timeline import from_rational
from processing.work import Task
from resources.house import House
from resources.ledger.states import AssetState
from resources.status import source_entry
from tests.house import make, take_in
from tests.media import as_input, make_audio, make_video, numbered_picture, read_number, source_task
from tests.media_picture import clip_info, make_products
from tests.media_sound import RATE_HZ, index_verdicts, run_pass, tone, write_sound

ONSET_S = 0.025  # how exactly a sound must be where it belongs; a frame of AAC lasts 21 ms
TONES_HZ = (440.0, 1000.0, 2500.0)
S = 90_000

FORMS: dict[str, dict[str, Any]] = {
    "mpegts": {"container": "mpegts"},
    "mpeg": {"container": "mpeg", "codec": "mpeg2video", "audio_codec": "mp2"},
}
CODED: list[Any] = [
    pytest.param({"container": "mpegts"}, id="h264"),
    pytest.param({"container": "mpegts", "open_gop": True}, id="h264-open"),
    pytest.param({"container": "mpegts", "codec": "mpeg2video", "codec_options": {"flags": "-cgop"}}, id="mpeg2-open"),
    pytest.param(
        {"container": "mpegts", "codec": "libx265", "codec_options": {"x265-params": "log-level=none:pools=none"}},
        id="hevc",
    ),
    pytest.param({"container": "mpeg", "codec": "mpeg2video"}, id="ps-mpeg2"),
]


def piece(path: Path, *, frames: int = 100, hz: float = 0.0, **more: Any) -> Path:
    """A piece of 25 frames a second with four key frames in its first 100; with a tone where `hz` is set."""
    sound = {"audio_rate_hz": RATE_HZ, "audio_hz": hz} if hz else {}
    return make_video(path, frames=frames, key_every=25, **{**sound, **more})


def joined(path: Path, *pieces: Path) -> Path:
    """The pieces' bytes one after the other, as `cat` joins them."""
    path.write_bytes(b"".join(each.read_bytes() for each in pieces))
    return path


def duration_s(info: dict[str, Any]) -> float:
    return info["duration"]["ticks"] / info["duration"]["timescale"]


def decoded(path: Path, info: dict[str, Any], chunk: dict[str, Any], **more: int) -> tuple[ChunkReader, list[Timed]]:
    with open_media(path) as container:
        origin, joints = from_rational(info["origin"]), splices_in(info)
        reader = ChunkReader(container, info["video"], origin, chunk, splices=joints, **more)
        return reader, list(reader.frames())


def whole(info: dict[str, Any]) -> dict[str, Any]:
    video = info["video"]
    return {"start": video["start"], "end": video["end"], "seek": {"pts": None, "dts": None}}


def seen(frames: Sequence[Timed]) -> list[tuple[int, int, int]]:
    return [
        (timed.ticks, timed.duration, number(timed)) for timed in frames if timed.place is Place.INSIDE
    ]  # fmt: skip


def number(timed: Timed) -> int:
    return read_number(timed.frame.to_ndarray(format="rgb24"))


def numbers_in_chunks(path: Path, info: dict[str, Any]) -> list[int]:
    """The number of every frame, chunk by chunk, after each chunk was found equal to the decode of the whole."""
    parts = [seen(decoded(path, info, chunk)[1]) for chunk in info["video"]["chunks"]]
    assert [each for part in parts for each in part] == seen(decoded(path, info, whole(info))[1])
    return [each[2] for part in parts for each in part]


def heard(path: Path, info: dict[str, Any], track: int = 0) -> tuple[np.ndarray, TrackDecoder]:
    """A track's first channel on the output timeline, as the sound pass decodes it."""
    told = sound_unit_parameters(info, {}, str(track))
    start_s = from_rational(told["audio"]["start"])
    end_s = start_s + from_rational(told["audio"]["duration"])
    decoder = TrackDecoder(path, told["audio"], from_rational(told["origin"]), start_s, end_s, splices_in(told))
    return np.concatenate(list(decoder.blocks()), axis=1)[0], decoder


def onset_s(samples: np.ndarray, hz: float, after_s: float = 0.0) -> float:
    """When a tone of `hz` is first there at half its level, looked for in steps of 1 ms from `after_s` on."""
    length = RATE_HZ // 100
    wave = np.exp(-2j * np.pi * hz * np.arange(length) / RATE_HZ)
    for at in range(int(after_s * RATE_HZ), len(samples) - length, RATE_HZ // 1000):
        if abs(samples[at : at + length] @ wave) * 2 / length > 0.125:
            return at / RATE_HZ
    raise AssertionError(f"no tone of {hz} Hz")


@pytest.mark.parametrize("form", FORMS)
def test_a_joined_file_lasts_as_long_as_its_pieces_together(tmp_path: Path, form: str) -> None:
    pieces = [piece(tmp_path / str(n), frames=frames, hz=440, **FORMS[form]) for n, frames in enumerate((100, 75))]
    info = facts_of(joined(tmp_path / "x", *pieces))
    video = info["video"]
    assert (video["frame_count"], video["frame_rate_kind"], video["longest_gap"]) == (175, "constant", 3600)
    assert Fraction(video["end"] - video["start"], video["timescale"]) == 7
    assert duration_s(info) == pytest.approx(7, abs=0.05)
    assert float(from_rational(info["audio"][0]["duration"])) == pytest.approx(7, abs=0.05)
    assert len(info["splices"]) == 1
    assert info["damage"]["packets_corrupt"] == info["damage"]["decode_errors"] == 0
    assert "joined from 2 pieces" in " ".join(info["damage"]["notes"])


@pytest.mark.parametrize("coded", CODED)
def test_chunks_of_a_joined_file_hold_every_frame_of_every_piece_once(tmp_path: Path, coded: dict[str, Any]) -> None:
    lengths = (100, 85, 90)
    pieces = [piece(tmp_path / str(n), frames=frames, **coded) for n, frames in enumerate(lengths)]
    path = joined(tmp_path / "x", *pieces)
    info = clip_info(path, target_s=1)
    assert len(info["splices"]) == 2
    assert len(info["video"]["chunks"]) >= 10
    assert numbers_in_chunks(path, info) == [n for frames in lengths for n in range(frames)]
    assert info["video"]["frame_count"] == sum(lengths)


@dataclass
class Seeks:
    """A container that remembers where it was sent."""

    container: Any
    seeks: list[tuple[int, bool]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)

    def seek(self, offset: int, **more: Any) -> None:
        self.seeks.append((offset, bool(more.get("unsupported_byte_offset"))))
        self.container.seek(offset, **more)


@pytest.mark.parametrize("coded", CODED)
def test_a_chunk_is_read_from_near_its_own_place_in_the_file(tmp_path: Path, coded: dict[str, Any]) -> None:
    """Times are there twice: by time a reader would land in the wrong piece, from the start it would read it all."""
    path = joined(tmp_path / "x", *(piece(tmp_path / str(n), **coded) for n in range(2)))
    info = clip_info(path, target_s=1)
    chunk = info["video"]["chunks"][-1]
    with open_media(path) as container:
        sent: Any = Seeks(container)
        reader = ChunkReader(
            sent, info["video"], from_rational(info["origin"]), chunk, lead_in=2, splices=splices_in(info)
        )
        frames = list(reader.frames())
    assert [number(timed) for timed in frames] == list(range(73, 100))
    assert sent.seeks == [(chunk["seek"]["position"], True)]
    assert chunk["seek"]["position"] > info["splices"][0]["position"]
    assert chunk["on_key_frame"]
    assert 0 <= chunk["seek"]["pts"] - chunk["seek"]["dts"] < S
    assert reader.damage.decode_errors == 0


def test_a_reader_that_must_begin_again_begins_at_the_first_byte(tmp_path: Path) -> None:
    """By time, the file's start is wherever a binary search over repeating times ends."""
    path = joined(tmp_path / "x", *(piece(tmp_path / str(n), container="mpegts") for n in range(3)))
    info = clip_info(path, target_s=1)
    chunk = {**info["video"]["chunks"][-2], "seek": {"pts": 0, "dts": 0, "position": path.stat().st_size - 188}}
    with open_media(path) as container:
        sent: Any = Seeks(container)
        reader = ChunkReader(sent, info["video"], from_rational(info["origin"]), chunk, splices=splices_in(info))
        frames = list(reader.frames())
    assert [number(timed) for timed in frames] == list(range(50, 75))
    assert sent.seeks == [(path.stat().st_size - 188, True), (0, True)]


@pytest.mark.parametrize("form", FORMS)
def test_the_sound_of_every_piece_is_heard_when_its_pictures_are_seen(tmp_path: Path, form: str) -> None:
    pieces = [
        piece(
            tmp_path / str(n), hz=hz, audio_start_s=Fraction(1, 2), audio_duration_s=Fraction(3), **FORMS[form]
        )
        for n, hz in enumerate(TONES_HZ)
    ]  # fmt: skip
    path = joined(tmp_path / "x", *pieces)
    info = clip_info(path, target_s=1)
    samples, decoder = heard(path, info)
    frames = seen(decoded(path, info, whole(info))[1])
    begins_s = [ticks / info["video"]["timescale"] for ticks, _, shown in frames if shown == 0]
    assert np.diff(begins_s).tolist() == [4, 4]
    for begin_s, hz in zip(begins_s, TONES_HZ, strict=True):
        assert onset_s(samples, hz) == pytest.approx(begin_s + 0.5, abs=ONSET_S)
    assert decoder.damage.gaps == []
    assert [round((end - start) / RATE_HZ, 1) for start, end in decoder.damage.holes] == [1.0, 1.0]


@pytest.mark.parametrize(("codec", "container"), [("aac", "mpegts"), ("mp2", "mpegts"), ("mp2", "mpeg")])
def test_sound_alone_goes_on_without_a_hole_where_pieces_meet(tmp_path: Path, codec: str, container: str) -> None:
    pieces = [
        write_sound(tmp_path / str(n), tone([(3, -12)], hz=hz), codec=codec, container=container)
        for n, hz in enumerate(TONES_HZ)
    ]
    path = joined(tmp_path / "x", *pieces)
    info = facts_of(path)
    assert (info["kind"], len(info["splices"])) == ("audio", 2)
    assert duration_s(info) == pytest.approx(9, abs=0.1)
    samples, decoder = heard(path, info)
    assert decoder.damage.holes == decoder.damage.gaps == []
    assert decoder.damage.samples_overlapping == 0
    for n, hz in enumerate(TONES_HZ):
        whole_piece_s = info["duration"]["ticks"] / info["duration"]["timescale"] / 3
        assert onset_s(samples, hz) == pytest.approx(n * whole_piece_s, abs=ONSET_S)


def test_a_piece_without_sound_is_silent_and_the_next_one_is_heard_in_time(tmp_path: Path) -> None:
    pieces = [piece(tmp_path / str(n), hz=hz, container="mpegts") for n, hz in enumerate((440.0, 0.0, 1000.0))]
    path = joined(tmp_path / "x", *pieces)
    info = clip_info(path, target_s=1)
    assert numbers_in_chunks(path, info) == [*range(100)] * 3
    samples, _ = heard(path, info)
    assert not np.abs(samples[int(4.1 * RATE_HZ) : int(7.9 * RATE_HZ)]).max() > 0.001
    assert onset_s(samples, 1000, after_s=4) == pytest.approx(8 + from_start_s(info), abs=ONSET_S)


def from_start_s(info: dict[str, Any]) -> float:
    return float(info["video"]["start"] / info["video"]["timescale"])


def test_sound_that_comes_only_with_the_second_piece_is_in_time(tmp_path: Path) -> None:
    pieces = [piece(tmp_path / str(n), hz=hz, container="mpegts") for n, hz in enumerate((0.0, 1000.0))]
    path = joined(tmp_path / "x", *pieces)
    info = facts_of(path)
    assert (info["video"]["frame_count"], len(info["audio"])) == (200, 1)
    assert onset_s(heard(path, info)[0], 1000) == pytest.approx(4 + from_start_s(info), abs=ONSET_S)


def test_sound_that_outlasts_the_picture_of_its_piece_is_not_cut(tmp_path: Path) -> None:
    first = piece(tmp_path / "0", hz=440, frames=50, audio_duration_s=Fraction(4), container="mpegts")
    path = joined(tmp_path / "x", first, piece(tmp_path / "1", hz=1000, container="mpegts"))
    info = facts_of(path)
    samples, decoder = heard(path, info)
    assert decoder.damage.samples_overlapping == 0
    assert info["video"]["longest_gap"] == pytest.approx(2.06 * S, abs=0.05 * S)
    second = next(each for each in seen(decoded(path, info, whole(info))[1])[50:] if each[2] == 0)
    assert onset_s(samples, 1000) == pytest.approx(second[0] / S, abs=ONSET_S)


def test_pieces_of_other_sizes_are_shown_in_the_size_of_the_first(tmp_path: Path) -> None:
    sizes = ((320, 240), (160, 120), (426, 240))
    pieces = [
        piece(tmp_path / str(n), width=width, height=height, frames=50, container="mpegts")
        for n, (width, height) in enumerate(sizes)
    ]
    path = joined(tmp_path / "x", *pieces)
    info = clip_info(path, target_s=1)
    assert (info["video"]["width"], info["video"]["height"]) == sizes[0]
    made = make_products(path, tmp_path / "made", info, [*ladder_plan.plan(info, {}), *samples_plan.plan(info, {})])
    frames = {name: item.facts["frames"] for name, item in made.items() if name.startswith("ladder/240")}
    assert sum(frames.values()) == 150
    shapes = [(timed.frame.width, timed.frame.height) for timed in decoded(path, info, whole(info))[1]]
    assert shapes == [size for size in sizes for _ in range(50)]


def test_both_passes_over_a_joined_file_satisfy_their_contracts(tmp_path: Path) -> None:
    path = joined(tmp_path / "x", *(piece(tmp_path / str(n), hz=440, container="mpegts") for n in range(2)))
    info = clip_info(path, target_s=1)
    made = make_products(path, tmp_path / "made", info, ladder_plan.plan(info, {}))
    products = {name: dict(item.facts) for name, item in made.items()}
    assert {json.dumps(facts["damage"]) for facts in products.values()} == {
        '{"decode_errors": 0, "corrupt_frames": 0, "gaps": []}'
    }
    task = Task(operation="", parameters={"products": products, "info": info}, scratch=tmp_path)
    sound = run_pass(path, tmp_path, info=info)
    verdicts = [*chunks_contract.contract(task), *index_verdicts(sound)]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.PASSED}


def test_every_output_of_a_joined_file_has_all_of_it(house: House, tmp_path: Path) -> None:
    pieces = [piece(tmp_path / str(n), hz=hz, container="mpegts") for n, hz in enumerate((440, 1000))]
    (registration,) = take_in(house, joined(tmp_path / "joined.ts", *pieces))
    make(house, registration)
    entry = source_entry(house.ledger, house.store, house.ledger.source(registration.source_key))
    assert entry["state"] == AssetState.READY
    facts = {
        name: house.store.find(name, asset["recipe_hash"]).facts  # type: ignore[union-attr]
        for name, asset in entry["assets"].items()
        if asset["recipe_hash"]
    }
    assert facts["proxy"]["frames"] == 200
    lengths = {
        "proxy": facts["proxy"]["audio"],
        "hls": facts["hls"]["audio"][0],
        "waveform": facts["waveform"]["tracks"][0],
    }
    for name, field_name in (("proxy", "samples"), ("hls", "end"), ("waveform", "samples")):
        assert lengths[name][field_name] / RATE_HZ == pytest.approx(8, abs=0.05), name


def test_marks_of_damage_that_only_say_where_pieces_meet_are_taken_back(tmp_path: Path) -> None:
    """Transport packets are counted from 0 to 15 in each stream; libavformat calls a picture before a break corrupt."""
    path = joined(tmp_path / "x", *(piece(tmp_path / str(n), container="mpegts") for n in range(3)))
    with av.open(str(path)) as container:
        assert any(packet.is_corrupt for packet in container.demux(video=0))
    info = clip_info(path, target_s=1)
    assert info["damage"]["packets_corrupt"] == 0
    for chunk in info["video"]["chunks"]:
        damage = decoded(path, info, chunk)[0].damage
        assert (damage.decode_errors, damage.corrupt_frames) == (0, 0)


def test_marks_of_damage_elsewhere_in_a_joined_file_stay(tmp_path: Path) -> None:
    first = piece(tmp_path / "0", container="mpegts")
    data = bytearray(first.read_bytes())
    middle = len(data) // 2 // 188 * 188
    del data[middle : middle + 3 * 188]
    first.write_bytes(data)
    path = joined(tmp_path / "x", first, piece(tmp_path / "1", container="mpegts"))
    with av.open(str(path)) as container:
        hurt = sum(packet.is_corrupt for packet in container.demux(video=0) if (packet.pos or 0) < 0.9 * len(data))
    assert hurt > 0
    info = facts_of(path)
    assert info["damage"]["packets_corrupt"] == hurt
    assert decoded(path, info, whole(info))[0].damage.decode_errors >= hurt


def cut_open(path: Path, whole_piece: Path, *, after_frames: int) -> Path:
    """A recording that began in the middle: transport packets from the given picture's on."""
    with av.open(str(whole_piece)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(whole_piece.read_bytes()[places[after_frames] :])
    return path


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_pictures_that_refer_to_what_was_cut_away_are_not_counted(tmp_path: Path, codec: str) -> None:
    """They would be smears over the last picture of the piece before; after a missed one, `chunks` lost frames."""
    first = piece(tmp_path / "0", codec=codec, container="mpegts")
    second = cut_open(tmp_path / "1", piece(tmp_path / "y", codec=codec, container="mpegts"), after_frames=10)
    path = joined(tmp_path / "x", first, second)
    info = clip_info(path, target_s=1)
    shown = numbers_in_chunks(path, info)
    assert shown[:100] == list(range(100))
    assert shown[100:] == list(range(shown[100], 100))
    assert 20 < shown[100] < 30
    assert info["video"]["frame_count"] == len(shown)
    assert info["video"]["longest_gap"] > 10 * 3600


def test_only_pieces_that_may_hide_pictures_are_looked_into_and_the_middle_and_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look decodes twelve pictures; a night of a camera's files would take minutes."""
    looked: list[int] = []
    look = Sampler.from_position

    def counted(sampler: Sampler, position: int) -> dict[int, int]:
        looked.append(position)
        return look(sampler, position)

    monkeypatch.setattr(Sampler, "from_position", counted)
    info = facts_of(joined(tmp_path / "x", *[piece(tmp_path / "0", frames=25, container="mpegts")] * 8))
    assert looked == [info["splices"][3]["position"], info["splices"][6]["position"]]


def test_what_later_pieces_look_like_counts_for_the_whole(tmp_path: Path) -> None:
    plain = {"codec": "mpeg2video", "container": "mpegts", "b_frames": 0}
    fields = piece(tmp_path / "1", field_order="tff", codec_options={"flags": "+ildct+ilme"}, **plain)
    info = facts_of(joined(tmp_path / "x", piece(tmp_path / "0", **plain), fields))
    assert info["video"]["interlaced"] == "mixed"


def test_a_first_piece_of_a_few_pictures_keeps_the_start_of_the_timeline(tmp_path: Path) -> None:
    """What is decoded to find the first picture runs into the next piece, which may count from less."""
    times = [range(first * S, (first + 2) * S, S // 5) for first in (5, 0)]
    pieces = [
        piece(tmp_path / str(n), pts=pts, time_base=Fraction(1, S), rate=5, container="mpegts")
        for n, pts in enumerate(times)
    ]
    info = facts_of(joined(tmp_path / "x", *pieces))
    assert len(info["splices"]) == 1
    assert (info["video"]["start"], info["video"]["frame_count"], duration_s(info)) == (0, 20, 4)


def test_of_two_pictures_the_one_with_more_frames_says_how_pieces_follow(tmp_path: Path) -> None:
    path = tmp_path / "0"
    with av.open(str(path), "w", format="mpegts") as output:
        streams: list[Any] = [output.add_stream("libx264", rate=25, options={"bf": "0"}) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for n in range(100):
            for stream in streams if n in (0, 25, 50) else streams[1:]:
                frame = av.VideoFrame.from_ndarray(numbered_picture(n, 160, 120), format="rgb24")
                frame.pts, frame.time_base = n, Fraction(1, 25)
                output.mux(stream.encode(frame.reformat(format="yuv420p")))
        for stream in streams:
            output.mux(stream.encode(None))
    (splice,) = facts_of(joined(tmp_path / "x", path, path))["splices"]
    assert splice["time"] - splice["source_time"] == 4 * S


def test_a_piece_a_minute_earlier_than_the_first_one_follows_it_too(tmp_path: Path) -> None:
    """libavformat takes such times for a clock that ran over and adds 26.5 hours."""
    late = piece(tmp_path / "0", pts=range(120 * S, 124 * S, 3600), time_base=Fraction(1, S), container="mpegts")
    path = joined(tmp_path / "x", late, piece(tmp_path / "1", container="mpegts"))
    info = clip_info(path, target_s=1)
    assert duration_s(info) == 8
    assert numbers_in_chunks(path, info) == [*range(100)] * 2


def test_a_clock_that_runs_over_is_no_splice(tmp_path: Path) -> None:
    near = range(CLOCK - S, CLOCK + 3 * S, 3600)
    info = facts_of(piece(tmp_path / "x", pts=near, time_base=Fraction(1, S), container="mpegts"))
    assert "splices" not in info
    assert info["video"]["frame_count"] == 100
    assert duration_s(info) == 4


def test_a_hole_in_time_stays_a_hole(tmp_path: Path) -> None:
    """A recording that was paused, or pieces that count on: the pause is part of what was recorded."""
    later = piece(tmp_path / "1", pts=range(10 * S, 14 * S, 3600), time_base=Fraction(1, S), container="mpegts")
    info = facts_of(joined(tmp_path / "x", piece(tmp_path / "0", container="mpegts"), later))
    assert "splices" not in info
    assert duration_s(info) == pytest.approx(14, abs=0.1)


def test_facts_and_recipes_of_a_file_of_one_piece_say_nothing_of_splices(tmp_path: Path) -> None:
    info = clip_info(piece(tmp_path / "x", hz=440, container="mpegts"), target_s=1)
    assert "splices" not in info
    assert {tuple(chunk["seek"]) for chunk in info["video"]["chunks"]} == {("pts", "dts")}
    assert "splices" not in unit_parameters(info, {}, "00000")
    assert "splices" not in sound_unit_parameters(info, {}, "0")


def test_recipes_of_a_joined_file_hold_its_splices(tmp_path: Path) -> None:
    info = facts_of(joined(tmp_path / "x", *(piece(tmp_path / str(n), hz=440, container="mpegts") for n in range(2))))
    for parameters in (unit_parameters(info, {}, "00000"), sound_unit_parameters(info, {}, "0")):
        assert parameters["splices"] == info["splices"]


def test_a_chained_ogg_is_read_as_it_always_was(tmp_path: Path) -> None:
    """Only MPEG's stream formats are followed: their clock ticks alike in every track and a byte parts the pieces."""
    path = joined(tmp_path / "x", *(make_audio(tmp_path / str(n), container="ogg", codec="flac") for n in range(2)))
    with open_media(path) as container:
        scan = scan_packets(container)
    assert np.diff(scan.tracks[0].pts).min() < -RATE_HZ
    assert scan.splices == ()


def test_places_of_packets_are_forgotten_where_nothing_is_joined(tmp_path: Path) -> None:
    """They are a third of what a scan holds, and an hour of video must stay below 10 MB."""
    with open_media(piece(tmp_path / "x", container="mpegts")) as container:
        track = scan_packets(container).tracks[0]
    assert len(track.position) == len(track.key_position) == len(track.corrupt_position) == 0


@dataclass
class Seen:
    """What a watch looks at of a packet."""

    stream_index: int
    dts: int | None
    pos: int | None


def watched(*tracks: Sequence[tuple[int, int | None]], counts: bool = True) -> list[int]:
    """The joints found in tracks of (dts, position), each track's packets in file order."""
    watch = Watch()
    for index, packets in enumerate(tracks):
        for dts, pos in packets:
            watch.see(Seen(index, dts, pos), counts=counts)  # type: ignore[arg-type]
    return watch.joints()


def steps(first: int, count: int, *, at: int, step: int = 3600, every: int = 1000) -> list[tuple[int, int | None]]:
    return [(first + n * step, at + n * every) for n in range(count)]


def test_the_joint_is_where_the_first_track_starts_again() -> None:
    pictures = [*steps(0, 50, at=0), *steps(0, 50, at=50_000)]
    sound = [*steps(0, 70, at=200, every=700), *steps(0, 70, at=50_200, every=700)]
    assert watched(pictures, sound) == [50_000]
    assert watched(sound, pictures) == [50_000]
    later = [*steps(0, 50, at=0), *steps(0, 50, at=50_500)]
    assert watched(later, sound) == watched(sound, later) == [50_200]


def test_a_track_that_was_silent_for_a_piece_comes_back_with_the_later_one() -> None:
    pictures = [*steps(0, 50, at=0), *steps(0, 50, at=50_000), *steps(0, 50, at=100_400)]
    sound = [*steps(0, 50, at=300), *steps(0, 50, at=100_100)]
    assert watched(pictures, sound) == [50_000, 100_100]


def test_damaged_and_unordered_times_make_no_joint() -> None:
    high, low, back = steps(0, 100, at=0), steps(10**6, 100, at=0), steps(10**6, 100, at=0)
    high[50] = (high[50][0] + 10 * FALL, high[50][1])
    low[50] = (0, low[50][1])
    back[50:52] = [(dts - FALL, at) for dts, at in back[50:52]]  # type: ignore[operator]
    for packets in (high, low, back):
        assert watched(packets) == []


def test_times_of_subtitles_are_no_evidence() -> None:
    assert watched([*steps(0, 50, at=0), *steps(0, 50, at=50_000)], counts=False) == []


def test_packets_of_one_place_have_no_joint_between_them() -> None:
    assert watched([*steps(0, 50, at=0, every=0), *steps(-10 * S, 50, at=0, every=0)]) == []


def test_a_fall_that_reordering_could_explain_is_no_joint() -> None:
    before = steps(9 * S, 10, at=0, step=0)
    assert watched([*before, *steps(9 * S - S // 2, 10, at=10_000, step=0)]) == []
    assert watched([*before, *steps(9 * S - S // 2 - 1, 10, at=10_000, step=0)]) == [10_000]


@dataclass
class Packets:
    """A track as `lay_out` sees it."""

    pts: array[int]
    duration: array[int]
    position: array[int]


def track(packets: Sequence[tuple[int, int | None]], duration: int = 3600) -> Packets:
    pts, positions = zip(*packets, strict=True)
    return Packets(array("q", pts), array("q", [duration] * len(packets)), array("q", positions))


def test_a_fall_of_one_track_while_another_goes_on_is_left_alone() -> None:
    """That is a track with damaged times; moving the sound along with it would break what was in sync."""
    pictures = track([*steps(0, 50, at=0), *steps(0, 50, at=50_000)])
    sound = track(steps(0, 100, at=500))
    assert len(lay_out([50_000], pictures, [])) == 1
    assert lay_out([50_000], pictures, [sound]) == ()


def test_a_file_of_more_pieces_than_can_be_followed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile packets could make a piece of every six; facts, recipes and time must stay bounded."""
    path = joined(tmp_path / "x", *(piece(tmp_path / str(n), frames=50, container="mpegts") for n in range(3)))
    monkeypatch.setattr(splices, "MOST_PIECES", 2)
    info = facts_of(path)
    assert "splices" not in info
    assert "starts again in 2 places" in " ".join(info["damage"]["notes"])


def test_a_note_of_pieces_stays_a_sentence(tmp_path: Path) -> None:
    one = piece(tmp_path / "0", frames=25, container="mpegts")
    info = facts_of(joined(tmp_path / "x", *[one] * 12))
    assert len(info["splices"]) == 11
    (note,) = info["damage"]["notes"]
    assert "1.0 s, 2.0 s, 3.0 s, 4.0 s, 5.0 s, 6.0 s, 7.0 s, 8.0 s, ..." in note


extents = st.one_of(
    st.none(), st.builds(lambda start, length: (start, start + length), st.integers(0, 9 * S), st.integers(1, 9 * S))
)


@given(st.lists(st.tuples(extents, extents, extents), min_size=1, max_size=6))
def test_no_picture_overlaps_the_one_before_and_no_sound_is_cut_by_more_than_two_frames(
    pieces: list[tuple[Extent, Extent, Extent]],
) -> None:
    pictures, *sounds = (list(column) for column in zip(*pieces, strict=True))
    shifts = follow_on(pictures, sounds)
    assert shifts[0] == 0
    for column, most in ((pictures, 0), (sounds[0], MOST_OVERLAP), (sounds[1], MOST_OVERLAP)):
        ends = -(10**18)
        for extent, shift in zip(column, shifts, strict=True):
            if extent:
                assert extent[0] + shift >= ends - most
                ends = max(ends, extent[1] + shift)


def test_pictures_follow_each_other_exactly_where_no_sound_is_in_the_way() -> None:
    pictures: list[Extent] = [(7200, 4 * S + 7200), (7200, 3 * S + 7200), (0, S)]
    sounds: list[Extent] = [(5280, 4 * S + 7200 + 1920), (5280, 3 * S), (0, S)]
    assert follow_on(pictures, [sounds]) == [0, 4 * S, 7 * S + 7200]


def test_the_last_picture_of_a_piece_lasts_as_long_as_the_others_whatever_its_packet_says() -> None:
    pictures = track([*steps(0, 50, at=0), *steps(0, 50, at=50_000)], duration=1)
    (splice,) = lay_out([50_000], pictures, [])
    assert (splice.source_time, splice.time) == (0, 50 * 3600)


def test_a_column_of_times_is_mended_piece_by_piece() -> None:
    times, places = array("q", [10, NO_TIME, 20, 0, NO_TIME, 5, 0]), array("q", [0, 0, 5, 10, 10, 19, 20])
    joints = (Splice(10, 0, 100, 0), Splice(20, 0, 200, 0))
    assert mended(times, places, joints).tolist() == [10, NO_TIME, 20, 100, NO_TIME, 105, 200]


def test_a_reader_of_one_piece_gets_its_packets_as_they_are() -> None:
    packets: list[Any] = [object()]
    assert list(Mender(()).packets(packets)) == packets


def test_a_piece_without_pictures_is_heard_before_the_next_one_is_shown() -> None:
    pictures: list[Extent] = [(0, 4 * S), None, (0, 4 * S)]
    assert follow_on(pictures, [[(0, 4 * S), (0, 3 * S), None]]) == [0, 4 * S, 7 * S]


@pytest.mark.parametrize("form", FORMS)
def test_packets_come_on_one_clock_with_an_empty_one_where_a_decoder_must_begin_anew(tmp_path: Path, form: str) -> None:
    path = joined(tmp_path / "x", *(piece(tmp_path / str(n), hz=440, **FORMS[form]) for n in range(3)))
    joints = splices_in(facts_of(path))
    with open_media(path) as container:
        streams = container.streams
        packets = [
            (packet.stream.index, packet.size, packet.dts, packet.time_base)
            for packet in Mender(joints).packets(container.demux(streams.video[0], streams.audio[0]))
        ]
    for index in (0, 1):
        mine = [packet for packet in packets if packet[0] == index]
        assert [size for _, size, _, _ in mine].count(0) == len(joints) + 1
        times = [dts for _, size, dts, _ in mine if size]
        assert max(np.abs(np.diff(times))) < S // 4
        assert {time_base for _, _, _, time_base in mine} == {Fraction(1, S)}


def test_reading_starts_two_places_of_key_frames_earlier() -> None:
    assert entry_positions([10, 20, 30, 30, 40]).tolist() == [0, 0, 10, 10, 20]


def test_a_splice_survives_its_facts() -> None:
    splice = Splice(188, 90_000, 450_000, 94)
    assert Splice.from_json(json.loads(json.dumps(splice.to_json()))) == splice
    assert splice.placed(90_000 + 3600) == 453_600
    assert splice.placed(CLOCK + 90_000 - 3600) == 446_400


def facts_task(file: Path, scratch: Path) -> Task:
    task = source_task(file, scratch, parameters=planning.parameters({}, {}))
    return replace(task, made=as_input("media_info", task.out, media_info.make(task).facts))


def changes() -> Iterator[Any]:
    yield lambda joints: joints[0].update(position=10**9)
    yield lambda joints: joints[1].update(position=joints[0]["position"])
    yield lambda joints: joints[1].update(time=joints[0]["time"])
    yield lambda joints: joints[0].update(doubted=joints[0]["position"] + 1)


@pytest.mark.parametrize("change", [lambda joints: None, *changes()])
def test_the_contract_of_facts_notices_splices_that_are_bent(tmp_path: Path, change: Any) -> None:
    path = joined(tmp_path / "x", *(piece(tmp_path / str(n), frames=50, container="mpegts") for n in range(3)))
    task = facts_task(path, tmp_path / "scratch")
    info = json.loads(json.dumps(dict(task.made.facts)))  # type: ignore[union-attr]
    change(info["splices"])
    (task.out / planning.FILE).write_text(json.dumps(info), encoding="utf-8")
    verdicts = contract(replace(task, made=as_input("media_info", task.out, info)))
    bent = info["splices"] != task.made.facts["splices"]  # type: ignore[union-attr]
    assert [verdict.clause for verdict in verdicts if verdict.outcome is Outcome.FAILED] == ["splices"] * bent
