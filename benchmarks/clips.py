"""Sources for the benchmarks: moving pictures with sound, no two files alike in either.

Belongs here: making files. Does not belong here: measuring.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests.media import numbered_picture, tone_samples

RATE = 30
QUICK = {"preset": "ultrafast"}
# What cameras and editors send at 1080p: all the reference frames level 4.0 allows (Rec. ITU-T H.264 table A-1).
DEMANDING = {"preset": "veryfast", "crf": "34", "x264-params": "ref=4:bframes=3:b-pyramid=normal"}
SOUND_HZ = 48_000
SOUND_STEP = 1024
PICTURES_APART = 37  # two files share a picture now and then, never an order of them


def clip(
    path: Path,
    *,
    seconds: int,
    number: int,
    width: int = 1280,
    height: int = 720,
    rate: int = RATE,
    codec: Mapping[str, str] = QUICK,
) -> Path:
    """Write an MP4 of H.264 and AAC; pictures and pitch follow from `number`, `codec` are the encoder's options.

    The same number gives the same bytes: a file that no home has seen needs a number of its own, for derivatives are
    shared by what they are made from, and a copy with another name costs nothing.
    """
    with av.open(str(path), "w", format="mp4") as output:
        video: Any = output.add_stream("libx264", rate=rate, options={**codec, "g": str(2 * rate)})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.thread_count = 1
        sound: Any = output.add_stream("aac", rate=SOUND_HZ, layout="stereo")
        for index in range(seconds * rate):
            picture = numbered_picture(index + PICTURES_APART * number, width, height)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for at in range(0, seconds * SOUND_HZ, SOUND_STEP):
            samples = tone_samples(SOUND_STEP, SOUND_HZ, 2, start=at, hz=220.0 + number % 4000)
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            heard.sample_rate, heard.time_base, heard.pts = SOUND_HZ, Fraction(1, SOUND_HZ), at
            output.mux(sound.encode(heard))
        output.mux(sound.encode(None))
    return path
