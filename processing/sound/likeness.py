"""The likeness of a sound: two numbers a channel and 100 ms by which a lossy encode of it is known again.

Belongs here: measuring them and their file. Does not belong here: how far an encode may be off (contracts/likeness).

The level is that of the band below 8 kHz, for a codec drops what lies above 16 kHz, be it a pilot tone that is all
there is. The projection is the inner product of the band below 1.4 kHz with a fixed sequence of signs: it is of the
waveform and not of its envelope, so that other sound of the same level, a shift and swapped channels all change it,
while AAC keeps low frequencies closest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCKS_PER_S = 10
FULL_SCALE = 32_768  # both numbers are in steps of a 16-bit sample
_TAPS = (1, 4, 8, 10, 8, 4, 1)  # two means of 3 and two of 2: from 16.5 kHz on at least 47 dB down
_STEP = 3  # the filtered band is looked at in every third sample, at 44.1 and 48 kHz a whole number a block
_HELD = 5  # filtered samples under one sign: 15 samples, -3 dB at 1.4 kHz

Wave = npt.NDArray[np.float32]
Likeness = npt.NDArray[np.int64]  # shape (blocks, channels, 2): level and projection


class LikenessMeter:
    """Takes samples of `channels` channels at `rate_hz` block by block and keeps 4 bytes a channel and 100 ms.

    An hour of 5.1 is 864 kB. The last block is filled up with silence. Raises ValueError for a rate whose tenth of a
    second is not divisible by 15.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._block = rate_hz // BLOCKS_PER_S
        if rate_hz % (BLOCKS_PER_S * _STEP * _HELD):
            raise ValueError(f"a tenth of a second at {rate_hz} Hz is not a whole number of steps")
        self._signs = _signs(self._block // (_STEP * _HELD))
        self._waiting: list[Wave] = []
        self._held = 0
        self._measured: list[npt.NDArray[np.int16]] = []
        self._channels = channels

    def push(self, samples: Wave) -> None:
        """The next samples, shape (channels, samples), full scale 1.0."""
        self._waiting.append(samples)
        self._held += samples.shape[1]
        if self._held >= BLOCKS_PER_S * self._block:  # once a second: few, long numpy calls
            joined = np.concatenate(self._waiting, axis=1)
            whole = self._held - self._held % self._block
            self._measure(joined[:, :whole])
            self._waiting, self._held = [joined[:, whole:]], self._held - whole

    def finish(self) -> bytes:
        """All that was measured, as the file holds it: level and projection, 16 bit, little endian, channels by turns.

        The level is unsigned.
        """
        if self._held:
            joined = np.concatenate(self._waiting, axis=1)
            self._measure(np.pad(joined, ((0, 0), (0, -self._held % self._block))))
            self._waiting, self._held = [], 0
        return b"".join(block.tobytes() for block in self._measured)

    def _measure(self, samples: Wave) -> None:
        """Whole blocks; the filter starts anew in each, so that one does not depend on another."""
        blocks = samples.reshape(self._channels, -1, self._block)
        last = self._block - len(_TAPS) + 1
        band = sum(np.float32(tap) * blocks[:, :, at : last + at : _STEP] for at, tap in enumerate(_TAPS))
        band = np.asarray(band, dtype=np.float32) * np.float32(FULL_SCALE / sum(_TAPS))
        level = np.sqrt(np.add.reduce(band * band, axis=2, dtype=np.float64) / band.shape[2])
        held = band[:, :, : band.shape[2] // _HELD * _HELD].reshape(*band.shape[:2], -1, _HELD)
        signs = self._signs[: held.shape[2]]
        means = np.add.reduce(held, axis=3, dtype=np.float64) / _HELD
        projection = np.add.reduce(means * signs, axis=2) / np.sqrt(signs.size)
        kept = np.empty((level.shape[1], self._channels, 2), dtype="<i2")
        kept[:, :, 0] = np.minimum(np.rint(level), 0xFFFF).astype("<u2").view("<i2").T
        kept[:, :, 1] = np.clip(np.rint(projection), -FULL_SCALE, FULL_SCALE - 1).astype("<i2").T
        self._measured.append(kept)


def _signs(count: int) -> npt.NDArray[np.float64]:
    """A fixed sequence of -1 and 1, the same in every release of every library."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(b"likeness").digest(-(-count // 8)), np.uint8))
    return np.where(bits[:count] == 1, np.float64(1.0), np.float64(-1.0))


def read_likeness(data: bytes, channels: int) -> Likeness:
    """What `finish` wrote. Raises ValueError when it is not whole blocks of `channels` channels."""
    if not channels or len(data) % (4 * channels):
        raise ValueError(f"{len(data)} bytes are not whole blocks of {channels} channels")
    pairs: Any = np.frombuffer(data, "<i2").reshape(-1, channels, 2)
    return np.stack([pairs[:, :, 0].astype(np.int64) & 0xFFFF, pairs[:, :, 1].astype(np.int64)], axis=2)


def likeness_of(path: Path, channels: int) -> Likeness:
    """The likeness in a file. Raises OSError or ValueError."""
    return read_likeness(path.read_bytes(), channels)
