"""The tap for people: AAC-LC in MP4, the source's channels as far as every player knows them.

Belongs here: layout, rate and bit rate of what is listened to, and the file. Does not belong here: cutting it into
segments (picture/hls) or putting it beside a picture (picture/proxy): both copy these packets.

The bytes are the same on every x86 processor with AVX2, with or without FMA and AVX-512; an older one rounds the
encoder's transform differently (measured by masking processor features in libavutil).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from processing.sound.graphs import Resampler
from processing.sound.layouts import MONO, STEREO, SURROUND_51, Samples, is_identity, listening_layout, mix, mix_matrix
from processing.sound.likeness import LikenessMeter
from processing.sound.taps import SoundTap, SoundUnit

FILE = "audio.m4a"
LIKENESS_FILE = "likeness.i16"  # of what the encoder was given, for its contract to know it again by
FRAME = 1024  # samples of one AAC-LC packet, ISO/IEC 14496-3 subpart 4
PRIMING = 1024  # the encoder's delay; the first packet has pts -1024 and the edit list skips it
PEAK_DECIMALS = 5  # of what was encoded, linear: only ever compared with a threshold
RATE_HZ = 48_000
RATE_CD_HZ = 44_100
LAYOUT_NAMES = {MONO: "mono", STEREO: "stereo", SURROUND_51: "5.1"}


class AacTap(SoundTap):
    """Writes `audio.m4a` and `likeness.i16`.

    Facts: rate, layout, exact samples, loudest sample, the downmix where there was one.

    The first packet is the encoder's priming, at -1024; an edit list starts the track after it, so that sample 0 is
    heard at output time 0 in every player, and the last packet's duration ends it on the exact sample.
    """

    def __init__(self, unit: SoundUnit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        target = listening_layout(unit.channels)
        self._layout = LAYOUT_NAMES[target]
        self._matrix = mix_matrix(unit.channels, target)
        self._as_is = is_identity(self._matrix) and len(unit.channels) == len(target)
        self.rate_hz = listening_rate(unit.rate_hz)
        self._resampler = Resampler(unit.rate_hz, self.rate_hz, len(target))
        self._bit_rate = int(parameters["bit_rates"][self._layout])
        self._count = 0
        self._peak = 0.0
        self._waiting = np.zeros((len(target), 0), dtype=np.float32)
        self._likeness = LikenessMeter(self.rate_hz, len(target))
        # An edit list counts in ticks of the movie: at the default of 1,000 a second the end would be up to 1 ms off.
        options = {"movflags": "+faststart", "movie_timescale": str(self.rate_hz), "fflags": "+bitexact"}
        self._container = av.open(str(folder / FILE), "w", format="mp4", options=options)
        self._stream = self._container.add_stream(
            "aac", rate=self.rate_hz, layout=self._layout, options={"flags": "+bitexact"}
        )
        self._stream.bit_rate = self._bit_rate
        self._stream.codec_context.thread_count = 1
        self.encoder_calls = 1

    def samples(self, block: Samples) -> None:
        self._queue(self._resampler.push(block if self._as_is else mix(block, self._matrix)))

    def close(self) -> Mapping[str, Any]:
        self._queue(self._resampler.finish())
        if self._waiting.shape[1]:
            self._encode(self._waiting)
        self._container.mux(self._stream.encode(None))
        self._container.close()
        (self.folder / LIKENESS_FILE).write_bytes(self._likeness.finish())
        return {
            "file": FILE,
            "likeness": LIKENESS_FILE,
            "codec": "aac",
            "codecs": "mp4a.40.2",
            "rate_hz": self.rate_hz,
            "channels": len(self._waiting),
            "layout": self._layout,
            "bit_rate": self._bit_rate,
            "samples": self._count,
            "priming": PRIMING,
            "peak": round(self._peak, PEAK_DECIMALS),
            "source_channels": list(self.unit.channels),
            "downmix": None if self._as_is else [[round(gain, 6) for gain in row] for row in self._matrix],
        }

    def abandon(self) -> None:
        self._container.close()

    def _queue(self, samples: Samples) -> None:
        if samples.size:
            self._peak = max(self._peak, float(samples.max()), -float(samples.min()))
        given = samples.astype(np.float32)
        self._likeness.push(given)
        waiting = np.concatenate([self._waiting, given], axis=1)
        whole = waiting.shape[1] - waiting.shape[1] % FRAME
        for start in range(0, whole, FRAME):
            self._encode(waiting[:, start : start + FRAME])
        self._waiting = waiting[:, whole:]

    def _encode(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate = self.rate_hz
        frame.time_base = Fraction(1, self.rate_hz)
        frame.pts = self._count
        self._count += samples.shape[1]
        self._container.mux(self._stream.encode(frame))


def listening_rate(rate_hz: int) -> int:
    """44.1 kHz for that family (11,025 to 176,400), so that CD sound is not resampled; 48 kHz for every other rate."""
    return RATE_CD_HZ if rate_hz % 11_025 == 0 else RATE_HZ
