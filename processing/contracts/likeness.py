"""Whether decoded sound is what was encoded, by the likeness the encoder's tap noted: level and waveform, per channel.

Belongs here: listening for the likeness of what is decoded, and the clauses over both. Does not belong here: how a
likeness is measured (sound/likeness), or any other clause of the file (soundtrack).

Limits were set between what real encodes keep and what spoiled ones reach. Measured at 64 kb/s a channel over the 64
tracks of the corpus' 63 good files with sound (speech, music, rain, tones, silence, mono to 5.1, 8 to 48 kHz) and over
generated ones (white and pink noise in every layout, clicks, bursts, clipped and square waves, tones from 50 Hz to
19 kHz). What is quieter than -60 dBFS is not judged: there a codec's own noise has a say.

The low-frequency channel is judged by its upper bound only, for the encoder keeps nothing of it above its lowest bands:
white noise loses 15 dB there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from processing.contracts.clauses import expect
from processing.manifest import Verdict
from processing.sound.likeness import BLOCKS_PER_S, Likeness, LikenessMeter, read_likeness

QUIET = 33  # of 32,768, -60 dBFS
# Amplitude, 6 dB. Kept: 0.9 dB in the corpus, 1.8 dB in white noise. Spoiled: silence by all there is, a shift of
# 200 ms 5 to 55 dB in speech and music.
LEVEL_FACTOR = 2.0
# Correlation of the waveforms. Kept: 0.978 in the corpus, 0.90 in white noise. Spoiled: silence 0, other sound and a
# shift of 200 ms at most 0.33 in any window, in the worst window of most files below 0.2.
SAME_WAVEFORM = 0.5
# How much nearer than the one in its place another channel may be, in amplitude. Kept: 1.01. Spoiled: 8 and more, but
# for channels that are the same within 1 %.
NEARER_FACTOR = 3.0
WINDOW = 10 * BLOCKS_PER_S
LEAST = 20  # blocks; over fewer, chance has a say, so that a shorter rest is judged with the window before it
LEAST_SPREAD = 4.0  # likewise, blocks over which the sound of a window is spread: squared sum by sum of fourth powers


class Ear:
    """Takes decoded frames and notes the likeness of the first `samples` samples: what comes after is padding."""

    def __init__(self, rate_hz: int, samples: int) -> None:
        self._rate_hz = rate_hz
        self._left = samples
        self._meter: LikenessMeter | None = None
        self._channels = 1

    def take(self, samples: npt.NDArray[Any]) -> None:
        """A planar frame of floats, shape (channels, samples). Raises ValueError when channels change on the way."""
        if self._meter is None:
            self._channels = len(samples)
            self._meter = LikenessMeter(self._rate_hz, self._channels)
        if self._left > 0:
            self._meter.push(samples[:, : self._left])
            self._left -= samples.shape[1]

    def heard(self) -> Likeness:
        """The likeness of all that was taken."""
        return read_likeness(self._meter.finish() if self._meter else b"", self._channels)


def alike(given: Likeness, heard: Likeness, channels: Sequence[str]) -> Iterator[Verdict]:
    """The clauses over what the encoder was given and what is heard, both of shape (blocks, channels, 2)."""
    yield expect("is heard for as long as it was given", given.shape == heard.shape, len(heard), len(given))
    if given.shape != heard.shape or not len(given):
        return
    full = [index for index, name in enumerate(channels) if name != "LFE"]
    blocks = _off_level(given[:, :, 0], heard[:, :, 0], full)
    found = f"{len(blocks)} blocks are not, the first at {blocks[0] / BLOCKS_PER_S:.1f} s" if blocks else ""
    yield expect("is as loud as it was given, at every moment", not blocks, found, f"within {LEVEL_FACTOR:g} times")
    windows = list(_windows(given[:, full, 1], heard[:, full, 1]))
    lowest = min((float(correlation.min()) for correlation, _ in windows if correlation.size), default=1.0)
    yield expect("sounds as it was given", lowest >= SAME_WAVEFORM, f"correlation {lowest:.2f}", SAME_WAVEFORM)
    nearer = max((float(times.max()) for _, times in windows if times.size), default=1.0)
    found = f"another channel is {nearer:.1f} times nearer"
    yield expect("has every channel in its place", nearer <= NEARER_FACTOR, found, NEARER_FACTOR)


def _off_level(given: npt.NDArray[np.int64], heard: npt.NDArray[np.int64], full: Sequence[int]) -> list[int]:
    """The blocks in which a channel is too quiet, or louder than anything within a block of it was.

    Around a sudden start a codec's noise reaches into the block before it.
    """
    around = np.pad(given, ((1, 1), (0, 0)))
    loudest = np.maximum(np.maximum(around[:-2], around[1:-1]), around[2:])
    off = np.maximum(heard, QUIET) > LEVEL_FACTOR * np.maximum(loudest, QUIET)
    off[:, full] |= np.maximum(given[:, full], QUIET) > LEVEL_FACTOR * np.maximum(heard[:, full], QUIET)
    return [int(block) for block in np.flatnonzero(off.any(axis=1))]


def _windows(
    given: npt.NDArray[np.int64], heard: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Of each window, for the channels with enough sound in it to judge:

    how the waveform heard correlates with the one given, and how many times nearer to it the nearest channel is.
    """
    if len(given) < LEAST:
        return
    starts = range(0, len(given) - LEAST + 1, WINDOW)
    for start, end in zip(starts, [*starts[1:], len(given)], strict=True):
        due, found = given[start:end].astype(np.float64), heard[start:end].astype(np.float64)
        size, size_found = np.square(due).sum(axis=0), np.square(found).sum(axis=0)
        spread = np.square(size) / np.maximum((due**4).sum(axis=0), 1.0)
        judged = (size >= len(due) * QUIET**2) & (spread >= LEAST_SPREAD)
        correlation = (due * found).sum(axis=0) / np.sqrt(np.maximum(size * size_found, 1.0))
        differences = np.square(found[:, :, None] - due[:, None, :]).sum(axis=0)
        slack = size / 10_000 + len(due)  # 1 % of amplitude, and a step: channels that are the same but for rounding
        nearer = np.sqrt((np.diagonal(differences) + slack) / (differences.min(axis=1) + slack))
        yield correlation[judged], nearer[judged]
