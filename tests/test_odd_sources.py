"""Sources that are rare and right: each through everything that is made of its kind, by plain calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from processing.failures import WorkFailure
from processing.timeline import from_rational
from resources.house import House, open_house
from resources.ledger.states import AssetState
from resources.settings import load_settings
from resources.status import source_entry
from tests.database import database
from tests.house import make, take_in
from tests.media import make_video, numbered_picture

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, ledger_template: str) -> Iterator[House]:
    """One house for all of them."""
    folder = tmp_path_factory.mktemp("odd")
    settings = load_settings(home=str(folder / "home"), inbox=str(folder / "inbox"))
    with database(postgres_url, ledger_template) as url, closing(open_house(settings, url)) as opened:
        yield opened


def lossless(
    path: Path, width: int, height: int, *, frames: int = 3, pixel_format: str = "yuv444p", **more: Any
) -> Path:
    return make_video(
        path, frames=frames, width=width, height=height, codec="ffv1", pixel_format=pixel_format, container="matroska",
        **more,
    )  # fmt: skip


def one_pixel(path: Path) -> Path:
    with av.open(str(path), "w", format="matroska") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width = stream.height = 1
        stream.pix_fmt = "yuv444p"
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((1, 1, 3), 90, np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    return path


def see_through(path: Path) -> Path:
    """The left half is opaque white, the right half transparent white."""
    pixels = np.full((64, 64, 4), 250, np.uint8)
    pixels[:, :32, 3], pixels[:, 32:, 3] = 255, 0
    with av.open(str(path), "w", format="mov") as output:
        stream: Any = output.add_stream("qtrle", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "argb"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="argb")))
        output.mux(stream.encode(None))
    return path


def with_a_cover(path: Path) -> Path:
    """Sound with a picture that belongs to the whole file, as music has it."""
    with av.open(str(path), "w", format="flac") as output:
        sound: Any = output.add_stream("flac", rate=44_100, layout="stereo")
        cover: Any = output.add_stream("png")
        cover.width = cover.height = 64
        cover.pix_fmt, cover.disposition = "rgb24", av.stream.Disposition.attached_pic
        cover.codec_context.time_base = Fraction(1, 25)
        picture = av.VideoFrame.from_ndarray(numbered_picture(1, 64, 64), format="rgb24")
        output.mux(cover.encode(picture))
        output.mux(cover.encode(None))
        wave = np.round(8000 * np.sin(np.arange(88_200) / 16)).astype(np.int16).repeat(2).reshape(1, -1)
        for at in range(0, 88_200, 4410):
            frame = av.AudioFrame.from_ndarray(wave[:, 2 * at : 2 * (at + 4410)], format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, at, Fraction(1, 44_100)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return path


def with_chapters(path: Path) -> Path:
    plain = make_video(path.with_suffix(".plain.mkv"), frames=75, container="matroska", pts=range(25, 100))
    with av.open(str(plain)) as source, av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        output.set_chapters(
            [
                {"id": n, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for n, (start, end, title) in enumerate([(1000, 2500, "one"), (2500, 4000, "two")], 1)
            ]
        )
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    plain.unlink()
    return path


def is_one_pixel(info: Facts, packaged: Facts) -> None:
    assert (info["video"]["width"], info["video"]["height"]) == (1, 1)
    assert [(rung["width"], rung["height"], rung["frames"]) for rung in packaged["video"]] == [(2, 2, 3)]


def is_wide(info: Facts, packaged: Facts) -> None:
    assert info["video"]["width"] == 8191
    assert [(rung["width"], rung["height"]) for rung in packaged["video"]] == [(8190, 64)]


def is_odd(info: Facts, packaged: Facts) -> None:
    assert (info["video"]["width"], info["video"]["height"]) == (161, 121)
    assert [(rung["width"], rung["height"]) for rung in packaged["video"]] == [(160, 120)]


def is_one_frame(info: Facts, packaged: Facts) -> None:
    assert info["video"]["frame_count"] == 1
    assert packaged["video"][0]["frames"] == 1


def is_fast(info: Facts, packaged: Facts) -> None:
    assert from_rational(info["video"]["frame_rate"]) == 120
    assert packaged["video"][0]["frames"] == 240
    assert Fraction(packaged["video"][0]["end"], packaged["video"][0]["timescale"]) == 2


def is_see_through(info: Facts, packaged: Facts) -> None:
    assert info["video"]["alpha"]
    assert packaged["video"][0]["frames"] == 5


def is_sound_alone(info: Facts, packaged: Facts) -> None:
    assert info["kind"] == "audio"
    assert (info["cover"]["width"], info["cover"]["height"]) == (64, 64)
    assert packaged["video"] == []
    assert len(packaged["audio"]) == 1


def has_chapters(info: Facts, packaged: Facts) -> None:
    told = [(from_rational(each["start"]), from_rational(each["end"]), each["title"]) for each in info["chapters"]]
    assert told == [(0, Fraction(3, 2), "one"), (Fraction(3, 2), 3, "two")]


def is_six_channels(info: Facts, packaged: Facts) -> None:
    assert (info["audio"][0]["channels"], packaged["audio"][0]["channels"]) == (6, 6)


def is_deep(info: Facts, packaged: Facts) -> None:
    assert (info["video"]["bit_depth"], info["video"]["pixel_format"]) == (10, "yuv422p10le")
    assert packaged["video"][0]["codecs"].startswith("avc1.64")


SOURCES: dict[str, tuple[Callable[[Path], Path], Callable[[Facts, Facts], None]]] = {
    "one pixel.mkv": (one_pixel, is_one_pixel),
    "8191 wide.mkv": (lambda path: lossless(path, 8191, 64), is_wide),
    "odd sides.mkv": (lambda path: lossless(path, 161, 121, frames=30), is_odd),
    "one frame.mp4": (lambda path: make_video(path, frames=1), is_one_frame),
    "120 a second.mp4": (lambda path: make_video(path, frames=240, rate=120), is_fast),
    "see through.mov": (see_through, is_see_through),
    "cover.flac": (with_a_cover, is_sound_alone),
    "chapters.mkv": (with_chapters, has_chapters),
    "six channels.mp4": (
        lambda path: make_video(path, frames=30, audio_rate_hz=48_000, audio_channels=6),
        is_six_channels,
    ),
    "ten bits.mkv": (lambda path: lossless(path, 160, 120, frames=10, pixel_format="yuv422p10le"), is_deep),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_rare_source_becomes_everything_its_kind_can_be(house: House, tmp_path: Path, name: str) -> None:
    write, judge = SOURCES[name]
    (registration,) = take_in(house, write(tmp_path / name))
    outcomes = make(house, registration)
    assert {n: str(outcome) for n, outcome in outcomes.items() if isinstance(outcome, WorkFailure)} == {}
    entry = source_entry(house.ledger, house.store, house.ledger.source(registration.source_key))
    assert AssetState(entry["state"]) is AssetState.READY, entry["cause"]
    assert house.published.exists(registration.source_key)
    facts = {}
    for asset in ("media_info", "hls"):
        manifest = house.store.find(asset, entry["assets"][asset]["recipe_hash"])
        assert manifest is not None
        facts[asset] = dict(manifest.facts)
    judge(facts["media_info"], facts["hls"])
