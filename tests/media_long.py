"""A film that takes a while: several chunks, each some work. For tests that cut the work off in the middle.

Belongs here: that one generator, which is quick in spite of the film's length. Does not belong here: films with a trait
(tests/media).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

CHUNK_S = 6  # where a key frame lies on it, the grid cuts there
RATE = 12
BAND = 24  # lines that move


def make_long_film(path: Path, *, chunks: int) -> Path:
    """Noise at 320x180 of which a band drifts, with a key frame every six seconds: so many chunks. Frames differ too
    little to be read anew, which would take longer than all chunks.
    """
    noise = np.random.default_rng(1).integers(0, 256, (180, 320), np.uint8)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "35"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.gop_size = CHUNK_S * RATE
        for index in range(chunks * CHUNK_S * RATE):
            picture = np.full((270, 320), 128, np.uint8)
            picture[:180] = noise
            picture[:BAND] = np.roll(noise[:BAND], index * 3, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
