"""Sound that is spoiled and yet decodes, in the right number of packets: what only a look at its contents notices.

Belongs here: the ways to spoil it, and files and packets of it. Does not belong here: assertions.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np

from processing.sound.layouts import Samples

SHIFT_S = 0.2


def _silent(samples: Samples, _rate_hz: int) -> Samples:
    return np.zeros_like(samples)


def _second_half_silent(samples: Samples, _rate_hz: int) -> Samples:
    return np.where(np.arange(samples.shape[1]) < samples.shape[1] // 2, samples, 0.0)


def _noise(samples: Samples, _rate_hz: int) -> Samples:
    """White noise as loud as the sound is on the whole."""
    level = float(np.sqrt(np.mean(np.square(samples))))
    return np.random.default_rng(5).standard_normal(samples.shape) * level


def _channels_swapped(samples: Samples, _rate_hz: int) -> Samples:
    return samples[::-1]


def _late(samples: Samples, rate_hz: int) -> Samples:
    return np.roll(samples, round(SHIFT_S * rate_hz), axis=1)


SPOILED: Mapping[str, Callable[[Samples, int], Samples]] = {
    "silent": _silent,
    "second half silent": _second_half_silent,
    "noise in its place": _noise,
    "channels swapped": _channels_swapped,
    "200 ms late": _late,
}


def spoken(seconds: float, *, rate_hz: int = 48_000) -> Samples:
    """Something like two people talking, left and right: tones of changing pitch that swell and fade."""
    random = np.random.default_rng(11)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    marks = int(seconds * 4) + 2
    voices = []
    for _ in range(2):
        pitch = np.interp(times, np.arange(marks) / 4, random.uniform(110, 330, marks))
        swell = np.interp(times, np.arange(2 * marks) / 8, random.uniform(0, 1, 2 * marks)) ** 2
        phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
        voices.append(0.2 * swell * sum(np.sin(partial * phase) / partial for partial in range(1, 9)))
    return np.stack(voices)


def with_sound(picture: Path, to: Path, samples: Samples, *, rate_hz: int = 48_000) -> Path:
    """The file at `picture` again, in Matroska, with two channels of `samples` as 16-bit PCM beside it."""
    packed = np.rint(samples.T.reshape(1, -1) * 32_767).astype(np.int16)
    with av.open(str(picture)) as given, av.open(str(to), "w", format="matroska") as output:
        copy = output.add_stream_from_template(given.streams.video[0], opaque=True)
        stream: Any = output.add_stream("pcm_s16le", rate=rate_hz, layout="stereo")
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
        for at in range(0, packed.shape[1], 2 * 4800):
            frame = av.AudioFrame.from_ndarray(packed[:, at : at + 2 * 4800], format="s16", layout="stereo")
            frame.sample_rate, frame.pts = rate_hz, at // 2
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return to


def aac_samples(path: Path) -> tuple[Samples, int]:
    """The decoded samples of an AAC file, shape (channels, samples), and their rate in Hz."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return np.concatenate(frames, axis=1).astype(np.float64), int(container.streams.audio[0].rate)


def aac_packets(samples: Samples, rate_hz: int, count: int) -> list[bytes]:
    """`count` packets of AAC: as many as the file has whose place they take."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    packets: list[bytes] = []
    with av.open(io.BytesIO(), "w", format="adts") as container:
        stream: Any = container.add_stream("aac", rate=rate_hz, layout=layout)
        stream.bit_rate = 64_000 * len(samples)
        for at in range(0, samples.shape[1], 1024):
            piece = np.ascontiguousarray(samples[:, at : at + 1024], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, at
            packets += [bytes(packet) for packet in stream.encode(frame)]
        packets += [bytes(packet) for packet in stream.encode(None)]
    return (packets + packets[-1:] * count)[:count]


def packets_of(path: Path) -> list[bytes]:
    """The packets of an AAC file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def spoiled_packets(path: Path, how: str) -> list[bytes]:
    """The packets of the AAC file at `path` again, spoiled."""
    samples, rate_hz = aac_samples(path)
    return aac_packets(SPOILED[how](samples, rate_hz), rate_hz, len(packets_of(path)))


def remux(
    source: Path, to: Path, *, sound: list[bytes] | None = None, later_s: Mapping[str, float] | None = None
) -> None:
    """Write `source` again with `sound` for the payloads of its audio packets, or with streams of a kind later.

    The movie's clock is the source's finest, so that edit lists are exact.
    """
    waiting = iter(sound or [])
    with av.open(str(source)) as given:
        scale = max(stream.time_base.denominator for stream in given.streams)
        options = {"movflags": "+faststart", "movie_timescale": str(scale), "fflags": "+bitexact"}
        video = [stream for stream in given.streams if stream.type == "video"]
        if video:
            options["video_track_timescale"] = str(video[0].time_base.denominator)
        with av.open(str(to), "w", format="mp4", options=options) as output:
            copies = {s.index: output.add_stream_from_template(s, opaque=True) for s in given.streams}
            for packet in given.demux():
                if not packet.size:
                    continue
                kind, copy = packet.stream.type, copies[packet.stream.index]
                moved = av.Packet(next(waiting)) if sound is not None and kind == "audio" else packet
                shift = round((later_s or {}).get(kind, 0.0) / packet.time_base)
                moved.pts, moved.dts, moved.duration = packet.pts + shift, packet.dts + shift, packet.duration
                moved.time_base, moved.is_keyframe, moved.stream = packet.time_base, packet.is_keyframe, copy
                output.mux(moved)
