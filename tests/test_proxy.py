"""The proxy: one file, picture and sound in step, and a contract that decodes all of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from processing.contracts.proxy import contract, outline
from processing.picture.ladder_plan import plan
from processing.picture.proxy import make
from processing.picture.proxy_plan import plan_rung
from processing.probe.opening import open_media
from processing.work import Task
from tests.media import as_input, make_vfr, make_video, read_number, source_task
from tests.media_picture import broken, clip_info, make_products, make_sound
from tests.media_spoiled import SPOILED, remux, spoiled_packets, spoken, with_sound


def proxy_task(path: Path, folder: Path, **options: Any) -> Task:
    info = clip_info(path, target_s=2)
    made = make_products(path, folder / "made", info, plan_rung(info, options))
    made |= make_sound(path, folder / "made", info)
    task = replace(source_task(path, folder / "proxy"), inputs=made)
    result = make(task)
    return replace(task, made=as_input("proxy", task.out, result.facts))


@pytest.fixture(scope="module")
def made_proxy(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("proxy")
    path = make_video(folder / "clip.mp4", frames=125, width=320, height=180, audio_rate_hz=48_000)
    return proxy_task(path, folder)


def test_the_rung_is_the_largest_up_to_540_and_has_the_ladder_s_own_recipes(tmp_path: Path) -> None:
    info = clip_info(make_video(tmp_path / "clip.mp4", frames=3, width=1280, height=720))
    wanted = plan_rung(info, {})
    assert [product.name for product in wanted] == ["ladder/540/00000"]
    assert wanted[0] in plan(info, {})
    assert [product.name for product in plan_rung(info, {"ladder": [720]})] == ["ladder/720/00000"]


def test_a_proxy_keeps_its_contract_and_starts_before_it_is_loaded(made_proxy: Task) -> None:
    assert made_proxy.made is not None
    assert broken(contract(made_proxy)) == []
    kinds, duration_s = outline(made_proxy.made.path("proxy.mp4"))
    assert kinds.index("moov") < kinds.index("mdat")
    assert abs(duration_s - 5) < Fraction(1, 50)


def test_every_frame_keeps_its_time_at_a_variable_rate(tmp_path: Path) -> None:
    task = proxy_task(make_vfr(tmp_path / "vfr.mp4"), tmp_path)
    assert task.made is not None
    assert broken(contract(task)) == []
    with open_media(task.made.path("proxy.mp4")) as container:
        frames = list(container.decode(container.streams.video[0]))
        times = [frame.pts * frame.time_base for frame in frames]
        numbers = [read_number(frame.to_ndarray(format="rgb24")) for frame in frames]
    with open_media(tmp_path / "vfr.mp4") as container:
        stream = container.streams.video[0]
        source = [frame.pts * stream.time_base for frame in container.decode(stream)]
    assert numbers == list(range(60))
    assert times == [time - source[0] for time in source]


def test_a_late_picture_stays_late_against_the_sound(tmp_path: Path) -> None:
    base = Fraction(1, 12_800)
    pts = [12_800 + 512 * number for number in range(50)]
    path = make_video(
        tmp_path / "late.mp4", pts=pts, time_base=base, audio_rate_hz=48_000, audio_duration_s=Fraction(3)
    )
    task = proxy_task(path, tmp_path)
    assert task.made is not None
    assert broken(contract(task)) == []
    with open_media(task.made.path("proxy.mp4")) as container:
        first = next(container.decode(container.streams.video[0]))
        assert abs(first.pts * first.time_base - 1) < Fraction(1, 20)
    with open_media(task.made.path("proxy.mp4")) as container:
        sound = next(container.decode(container.streams.audio[0]))
        assert sound.pts == 0
        assert float(np.abs(sound.to_ndarray()).max()) > 0.05  # the tone starts at once: priming is hidden, not silent


def spoiled(task: Task, folder: Path, data: bytes) -> list[str]:
    folder.mkdir()
    (folder / "proxy.mp4").write_bytes(data)
    assert task.made is not None
    return broken(contract(replace(task, made=as_input("proxy", folder, task.made.facts))))


def test_the_contract_refuses_a_truncated_file(made_proxy: Task, tmp_path: Path) -> None:
    assert made_proxy.made is not None
    data = made_proxy.made.path("proxy.mp4").read_bytes()
    assert spoiled(made_proxy, tmp_path / "a", data[: len(data) * 2 // 3]) == ["opens"]
    middle = bytearray(data)
    at = data.index(b"mdat") + len(data) // 2
    middle[at : at + 4000] = bytes(4000)
    assert spoiled(made_proxy, tmp_path / "b", bytes(middle))


def test_the_contract_refuses_another_file_s_proxy(made_proxy: Task, tmp_path: Path) -> None:
    path = make_vfr(tmp_path / "other.mp4", width=320, height=180)
    other = proxy_task(path, tmp_path)
    assert other.made is not None
    clauses = spoiled(made_proxy, tmp_path / "x", other.made.path("proxy.mp4").read_bytes())
    assert {"streams", "every frame is there, in order", "shows what the rung shows"} <= set(clauses)


EXACT = {"movie_timescale": "90000", "video_track_timescale": "90000"}


def black_like(planes: np.ndarray) -> np.ndarray:
    """A black picture of the same size, planes of 4:2:0 below each other."""
    black = np.full_like(planes, 128)
    black[: len(planes) * 2 // 3] = 16
    return black


def rewritten(task: Task, to: Path, *, picture: str = "", sound: bool = True, faststart: bool = True) -> bytes:
    """The same times again, with a "black" or "frozen" picture, without sound, or with the index at the end."""
    assert task.made is not None
    with (
        open_media(task.made.path("proxy.mp4")) as source,
        av.open(str(to), "w", options={**EXACT, **({"movflags": "+faststart"} if faststart else {})}) as output,
    ):
        video: Any = source.streams.video[0]
        copies: dict[int, Any] = {}
        if picture:
            still = {"preset": "ultrafast", "forced-idr": "1", "bf": "0", "x264-params": "keyint=infinite:scenecut=0"}
            stream: Any = output.add_stream("libx264", rate=25, options=still)
            stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
            stream.codec_context.time_base = video.time_base
        else:
            copies[0] = output.add_stream_from_template(video, opaque=True)
        if sound:
            copies[1] = output.add_stream_from_template(source.streams.audio[0], opaque=True)
        for packet in source.demux():
            if packet.stream.index in copies and packet.size:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
            elif packet.stream.index == 0 and picture:
                for frame in packet.decode():
                    if frame.key_frame:
                        shown = frame.to_ndarray(format="yuv420p")
                        shown = shown if picture == "frozen" else black_like(shown)
                    again = av.VideoFrame.from_ndarray(shown, format="yuv420p")
                    again.pts, again.time_base = frame.pts, frame.time_base
                    again.pict_type = 1 if frame.key_frame else 0
                    output.mux(stream.encode(again))
        if picture:
            output.mux(stream.encode(None))
    return to.read_bytes()


def test_the_contract_refuses_black_pictures_lost_sound_and_an_index_at_the_end(
    made_proxy: Task, tmp_path: Path
) -> None:
    black = rewritten(made_proxy, tmp_path / "black.mp4", picture="black")
    assert "shows what the rung shows" in spoiled(made_proxy, tmp_path / "a", black)
    silent = rewritten(made_proxy, tmp_path / "silent.mp4", sound=False)
    assert "streams" in spoiled(made_proxy, tmp_path / "b", silent)
    slow = rewritten(made_proxy, tmp_path / "slow.mp4", faststart=False)
    assert "index before media" in spoiled(made_proxy, tmp_path / "c", slow)


def with_other_sound(task: Task, folder: Path, how: str) -> list[str]:
    """The clauses that fail when the proxy's AAC packets are those of spoiled sound."""
    assert task.made is not None
    folder.mkdir()
    sound = spoiled_packets(task.inputs["aac/0"].path("audio.m4a"), how)
    remux(task.made.path("proxy.mp4"), folder / "proxy.mp4", sound=sound)
    return broken(contract(replace(task, made=as_input("proxy", folder, task.made.facts))))


@pytest.fixture(scope="module")
def speaking_proxy(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A proxy whose two channels differ and change all the time."""
    folder = tmp_path_factory.mktemp("speaking")
    silent = make_video(folder / "silent.mp4", frames=125, width=320, height=180)
    return proxy_task(with_sound(silent, folder / "clip.mkv", spoken(5)), folder)


@pytest.mark.parametrize("how", SPOILED)
def test_the_contract_refuses_other_sound_in_as_many_packets(speaking_proxy: Task, tmp_path: Path, how: str) -> None:
    """All of these were published once: they decode, last as long, and start at 0."""
    assert broken(contract(speaking_proxy)) == []
    found = with_other_sound(speaking_proxy, tmp_path / "x", how)
    assert found == ["audio packets are those that were encoded"]


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_the_contract_refuses_packets_that_are_200_ms_late(speaking_proxy: Task, tmp_path: Path, kind: str) -> None:
    assert speaking_proxy.made is not None
    remux(speaking_proxy.made.path("proxy.mp4"), tmp_path / "late.mp4", later_s={kind: 0.2})
    found = spoiled(speaking_proxy, tmp_path / "x", (tmp_path / "late.mp4").read_bytes())
    assert f"{kind} packets are where they were encoded" in found
    assert f"{kind} packets are those that were encoded" not in found


def test_the_contract_refuses_a_picture_that_stands_still_between_key_frames(made_proxy: Task, tmp_path: Path) -> None:
    """Key frames show what they should, the count of frames is right, every time is: only nothing moves."""
    frozen = rewritten(made_proxy, tmp_path / "frozen.mp4", picture="frozen")
    found = spoiled(made_proxy, tmp_path / "x", frozen)
    # the second is of the decoding order: what does not move was encoded without B-frames
    assert found == ["video packets are those that were encoded", "video packets are where they were encoded"]


def test_the_same_proxy_has_the_same_bytes(made_proxy: Task, tmp_path: Path) -> None:
    assert made_proxy.made is not None
    again = replace(made_proxy, scratch=tmp_path, made=None)
    make(again)
    assert (tmp_path / "out" / "proxy.mp4").read_bytes() == made_proxy.made.path("proxy.mp4").read_bytes()
