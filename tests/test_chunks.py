"""The pass over moving pictures: every frame once, in order, whatever the container does with time."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from processing.chunks.chunk_pass import make_unit
from processing.chunks.decode import ChunkReader, Place, Timed
from processing.contracts.chunks import contract
from processing.failures import BadInput
from processing.manifest import Outcome
from processing.picture import ladder_plan, samples_plan
from processing.probe.opening import open_media
from processing.timeline import from_rational
from processing.work import Task
from tests.corpus import corpus_file, rows
from tests.media import as_input, make_vfr, make_video, read_number
from tests.media_picture import broken, clip_info, judge_unit, make_products, unit_task, unit_verdicts

QUICK_MEGAPIXELS = 60  # of all frames together: real files above this are left to the slow run


def megapixels(row: dict[str, str]) -> float:
    frames = int(row["traits"].split("frames_decoded=")[1].split(";")[0])
    return int(row["width"]) * int(row["height"]) * frames / 1e6


VIDEO_FILES = [
    pytest.param(row["path"], marks=[pytest.mark.slow] if megapixels(row) > QUICK_MEGAPIXELS else [])
    for row in rows()
    if row["kind"] == "video" and row["expected"] == "ok"
]


def decoded(path: Path, info: dict[str, Any], chunk: dict[str, Any], **more: int) -> tuple[ChunkReader, list[Timed]]:
    with open_media(path) as container:
        reader = ChunkReader(container, info["video"], from_rational(info["origin"]), chunk, **more)
        return reader, list(reader.frames())


def whole(info: dict[str, Any]) -> dict[str, Any]:
    video = info["video"]
    return {"start": video["start"], "end": video["end"], "seek": {"pts": None, "dts": None}}


def fingerprint(frame: av.VideoFrame) -> str:
    return hashlib.sha256(frame.to_ndarray(format="rgb24", threads=1).tobytes()).hexdigest()


def seen(frames: list[Timed]) -> list[tuple[int, int, str]]:
    return [(timed.ticks, timed.duration, fingerprint(timed.frame)) for timed in frames if timed.place is Place.INSIDE]


def assert_chunks_equal_the_whole(path: Path, info: dict[str, Any]) -> None:
    _, expected = decoded(path, info, whole(info))
    parts = [item for chunk in info["video"]["chunks"] for item in seen(decoded(path, info, chunk)[1])]
    assert parts == seen(expected)
    assert len(parts) == info["video"]["frame_count"]


@pytest.mark.parametrize("relative", VIDEO_FILES)
def test_the_chunks_of_a_real_file_hold_every_frame_exactly_once(relative: str) -> None:
    path = corpus_file(relative)
    info = clip_info(path, target_s=1)
    if len(info["video"]["chunks"]) > 60:
        info = clip_info(path)  # decoding from far-off key frames for every second would take minutes
    assert_chunks_equal_the_whole(path, info)


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mpegts", {}),
        ("libx264", "mp4", {"x264-params": "keyint=24:min-keyint=24:open-gop=1:scenecut=0"}),
        ("libx264", "mpegts", {"x264-params": "keyint=24:min-keyint=24:open-gop=1:scenecut=0"}),
        ("libx264", "matroska", {}),
        ("mpeg2video", "mpegts", {"flags": "-cgop"}),
        ("libx265", "mpegts", {"x265-params": "log-level=none:keyint=24:open-gop=1:pools=none"}),
    ],
)
def test_chunks_hold_every_frame_once_with_open_groups_and_transport_streams(
    tmp_path: Path, codec: str, container: str, options: dict[str, str]
) -> None:
    path = make_video(
        tmp_path / "clip", frames=130, codec=codec, container=container, key_every=24, codec_options=options
    )
    info = clip_info(path, target_s=1)
    assert len(info["video"]["chunks"]) >= 4
    assert_chunks_equal_the_whole(path, info)


def test_frames_of_a_variable_rate_last_until_the_next_one_over_a_hole(tmp_path: Path) -> None:
    path = make_vfr(tmp_path / "vfr.mp4")
    info = clip_info(path, target_s=1)
    assert_chunks_equal_the_whole(path, info)
    _, frames = decoded(path, info, whole(info))
    assert sum(timed.duration for timed in frames) == info["video"]["end"] - info["video"]["start"]
    assert max(timed.duration for timed in frames) > 180_000
    numbers = [read_number(timed.frame.to_ndarray(format="rgb24")) for timed in frames]
    assert numbers == list(range(60))


def test_lead_in_and_lead_out_frames_are_the_neighbours(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=75, key_every=25)
    info = clip_info(path, target_s=1)
    chunk = info["video"]["chunks"][1]
    _, frames = decoded(path, info, chunk, lead_in=2, lead_out=1)
    places = [timed.place for timed in frames]
    assert places[:2] == [Place.LEAD_IN, Place.LEAD_IN]
    assert places[-1] is Place.LEAD_OUT
    assert places.count(Place.INSIDE) == 25
    numbers = [read_number(timed.frame.to_ndarray(format="rgb24")) for timed in frames]
    assert numbers == list(range(23, 51))


def test_damaged_packets_are_counted_and_what_they_hid_is_reported_as_a_gap(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=50, codec="mpeg4", key_every=1, b_frames=0)
    info = clip_info(path)
    data = bytearray(path.read_bytes())
    with open_media(path) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in places[20:25]:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    reader, frames = decoded(path, info, whole(info))
    assert reader.damage.decode_errors >= 5
    assert len(frames) == 45
    gap = reader.damage.gaps[0]
    assert Fraction(gap["end"] - gap["start"], gap["timescale"]) == Fraction(5, 25)


def test_a_chunk_without_any_frame_holds_the_picture_before_it(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=25)
    info = clip_info(path)
    end = info["video"]["end"]
    chunk = {"start": end, "end": end + 9000, "seek": {"pts": None, "dts": None}}
    reader, frames = decoded(path, info, chunk)
    assert [(timed.ticks, timed.duration) for timed in frames] == [(end, 9000)]
    assert read_number(frames[0].frame.to_ndarray(format="rgb24")) == 24
    assert reader.damage.gaps == [{"start": end, "end": end + 9000, "timescale": info["video"]["timescale"]}]


def test_a_source_without_a_single_picture_is_bad_input(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=10, codec="mpeg4", key_every=1, b_frames=0)
    info = clip_info(path)
    data = bytearray(path.read_bytes())
    with open_media(path) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in places:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(BadInput, match="no picture could be decoded"):
        decoded(path, info, whole(info))


def test_one_pass_feeds_all_taps(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=60, width=640, height=480)
    info = clip_info(path)
    planned = [*ladder_plan.plan(info, {}), *samples_plan.plan(info, {})]
    task = unit_task(path, tmp_path / "scratch", info, "00000", planned)
    result = make_unit(task)
    assert sorted(result.product_facts) == ["ladder/360/00000", "ladder/480/00000", "samples/00000"]
    assert result.encoder_calls == 2
    assert {facts["frames"] for facts in result.product_facts.values()} == {60}
    assert broken(unit_verdicts(task, result)) == []


@pytest.fixture(scope="module")
def made_unit(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("unit")
    path = make_video(folder / "clip.mp4", frames=60, width=640, height=360)
    info = clip_info(path, target_s=1)
    planned = [*ladder_plan.plan(info, {}), *samples_plan.plan(info, {})]
    task = unit_task(path, folder / "scratch", info, "00001", planned)
    result = make_unit(task)
    other_task = unit_task(path, folder / "other", info, "00000", planned)
    other = make_unit(other_task)
    make = lambda t, r: {name: as_input(name, t.product_folder(name), facts) for name, facts in r.product_facts.items()}  # noqa: E731
    return task, make(task, result), make(other_task, other), path


def spoiled(task: Task, made: dict[str, Any], name: str, file: str, data: bytes, folder: Path) -> list[str]:
    import shutil

    shutil.copytree(made[name].folder, folder, dirs_exist_ok=True)
    (folder / file).write_bytes(data)
    return broken(judge_unit(task, {**made, name: as_input(name, folder, made[name].facts)}))


def test_the_contract_of_a_unit_refuses_a_truncated_chunk(made_unit: Any, tmp_path: Path) -> None:
    task, made, _, _ = made_unit
    name = "ladder/360/00001"
    data = made[name].path("chunk.mp4").read_bytes()
    assert spoiled(task, made, name, "chunk.mp4", data[: len(data) // 2], tmp_path / "x")


def test_the_contract_of_a_unit_refuses_another_chunk_in_its_place(made_unit: Any, tmp_path: Path) -> None:
    task, made, other, _ = made_unit
    data = other["ladder/360/00000"].path("chunk.mp4").read_bytes()
    clauses = spoiled(task, made, "ladder/360/00001", "chunk.mp4", data, tmp_path / "x")
    assert "ladder/360/00001: presentation times inside the chunk" in clauses


def test_the_contract_of_a_unit_refuses_a_black_picture_with_the_right_times(made_unit: Any, tmp_path: Path) -> None:
    task, made, _, _ = made_unit
    name = "ladder/360/00001"
    black = encoded_again_black(made[name].path("chunk.mp4"), tmp_path / "black.mp4", made[name].facts)
    clauses = spoiled(task, made, name, "chunk.mp4", black, tmp_path / "x")
    assert f"{name}: key frames show what was encoded" in clauses


def encoded_again_black(path: Path, to: Path, facts: Any) -> bytes:
    scale = facts["span"]["timescale"]
    with open_media(path) as source, av.open(str(to), "w", options={"movie_timescale": str(scale)}) as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.time_base = Fraction(1, scale)
        for frame in source.decode(video=0):
            black = av.VideoFrame(640, 360, "yuv420p")
            for plane, value in zip(black.planes, (16, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            black.pts, black.time_base = frame.pts, frame.time_base
            black.pict_type = 1 if frame.pts in facts["key_frames"] else 0
            output.mux(stream.encode(black))
        output.mux(stream.encode(None))
    return to.read_bytes()


def test_the_contract_of_a_unit_refuses_blank_swapped_and_missing_samples(made_unit: Any, tmp_path: Path) -> None:
    from PIL import Image

    task, made, _, _ = made_unit
    name = "samples/00001"
    Image.new("RGB", (320, 180)).save(tmp_path / "blank.jpg")
    sample = made[name].facts["samples"][0]["file"]
    blank = (tmp_path / "blank.jpg").read_bytes()
    assert spoiled(task, made, name, sample, blank, tmp_path / "a") == [f"{name}: {sample}"]
    best = made[name].path("best.jpg").read_bytes()
    assert spoiled(task, made, name, "best.jpg", best[: len(best) // 2], tmp_path / "b") == [f"{name}: best.jpg"]
    facts = dict(made[name].facts)
    later = {**facts["samples"][0], "ticks": 10**9}
    wrong = replace(made[name], facts={**facts, "samples": [later]})
    assert f"{name}: times rise inside the chunk" in broken(judge_unit(task, {**made, name: wrong}))


def test_the_contract_of_the_pass_refuses_a_missing_chunk_lost_frames_and_keys_that_differ(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", frames=75, width=640, height=400, key_every=25)
    info = clip_info(path, target_s=1)
    made = make_products(path, tmp_path / "made", info, ladder_plan.plan(info, {}))
    facts = {name: dict(item.facts) for name, item in made.items()}

    def judged(products: dict[str, Any], known: dict[str, Any] = info) -> list[Any]:
        return contract(Task(operation="", parameters={"products": products, "info": known}, scratch=tmp_path))

    assert broken(judged(facts)) == []
    without = {name: each for name, each in facts.items() if name != "ladder/360/00001"}
    assert "ladder/360: covers the picture" in broken(judged(without))
    fewer = {**facts, "ladder/360/00001": {**facts["ladder/360/00001"], "frames": 20}}
    assert broken(judged(fewer)) == ["ladder/360: no frame is lost"]
    other = {**facts, "ladder/360/00001": {**facts["ladder/360/00001"], "key_frames": [1]}}
    assert broken(judged(other)) == ["key frames agree over rungs"]
    damaged = {**info, "damage": {**info["damage"], "decode_errors": 3}}
    outcomes = {verdict.clause: verdict.outcome for verdict in judged(fewer, damaged)}
    assert outcomes["ladder/360: no frame is lost"] is Outcome.WARNED
    assert broken(judged({})) == ["products"]


@pytest.mark.parametrize("b_frames", [0, 3])
def test_reordered_pictures_in_a_container_without_their_times_come_out_in_order(tmp_path: Path, b_frames: int) -> None:
    """AVI numbers packets. H.264 with B-frames kept those numbers and failed the contract of its chunks."""
    path = make_video(tmp_path / "film.avi", frames=400, key_every=50, b_frames=b_frames, container="avi")
    info = clip_info(path)
    assert info["video"]["frame_count"] == 400
    numbers = []
    for chunk in info["video"]["chunks"]:
        _, frames = decoded(path, info, chunk)
        numbers += [read_number(timed.frame.to_ndarray(format="rgb24")) for timed in frames]
    assert len(info["video"]["chunks"]) > 1
    assert numbers == list(range(400))
    assert_chunks_equal_the_whole(path, info)
