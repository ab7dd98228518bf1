"""Sound stays with picture: a flash and a beep each second, found again in decoded segments to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from processing.failures import WorkFailure
from resources.house import House
from tests.house import house, make, take_in

__all__ = ["house"]

SECONDS = 21
APART_S = 0.010
WIDTH, HEIGHT = 128, 72
BEEP_S, BEEP_HZ = 0.05, 1000
SOUND_STEP = 1024
WRAPS_AT = 1 << 33  # ticks of 1/90,000 s in transport streams (ISO/IEC 13818-1, 2.4.3.7)


@dataclass(frozen=True)
class Clip:
    """A source with a flash and a beep at the first picture of every second.

    `times` are those of its pictures; sound lasts from `sound_from` to `sound_to` (s). `begins` (s) is added to all.
    """

    name: str
    times: Sequence[Fraction]
    codec: str = "aac"
    rate_hz: int = 48_000
    sound_from: Fraction = Fraction(0)
    sound_to: Fraction = Fraction(SECONDS)
    begins: Fraction = Fraction(0)
    video: str = "libx264"

    @property
    def flashes(self) -> list[Fraction]:
        seconds = [next((time for time in self.times if time >= second), None) for second in range(SECONDS)]
        return [time for time in dict.fromkeys(seconds) if time is not None]

    @property
    def beeps(self) -> list[Fraction]:
        return [at for at in self.flashes if self.sound_from <= at and at + Fraction(1, 10) < self.sound_to]


def steady(rate: Fraction) -> list[Fraction]:
    return [number / rate for number in range(int(SECONDS * rate))]


def uneven() -> list[Fraction]:
    """As telephones do: 24 to 33 ms between pictures, changing all the time, and a pause now and then."""
    random = np.random.default_rng(3)
    found, at = [], Fraction(0)
    while at < SECONDS:
        found.append(at)
        at += Fraction(int(random.integers(24, 34)), 1000) + (Fraction(3, 10) if random.random() < 0.01 else 0)
    return found


CLIPS = [
    Clip("steady.mp4", steady(Fraction(25))),
    Clip("film.mov", steady(Fraction(24_000, 1001)), codec="pcm_s16le"),
    Clip("ntsc.mkv", steady(Fraction(30_000, 1001)), codec="flac", rate_hz=44_100),
    Clip("fast.mp4", steady(Fraction(120)), rate_hz=44_100),
    Clip("uneven.mp4", uneven()),
    Clip("telephone.mkv", uneven(), codec="pcm_s16le", rate_hz=8_000),
    Clip("studio.mov", steady(Fraction(25)), codec="pcm_s24le", rate_hz=192_000),
    Clip("late-sound.mkv", steady(Fraction(25)), codec="pcm_s16le", sound_from=Fraction(33, 10)),
    Clip("short-sound.mp4", steady(Fraction(25)), sound_to=Fraction(57, 10)),
    Clip("broadcast.ts", steady(Fraction(25)), codec="mp2", begins=Fraction(1000)),
    Clip("wrapping.ts", steady(Fraction(25)), codec="mp2", begins=Fraction(WRAPS_AT, 90_000) - 9),
    Clip("old.avi", steady(Fraction(25)), codec="pcm_s16le", video="mpeg4"),
]


def written(clip: Clip, path: Path) -> Path:
    """Write the clip's file; picture and sound interleaved, so that every container takes them."""
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream(clip.video, rate=25 if clip.video == "mpeg4" else 1000)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, 25) if clip.video == "mpeg4" else Fraction(1, 90_000)
        if clip.video == "libx264":
            video.options = {"preset": "ultrafast", "g": "50", "bf": "2"}
        sound: Any = output.add_stream(clip.codec, rate=clip.rate_hz, layout="mono")
        packets = [(at, packet) for at, packet in _pictures(clip, video)] + [
            (at, packet) for at, packet in _sound(clip, sound)
        ]
        for _, packet in sorted(packets, key=lambda item: item[0]):
            output.mux(packet)
    return path


def _pictures(clip: Clip, stream: Any) -> list[tuple[Fraction, Any]]:
    flashes = set(clip.flashes)
    base = stream.codec_context.time_base
    found = []
    for time in clip.times:
        planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        planes[:HEIGHT] = 220 if time in flashes else 40
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = round((time + clip.begins) / base), base
        found += stream.encode(frame)
    found += stream.encode(None)
    return [(packet.dts * packet.time_base, packet) for packet in found]


def _sound(clip: Clip, stream: Any) -> list[tuple[Fraction, Any]]:
    first, last = (round(at * clip.rate_hz) for at in (clip.sound_from, clip.sound_to))
    wave = np.zeros(last - first, np.float64)
    length = int(BEEP_S * clip.rate_hz)
    for at in clip.beeps:
        start = round(at * clip.rate_hz) - first
        wave[start : start + length] = 0.5 * np.sin(2 * np.pi * BEEP_HZ * np.arange(length) / clip.rate_hz)
    layout = stream.codec_context.format.name
    found = []
    step = stream.codec_context.frame_size or SOUND_STEP
    for start in range(0, len(wave), step):
        piece = wave[start : start + step]
        samples = (piece * 32_767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.time_base = clip.rate_hz, Fraction(1, clip.rate_hz)
        frame.pts = first + start + round(clip.begins * clip.rate_hz)
        for converted in av.AudioResampler(format=layout, layout="mono", rate=clip.rate_hz).resample(frame):
            converted.pts = frame.pts
            found += stream.encode(converted)
    found += stream.encode(None)
    return [(packet.dts * packet.time_base, packet) for packet in found]


def joined(folder: Path, to: Path) -> Path:
    """A track's init segment and its segments as one file, as a player has them."""
    to.write_bytes(b"".join(path.read_bytes() for path in [folder / "init.mp4", *sorted(folder.glob("*.m4s"))]))
    return to


def flashes_shown(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        frames: Any = container.decode(container.streams.video[0])
        return [
            frame.pts * frame.time_base for frame in frames if frame.to_ndarray(format="gray", threads=1).mean() > 120
        ]


def beeps_heard(path: Path) -> list[float]:
    """When each beep reaches a third of its height."""
    with av.open(str(path)) as container:
        frames: list[Any] = list(container.decode(container.streams.audio[0]))
        rate = frames[0].sample_rate
        start = float(frames[0].pts * frames[0].time_base)
        loud = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in frames])) > 0.17
    places = np.flatnonzero(loud)
    first = places[np.flatnonzero(np.diff(places, prepend=-rate) > rate // 5)]
    return [start + int(place) / rate for place in first]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_every_beep_is_heard_with_its_flash(house: House, tmp_path: Path, clip: Clip) -> None:
    (registration,) = take_in(house, written(clip, tmp_path / clip.name))
    outcomes = make(house, registration, "hls")
    assert [made for made in outcomes.values() if isinstance(made, WorkFailure)] == []
    package = outcomes["hls"]
    assert not isinstance(package, WorkFailure)
    assert package.manifest is not None
    folder = house.store.as_input(package.manifest, "hls").folder
    (rung, *_) = sorted((folder / "video").iterdir())
    shown = flashes_shown(joined(rung, tmp_path / "video.mp4"))
    heard = beeps_heard(joined(folder / "audio" / "0", tmp_path / "audio.mp4"))
    begins = shown[0]  # an encoder's delay may come before the first picture
    assert begins < Fraction(1, 20)
    assert [time - begins for time in shown] == clip.flashes, "every picture has its time"
    pairs = [(float(flash), beep - float(begins)) for flash, beep in zip(clip.beeps, heard, strict=True)]
    apart = {flash: beep - flash for flash, beep in pairs if abs(beep - flash) > APART_S}
    assert apart == {}
