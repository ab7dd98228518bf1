"""The tap for recognisers: 16 kHz, one channel, 16 bit, lossless.

Belongs here: the fold to one channel, the rate, the FLAC file. Does not belong here: what people listen to (aac).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from processing.sound.graphs import Resampler
from processing.sound.layouts import MONO, STEREO, Samples, mix, mix_matrix
from processing.sound.taps import SoundTap, SoundUnit

FILE = "audio.flac"
_ASIDE = "left.flac"
RATE_HZ = 16_000  # what speech recognisers and voice detectors are trained on
CANCELLED = 0.01  # -20 dB: a fold that keeps less of the channels' mean power has cancelled them
_LEFT = ((1.0, 0.0),)
_FRAME = 4096  # libavcodec's own choice at 16 kHz is of this size; fixed so that the bytes do not follow it


class FlacTap(SoundTap):
    """Writes `audio.flac`. Facts: rate, samples (exact), how the channels were folded, loudest sample, digest.

    `digest` is the sha256 (hex) of the samples as 16-bit little-endian integers: a lossless file must give them back.
    Two channels in opposite polarity cancel in the fold, which happens with wrongly wired microphones, and would leave
    a recogniser nothing to hear. Both the fold and the left channel are therefore written, and the better one kept.
    """

    def __init__(self, unit: SoundUnit, parameters: Mapping[str, Any], folder: Path) -> None:
        super().__init__(unit, parameters, folder)
        self._fold = _MonoFile(folder / FILE, unit, mix_matrix(unit.channels, MONO))
        self._left = _MonoFile(folder / _ASIDE, unit, _LEFT) if unit.channels == STEREO else None
        self.encoder_calls = 1 if self._left is None else 2
        self._power = 0.0

    def samples(self, block: Samples) -> None:
        self._fold.write(block)
        if self._left is not None:
            self._left.write(block)
            self._power += sum(float(np.add.reduce(channel * channel)) for channel in block) / len(block)

    def close(self) -> Mapping[str, Any]:
        self._fold.close()
        chosen, mix_name = self._fold, "fold"
        if self._left is not None:
            self._left.close()
            if self._fold.power < CANCELLED * self._power:
                chosen, mix_name = self._left, "left: the channels cancel each other"
                (self.folder / _ASIDE).replace(self.folder / FILE)
            else:
                (self.folder / _ASIDE).unlink()
        return {
            "file": FILE,
            "codec": "flac",
            "rate_hz": RATE_HZ,
            "channels": 1,
            "samples": chosen.count,
            "mix": mix_name,
            "peak": chosen.peak,
            "digest": chosen.digest.hexdigest(),
        }

    def abandon(self) -> None:
        self._fold.abandon()
        if self._left is not None:
            self._left.abandon()


class _MonoFile:
    """One FLAC file being written from blocks of many channels."""

    def __init__(self, path: Path, unit: SoundUnit, matrix: tuple[tuple[float, ...], ...]) -> None:
        self.count = 0
        self.peak = 0  # loudest sample written, of 32,768
        self.digest = hashlib.sha256()  # of the samples written
        self.power = 0.0  # summed square of the folded samples at the source's rate
        self._matrix = matrix
        self._resampler = Resampler(unit.rate_hz, RATE_HZ, 1)
        self._waiting = np.zeros(0, dtype=np.int16)
        self._container = av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"})
        self._stream = self._container.add_stream("flac", rate=RATE_HZ, layout="mono", options={"flags": "+bitexact"})
        self._stream.codec_context.format = av.AudioFormat("s16")
        self._stream.codec_context.thread_count = 1

    def write(self, block: Samples) -> None:
        folded = mix(block, self._matrix)
        self.power += float(np.add.reduce(folded[0] * folded[0]))
        self._queue(self._resampler.push(folded))

    def close(self) -> None:
        self._queue(self._resampler.finish())
        if self._waiting.size:
            self._encode(self._waiting)
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        self._container.close()

    def _queue(self, samples: Samples) -> None:
        rounded = np.clip(np.rint(samples[0] * 32768.0), -32768, 32767).astype(np.int16)
        if rounded.size:
            self.peak = max(self.peak, int(rounded.max()), -int(rounded.min()))
            self.digest.update(pcm_bytes(rounded))
        waiting = np.concatenate([self._waiting, rounded])
        whole = waiting.size - waiting.size % _FRAME
        for start in range(0, whole, _FRAME):
            self._encode(waiting[start : start + _FRAME])
        self._waiting = waiting[whole:]

    def _encode(self, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.time_base = Fraction(1, RATE_HZ)
        frame.pts = self.count
        self.count += samples.size
        self._container.mux(self._stream.encode(frame))


def pcm_bytes(samples: np.ndarray[Any, np.dtype[np.int16]]) -> bytes:
    """16-bit samples as the digest counts them: little endian."""
    return samples.astype("<i2", copy=False).tobytes()
