"""Sources for the benchmarks: pictures with sound, encoded once, each file with bytes of its own.

Belongs here: making files. Does not belong here: measuring.
"""

from __future__ import annotations

import functools
import struct
import tempfile
from fractions import Fraction
from pathlib import Path

from tests.media import make_video

RATE = 30


@functools.cache
def _encoded(seconds: int, width: int, height: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        make_video(
            path,
            frames=seconds * RATE,
            width=width,
            height=height,
            rate=RATE,
            key_every=2 * RATE,
            audio_rate_hz=48_000,
            audio_channels=2,
            audio_duration_s=Fraction(seconds),
        )
        return path.read_bytes()


def clip(path: Path, *, seconds: int, number: int, width: int = 1280, height: int = 720) -> Path:
    """Write an MP4 of H.264 and AAC to `path`; another `number` makes another file of the same pictures.

    The number stands in a `free` box behind the media (ISO/IEC 14496-12, 8.1.2).
    """
    path.write_bytes(_encoded(seconds, width, height) + struct.pack(">I4sQ", 16, b"free", number))
    return path
