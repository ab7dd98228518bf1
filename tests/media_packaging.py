"""Products as the passes make them, small: encoded chunks of a ladder and AAC tracks, and tasks over them.

Belongs here: generators for the packaging tests (hls, dash, release, players). Does not belong here: assertions.
Every picture carries its number (tests/media), so that a test can say which frame it sees.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from processing.manifest import data_version, list_files
from processing.picture import hls
from processing.timeline import rational
from processing.work import Input, Result, Task
from tests.media import numbered_picture

TIMESCALE = 90_000
RUNGS = {120: (160, 120), 72: (96, 72)}  # label to size
TALLEST = RUNGS[120]


@dataclass(frozen=True)
class Sound:
    """One track to make: seconds, rate, channels, what media_info says of it."""

    seconds: float
    rate_hz: int = 48_000
    channels: int = 2
    language: str | None = None
    title: str | None = None
    default: bool = False


@dataclass(frozen=True)
class Clip:
    """A source as the packager sees it.

    `times` are presentation times in ticks, `starts` the first index of each chunk, `end` where the last frame ends.
    """

    times: tuple[int, ...]
    starts: tuple[int, ...]
    end: int
    frame_rate: Fraction = Fraction(30)
    rungs: tuple[int, ...] = (120, 72)
    sound: tuple[Sound, ...] = ()
    key_every_s: int = 2
    black: bool = False


def steady(seconds: float, *, rate: int = 30, chunk_s: int = 6, start: int = 0, **more: Any) -> Clip:
    """A clip at a constant frame rate, `start` ticks after time 0."""
    step = TIMESCALE // rate
    count = round(seconds * rate)
    times = tuple(start + index * step for index in range(count))
    starts = tuple(range(0, count, chunk_s * rate))
    return Clip(times, starts, times[-1] + step, frame_rate=Fraction(rate), **more)


def encode_chunk(
    folder: Path,
    times: Sequence[int],
    first_number: int,
    size: tuple[int, int],
    *,
    end: int,
    key_every: int,
    frame_rate: Fraction = Fraction(30),
    black: bool = False,
) -> dict[str, Any]:
    """`chunk.mp4` as the ladder tap writes it, and its facts."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    scale = str(TIMESCALE)  # of the movie too: in its default of a millisecond the edit list rounds the start
    options = {"video_track_timescale": scale, "movie_timescale": scale, "fflags": "+bitexact"}
    sizes = 0
    keys = []
    with av.open(str(folder / "chunk.mp4"), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, TIMESCALE)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {
            "preset": "ultrafast",
            "forced-idr": "1",
            "x264-params": "bframes=3:b-pyramid=normal:b-adapt=0:scenecut=0:keyint=infinite:open-gop=0",
        }
        next_key = times[0]
        packets = []
        for number, ticks in enumerate(times):
            pixels = numbered_picture(first_number + number, *TALLEST)
            picture = av.VideoFrame.from_ndarray(np.zeros_like(pixels) if black else pixels, "rgb24")
            frame = picture.reformat(width, height, "yuv420p")
            frame.pts, frame.time_base = ticks, Fraction(1, TIMESCALE)
            if ticks >= next_key:
                frame.pict_type = av.video.frame.PictureType.I
                keys.append(ticks)
                next_key = ticks + key_every
            packets += stream.encode(frame)
        packets += stream.encode(None)
        in_order = sorted(times)
        for index, packet in enumerate(packets):
            packet.stream = stream
            packet.dts = in_order[index] - TIMESCALE
            packet.duration = 1
            sizes += packet.size
            container.mux(packet)
    return {
        "width": width,
        "height": height,
        "frame_rate": rational(frame_rate),
        "span": {"start": times[0], "end": end, "timescale": TIMESCALE},
        "frames": len(times),
        "key_frames": keys,
        "bytes": sizes,
    }


def encode_sound(folder: Path, sound: Sound, hz: float) -> dict[str, Any]:
    """`audio.m4a` as the AAC tap writes it: the priming packet at -1024, sample 0 at time 0."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.channels]
    count = round(sound.seconds * sound.rate_hz)
    options = {"movie_timescale": str(sound.rate_hz), "fflags": "+bitexact"}
    with av.open(str(folder / "audio.m4a"), "w", format="mp4", options=options) as container:
        stream = container.add_stream("aac", rate=sound.rate_hz, layout=layout)
        for start in range(0, count, 1024):
            length = min(1024, count - start)
            pitches_hz = hz * (1 + np.arange(sound.channels)[:, None] / 2)  # another in every channel
            wave = 0.25 * np.sin(2 * np.pi * pitches_hz * np.arange(start, start + length) / sound.rate_hz)
            samples = wave.astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
            frame.rate, frame.pts, frame.time_base = sound.rate_hz, start, Fraction(1, sound.rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return {"channels": sound.channels, "rate_hz": sound.rate_hz, "samples": count}


def as_input(name: str, folder: Path, facts: Mapping[str, Any]) -> Input:
    """An artifact's folder as a task gets it; recipe hashes are made up from the name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = list_files(folder)
    recipe_hash = data_version((), {"recipe of": name}, {})
    return Input(name, folder, files, facts, data_version(files, facts, {}), recipe_hash)


def info_of(clip: Clip) -> dict[str, Any]:
    """media_info's facts of the clip, as far as packaging and release read them."""
    video = None
    ends = [Fraction(str(sound.seconds)) for sound in clip.sound]
    if clip.times:
        width, height = RUNGS[max(clip.rungs)]
        ends.append(Fraction(clip.end, TIMESCALE))
        video = {
            "timescale": TIMESCALE,
            "width": width,
            "height": height,
            "display_width": width,
            "display_height": height,
            "frame_rate": rational(clip.frame_rate),
            "frame_count": len(clip.times),
            "start": clip.times[0],
            "end": clip.end,
        }
    return {
        "kind": "video" if clip.times else "audio",
        "format": {"name": "mov,mp4,m4a,3gp,3g2,mj2", "title": None, "tags": {}},
        "duration": {"ticks": int(max(ends) * TIMESCALE), "timescale": TIMESCALE},
        "duration_s_bound": float(max(ends)),
        "origin": {"num": 0, "den": 1},
        "video": video,
        "audio": [
            {"language": s.language, "title": s.title, "default": s.default, "channels": s.channels} for s in clip.sound
        ],
        "subtitles": [],
        "chapters": [],
    }


def packaging_task(root: Path, clip: Clip) -> Task:
    """The task of `hls.make` over freshly encoded products below `root`."""
    inputs = {"media_info": as_input("media_info", root / "in" / "media_info", info_of(clip))}
    bounds = [*clip.starts, len(clip.times)]
    for label in clip.rungs if clip.times else ():
        for index, (first, last) in enumerate(itertools.pairwise(bounds)):
            name = f"ladder/{label}/{index:05d}"
            facts = encode_chunk(
                root / "in" / name,
                clip.times[first:last],
                first,
                RUNGS[label],
                end=clip.times[last] if last < len(clip.times) else clip.end,
                key_every=clip.key_every_s * TIMESCALE,
                frame_rate=clip.frame_rate,
                black=clip.black,
            )
            inputs[name] = as_input(name, root / "in" / name, facts)
    for number, sound in enumerate(clip.sound):
        name = f"aac/{number}"
        inputs[name] = as_input(name, root / "in" / name, encode_sound(root / "in" / name, sound, 330.0 * (number + 1)))
    return Task("processing.picture.hls:make", {"language": None}, root / "work", inputs=inputs)


def make_hls(root: Path, clip: Clip) -> tuple[Task, Result]:
    """The task and the result after `hls.make` has run; the files lie below `task.out`."""
    task = packaging_task(root, clip)
    task.out.mkdir(parents=True)
    return task, hls.make(task)


def judged(task: Task, result: Result) -> Task:
    """The task its contract gets."""
    return replace(task, made=as_input("hls", task.out, result.facts))
