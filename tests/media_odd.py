"""Sources whose clocks do something odd, and sources in which picture and sound can be compared.

Belongs here: generators for the tests of times. Does not belong here: assertions, or plain clips (tests/media).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.media import make_video

TS_CLOCK = Fraction(1, 90_000)
TS_WRAP = 2**33  # ISO/IEC 13818-1, 2.4.3.6: 33 bits of 90 kHz
BEEP_S = 0.06
BEEP_HZ = 1000.0


def steps(*lengths: int, count: int, start: int = 0) -> list[int]:
    """`count` times, whose distances are `lengths` by turns."""
    times, at = [], start
    for number in range(count):
        times.append(at)
        at += lengths[number % len(lengths)]
    return times


def jittered(count: int, *, step: int = 3000, jitter: int = 600, seed: int = 1, hole: int = 0) -> list[int]:
    """Times as a telephone writes them: about `step` ticks apart, and one hole in the middle."""
    dice = random.Random(seed)
    times, at = [], 0
    for number in range(count):
        times.append(at)
        at += step + dice.randrange(-jitter, jitter + 1) + (hole if number == count // 2 else 0)
    return times


def without_the_first_frames(path: Path, shown_from: int) -> None:
    """Let the edit list of an MP4's first track begin `shown_from` ticks of the track later (ISO/IEC 14496-12, 8.6.6).

    What lies before is in the file, to be decoded and not shown.
    """
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    version, count = data[at], struct.unpack_from(">I", data, at + 4)[0]
    layout, size = (">qq", 20) if version else (">Ii", 12)
    for number in range(count):
        place = at + 8 + number * size
        duration, media_time = struct.unpack_from(layout, data, place)
        if media_time >= 0:
            struct.pack_into(layout, data, place, duration, media_time + shown_from)
            break
    path.write_bytes(data)


def flashing(
    path: Path,
    *,
    times: Sequence[int],
    time_base: Fraction,
    rate: Fraction | int = 25,
    container: str = "mp4",
    audio_codec: str = "aac",
    audio_rate_hz: int = 48_000,
    sound_from_s: Fraction = Fraction(0),
    sound_to_s: Fraction | None = None,
    every_s: int = 1,
) -> list[Fraction]:
    """A dark film that is white for the first frame of every second, with a beep at that moment.

    Picture and sound share one clock, which need not begin at 0. Returns when the flashes are, in seconds of it.
    """
    white = flash_frames(times, time_base, every_s)
    flashes = [times[number] * time_base for number in sorted(white)]
    first_s = times[0] * time_base
    last_s = sound_to_s if sound_to_s is not None else (times[-1] - times[0]) * time_base
    with av.open(str(path), "w", format=container) as output:
        picture: Any = output.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "g": "25", "bf": "2"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.codec_context.time_base = picture.time_base = time_base
        sound: Any = output.add_stream(audio_codec, rate=audio_rate_hz, layout="mono")
        packets = []
        for number, ticks in enumerate(times):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, code in zip(frame.planes, (235 if number in white else 30, 128, 128), strict=True):
                plane.update(bytes([code]) * plane.buffer_size)
            frame.pts, frame.time_base = ticks, time_base
            packets += picture.encode(frame)
        packets += picture.encode(None)
        packets += _beeps(sound, audio_rate_hz, [at - first_s for at in flashes], first_s, sound_from_s, last_s)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return flashes


def flash_frames(times: Iterable[int], time_base: Fraction, every_s: int = 1) -> set[int]:
    """The first frame at or after each whole second since the first."""
    found, due, first = set(), Fraction(0), None
    for number, ticks in enumerate(times):
        first = ticks if first is None else first
        if (ticks - first) * time_base >= due:
            found.add(number)
            due = ((ticks - first) * time_base // every_s + 1) * every_s
    return found


def _beeps(
    sound: Any, rate_hz: int, moments: Sequence[Fraction], first_s: Fraction, from_s: Fraction, to_s: Fraction
) -> list[Any]:
    """Packets of silence with a beep at each of `moments`; all of it lies from `from_s` to `to_s` after `first_s`."""
    wave = np.zeros(round((to_s - from_s) * rate_hz))
    burst = 0.5 * np.sin(2 * np.pi * BEEP_HZ * np.arange(round(BEEP_S * rate_hz)) / rate_hz)
    for moment in moments:
        at = round((moment - from_s) * rate_hz)
        if at >= 0 and at + burst.size <= wave.size:
            wave[at : at + burst.size] = burst
    packets = []
    size = sound.codec_context.frame_size or 1024
    for at in range(0, wave.size, size):
        piece = np.round(wave[at : at + size] * 32_767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
        frame.pts = at + round((first_s + from_s) * rate_hz)
        packets += sound.encode(frame)
    return [*packets, *sound.encode(None)]


def timed_video(path: Path, *, times: Sequence[int], time_base: Fraction, **more: Any) -> Path:
    """Numbered pictures at these times."""
    rate = more.pop("rate", None) or _mean_rate(times, time_base)
    return make_video(path, pts=times, time_base=time_base, rate=rate, width=96, height=72, **more)


def _mean_rate(times: Sequence[int], time_base: Fraction) -> Fraction:
    length = (times[-1] - times[0]) * time_base
    return ((len(times) - 1) / length).limit_denominator(1001) if length else Fraction(25)


Traits = Mapping[str, Any]
